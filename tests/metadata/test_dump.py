"""Every page of a dump is read once, from wherever its file is cut."""

import bz2
import gzip
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.engine.stage import Unit
from metacurate.errors import InputError
from metacurate.metadata import dump as dump_module
from metacurate.metadata.dump import (
    BadPageError,
    DamagedDumpError,
    Dump,
    Page,
    open_dump,
    read_pages,
)

from .wiki_dump import FORMS, HEAD, TAIL, Made, chopped, multistream, page, plain

PAGES = [Made(f"Fox {i}", f"The <page> of & </page> of \u00e9 {i}. " * (i % 7)) for i in range(40)]


def read(dump: Dump, units: list[Unit] | None = None) -> list[Page]:
    assert dump.problem is None
    pages = []
    for unit in dump.units() if units is None else units:
        for found, size in read_pages(dump, unit):
            assert isinstance(found, Page), found
            assert size > 0
            pages.append(found)
    return pages


def expected(pages: list[Made]) -> list[Page]:
    return [Page(p.title, p.namespace, p.redirect, p.text) for p in pages]


@pytest.mark.parametrize("name", FORMS)
def test_forms(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name](PAGES))
    dump = open_dump(str(path))
    assert read(dump) == expected(PAGES)
    assert dump.separable == (name not in ("single.xml.bz2", "gzip.xml.gz"))
    assert dump.link_prefixes == {"fil", "kategori", "file", "image", "category", "media"}


@pytest.mark.parametrize("name", ["plain.xml", *(n for n in FORMS if n.endswith("bz2"))])
@pytest.mark.parametrize("step", [1000, 1009, 1999, 5000])
def test_cut_anywhere(
    name: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name](PAGES))
    monkeypatch.setattr(dump_module, "UNIT_BYTES", {"": step, ".bz2": step})
    monkeypatch.setattr(dump_module, "CHUNK", 333)
    dump = open_dump(str(path))
    units = dump.units()
    assert sum(unit.rows for unit in units) == path.stat().st_size
    assert len({unit.name for unit in units}) == len(units)
    if dump.separable:
        assert len(units) == max(1, path.stat().st_size // step)
    assert read(dump) == expected(PAGES)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), max_size=30)


@given(
    made=st.lists(st.tuples(st.text("ab<&>é", max_size=3), TEXT), min_size=1, max_size=6),
    size=st.none() | st.integers(1, 400),
    data=st.data(),
)
def test_any_cuts_and_streams(
    made: list[tuple[str, str]], size: int | None, data: st.DataObject
) -> None:
    pages = [Made(title, text) for title, text in made]
    content = plain(pages) if size is None else chopped(pages, size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("a.xml" if size is None else "a.xml.bz2")
        path.write_bytes(content)
        last = len(content) - (len(TAIL) if size is None else 1)  # </mediawiki> is not cut
        cuts = data.draw(st.sets(st.integers(1, last), max_size=5))
        edges = pairwise([0, *sorted(cuts), len(content)])
        units = [Unit(str(path), "", start, stop - start, start) for start, stop in edges]
        assert read(open_dump(str(path)), units) == expected(pages)


def test_fields(tmp_path: Path) -> None:
    made = [
        Made("A & B", "x"),
        Made("Talk:A", "y", namespace=1),
        Made("C", "#REDIRECT [[A]]", redirect=True),
        Made("Module:D", "return {}", namespace=828, model="Scribunto"),
        Made("Empty", ""),
    ]
    path = tmp_path / "a.xml"
    path.write_bytes(plain(made))
    assert read(open_dump(str(path))) == [
        Page("A & B", 0, False, "x"),
        Page("Talk:A", 1, False, "y"),
        Page("C", 0, True, "#REDIRECT [[A]]"),
        Page("Module:D", 828, False, ""),
        Page("Empty", 0, False, ""),
    ]


def test_a_broken_page_does_not_cost_the_others(tmp_path: Path) -> None:
    broken = ["<page><title>B</title><b></page>", "<page>&nope;</page>", "<page><ns>x</ns></page>"]
    path = tmp_path / "a.xml"
    path.write_text(HEAD + page(PAGES[1]) + "".join(broken) + page(PAGES[2]) + TAIL, "utf-8")
    dump = open_dump(str(path))
    found = [one for one, _ in read_pages(dump, dump.units()[0])]
    assert [type(one) for one in found] == [Page, *[BadPageError] * 3, Page]
    assert "not well-formed" in str(found[1]) or "mismatched tag" in str(found[1])


def test_revisions_the_latest_counts(tmp_path: Path) -> None:
    text = page(PAGES[0]).replace("</revision>", "</revision><revision><text>new</text></revision>")
    path = tmp_path / "a.xml"
    path.write_text(HEAD + text + TAIL, "utf-8")
    assert [p.text for p in read(open_dump(str(path)))] == ["new"]


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        ((LAUGHS + HEAD + page(PAGES[1]) + TAIL).encode(), "declares a document type or entities"),
        (b"<html></html>", "is no XML dump of a wiki"),
        (b"plain text", "is no XML dump of a wiki"),
        (b"<mediawiki>", "is no XML dump of a wiki"),
        (b"\xff\xfe\x00<", "is no XML dump of a wiki"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, bz2.compress, gzip.compress])
def test_what_is_no_dump(
    content: bytes, reason: str, compress: type[bytes], tmp_path: Path
) -> None:
    name = {bytes: "a.xml", bz2.compress: "a.xml.bz2", gzip.compress: "a.xml.gz"}[compress]
    path = tmp_path / name
    path.write_bytes(compress(content))
    if not content and compress is not bytes:
        reason = "no XML dump|is empty|cut short|no bzip2"
    problem = open_dump(str(path)).problem
    assert problem is not None
    assert any(one in problem for one in reason.split("|")), problem
    assert open_dump(str(path)).units()[0].problem == problem


def test_no_bzip2_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.xml.bz2"
    path.write_bytes(plain(PAGES))
    assert open_dump(str(path)).problem == "is no bzip2 by its content, or has none"


def test_an_empty_wiki(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(plain([]))
    assert read(open_dump(str(path))) == []


def damaged(path: Path, content: bytes) -> tuple[list[str], str]:
    """Titles of the pages that are read before the error, and the error."""
    path.write_bytes(content)
    dump = open_dump(str(path))
    titles = []
    try:
        for unit in dump.units():
            for found, _ in read_pages(dump, unit):
                assert isinstance(found, Page)
                titles.append(found.title)
    except DamagedDumpError as error:
        return titles, str(error)
    raise AssertionError("nothing was wrong")


@pytest.mark.parametrize(
    ("name", "keep", "reason"),
    [
        ("a.xml", 0.5, "cut short in the middle of a page"),
        ("a.xml", 0.97, "cut short in the middle of a page"),
        ("a.xml.gz", 0.5, "the gzip stream is cut short"),
        ("a.xml.bz2", 0.5, "the bzip2 stream is cut short"),
        ("a.xml.bz2", 0.999, "the bzip2 stream is cut short"),
    ],
)
def test_cut_short(name: str, keep: float, reason: str, tmp_path: Path) -> None:
    pages = PAGES * 30
    form = {"a.xml": "plain.xml", "a.xml.gz": "gzip.xml.gz", "a.xml.bz2": "multistream.xml.bz2"}
    content = FORMS[form[name]](pages)
    titles, told = damaged(tmp_path / name, content[: int(len(content) * keep)])
    assert reason in told
    assert len(titles) > 0 or name == "a.xml.gz"  # of which less than a chunk is lost
    assert titles == [p.title for p in pages[: len(titles)]]


def test_a_failing_storage_says_nothing_of_the_dump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(plain(PAGES))
    dump = open_dump(str(path))

    def fail(_: str) -> None:
        raise TimeoutError("connection timed out")

    monkeypatch.setattr(dump_module, "_open", fail)
    with pytest.raises(InputError, match="can't be read: connection timed out"):
        list(read_pages(dump, dump.units()[0]))


@pytest.mark.parametrize("ending", ["", "\n" * 3_000_000, " "])
@pytest.mark.parametrize("compress", [bytes, bz2.compress])
def test_much_or_nothing_behind_the_end(ending: str, compress: type[bytes], tmp_path: Path) -> None:
    path = tmp_path / ("a.xml" if compress is bytes else "a.xml.bz2")
    content = plain(PAGES).rstrip() + ending.encode()
    path.write_bytes(compress(content))
    assert read(open_dump(str(path))) == expected(PAGES)


def test_many_tiny_streams_take_no_long_time(tmp_path: Path) -> None:
    path = tmp_path / "a.xml.bz2"
    path.write_bytes(chopped([Made("A", "x " * 60_000)], 20))
    assert len(read(open_dump(str(path)))) == 1


@pytest.mark.parametrize("form", ["a.xml", "a.xml.bz2"])
def test_cut_between_pages(form: str, tmp_path: Path) -> None:
    text = (HEAD + page(PAGES[0]) + page(PAGES[1])).encode()
    streams = multistream(PAGES[:2], 1)
    tail = len(bz2.compress(TAIL.encode()))
    content = text.rstrip() if form == "a.xml" else streams[:-tail]
    titles, told = damaged(tmp_path / form, content)
    assert titles == ["Fox 0", "Fox 1"]
    assert "does not end with </mediawiki>" in told


def test_garbage_between_streams(tmp_path: Path) -> None:
    content = multistream(PAGES)
    _, told = damaged(tmp_path / "a.xml.bz2", content + b"garbage here")
    assert "followed by garbage" in told
    middle = bytearray(content)
    middle[len(content) // 2] ^= 0xFF
    _, told = damaged(tmp_path / "b.xml.bz2", bytes(middle))
    assert "damaged" in told or "garbage" in told or "no well-formed" in told


def test_a_page_without_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_module, "MOST_PAGE", 1 << 20)
    content = (HEAD + "<page>" + "x" * (5 << 20) + TAIL).encode()
    _, told = damaged(tmp_path / "a.xml.bz2", bz2.compress(content))
    assert told == "a page has more than 1 MB"
