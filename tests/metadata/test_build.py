"""Metadata is built from real files, by the same digest however they are cut and read."""

import bz2
import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.engine.run import CorruptInputError
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.metadata import dump as dump_module
from metacurate.metadata.build import (
    build_folder,
    build_metadata,
    parse_size,
    read_report,
    report_path,
)
from metacurate.metadata.metadata import Metadata
from metacurate.metadata.recipe import Recipe
from metacurate.metadata.wikitext import plain_text

from .ngram_oracle import association, count
from .wiki_dump import FORMS, Made, multistream, plain

WORDNET = Path("/usr/share/wordnet")

WORDS = [f"w{i}" for i in range(60)] + ["Fox", "the", "\u00e9t\u00e9", "don't"]
MARKS = [".", ",", "", "", "", "", "\n"]


def articles(n: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [
        " ".join(draw.choice(WORDS[: 4 + i % 60]) + draw.choice(MARKS) for _ in range(40))
        for i in range(n)
    ]


def write_text(path: Path, texts: Sequence[str | None], **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), path, **options)
    return str(path)


TEXTS = articles(300)
RECIPE: dict[str, Any] = {"unigram_min_count": 5, "bigram_min_pmi": 1.0, "bigram_min_count": 2}


def build(out: Path, **fields: Any) -> dict[str, Any]:
    options = {
        name: fields.pop(name) for name in ("workers", "memory", "on_error") if name in fields
    }
    return build_metadata(Recipe(**{**RECIPE, **fields}), out, **options)


def source_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in report["sources"] if s["source"] == name)
    return found


def adds_up(report: dict[str, Any]) -> None:
    for source in report["sources"]:
        assert source["read"] == source["kept"] + sum(source["dropped"].values()), source
    assert sum(source["kept"] for source in report["sources"]) == report["entries"]


# ---- WordNet


needs_wordnet = pytest.mark.skipif(not WORDNET.is_dir(), reason="Debian's wordnet-base is absent")


@needs_wordnet
def test_wordnet_3_0_makes_the_papers_number_of_entries(tmp_path: Path) -> None:
    report = build_metadata(Recipe(wordnet=str(WORDNET)), tmp_path / "metadata.parquet")
    adds_up(report)
    metadata = Metadata.read(tmp_path / "metadata.parquet")
    assert len(metadata) == report["entries"] == 86_654
    assert metadata.per_source() == {"number": 100, "wordnet": 86_554}
    assert metadata.entries.to_pylist()[:102] == [
        *map(str, range(100)),
        "entity",
        "physical entity",
    ]
    assert metadata.digest == report["digest"]
    assert report["digest"] == "e3b60dcd0be81e3945388312aa20a6dc434f3663768989db1720a922630a9f51"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "metadata.build.json", "metadata.parquet",
    ]  # fmt: skip


# ---- text


def expected_entries(texts: Sequence[str | None]) -> list[str]:
    counted = count(texts)
    total = sum(counted.words.values())
    words = [w for w, n in sorted(counted.words.items(), key=lambda p: (-p[1], p[0])) if n >= 5]
    bigrams = []
    for (first, second), n in counted.bigrams.items():
        close = association(n, counted.words[first], counted.words[second], total)
        if n >= 2 and close >= 2:
            bigrams.append((-close, f"{first} {second}"))
    numbers = [str(i) for i in range(100)]
    return list(dict.fromkeys([*numbers, *words, *(entry for _, entry in sorted(bigrams))]))


def test_text_makes_what_plain_python_makes(tmp_path: Path) -> None:
    texts: list[str | None] = [*TEXTS, None, ""]
    path = write_text(tmp_path / "a.parquet", texts)
    report = build(tmp_path / "m.parquet", wikipedia=(path,))
    adds_up(report)
    metadata = Metadata.read(tmp_path / "m.parquet")
    assert metadata.entries.to_pylist() == expected_entries(texts)
    counted = count(texts)
    unigram, bigram = source_of(report, "unigram"), source_of(report, "bigram")
    assert unigram["read"] == len(counted.words)
    assert bigram["read"] == len(counted.bigrams)
    assert unigram["counted"] == {
        "texts": 302, "invalid": 1, "not_articles": 0, "all_words": sum(counted.words.values()),
    }  # fmt: skip
    assert unigram["selection"] == {"min_count": 5, "size": None}
    assert bigram["selection"] == {"min_pmi": 1.0, "min_count": 2, "size": None}
    assert "Wikipedia" in unigram["attribution"]
    assert unigram["licence"] == "CC-BY-SA-4.0, GFDL (if Wikipedia's)"
    (read,) = unigram["inputs"]
    assert (read["file"], len(read["sha256"])) == ("a.parquet", 64)
    assert json.loads(report_path(tmp_path / "m.parquet").read_text("utf-8")) == report


def one_file(folder: Path) -> list[str]:
    return [write_text(folder / "one.parquet", TEXTS)]


def many_files(folder: Path) -> list[str]:
    for i in range(0, 300, 23):
        write_text(folder / f"part{i}.parquet", TEXTS[i : i + 23][::-1])
    return [str(folder)]


def small_groups(folder: Path) -> list[str]:
    return [write_text(folder / "groups.parquet", TEXTS[::-1], row_group_size=7)]


def as_dumps(name: str) -> Callable[[Path], list[str]]:
    def write(folder: Path) -> list[str]:
        folder.mkdir()
        made = [Made(f"Fox {i}", text) for i, text in enumerate(TEXTS)]
        others = [Made("Talk:A", "no article", 1), Made("R", "#REDIRECT [[A]]", redirect=True)]
        half = len(made) // 2
        (folder / f"first.{name}").write_bytes(FORMS[name]([*others, *made[:half]]))
        (folder / f"second.{name}").write_bytes(FORMS[name](made[half:]))
        return [str(folder / f"*.{name}")]

    return write


def mixed(folder: Path) -> list[str]:
    write_text(folder / "a.parquet", TEXTS[:100])
    made = [Made("Fox", text) for text in TEXTS[100:]]
    (folder / "b.xml.bz2").write_bytes(multistream(made))
    return [str(folder / "a.parquet"), str(folder / "b.xml.bz2")]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    "write",
    [one_file, many_files, small_groups, mixed,
     *(as_dumps(name) for name in ("plain.xml", "multistream.xml.bz2", "gzip.xml.gz"))],
)  # fmt: skip
def test_the_digest_does_not_depend_on_files_or_workers(
    write: Callable[[Path], list[str]], workers: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert [plain_text(text) for text in TEXTS[:40]] == [
        "\n".join(line.strip() for line in text.split("\n") if line.strip()) for text in TEXTS[:40]
    ]
    monkeypatch.setattr(dump_module, "UNIT_BYTES", {"": 20_000, ".bz2": 3_000})
    report = build(tmp_path / "m.parquet", wikipedia=tuple(write(tmp_path / "in")), workers=workers)
    adds_up(report)
    assert Metadata.read(tmp_path / "m.parquet").entries.to_pylist() == expected_entries(TEXTS)


def test_little_memory_makes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metacurate.metadata import candidates, wikipedia

    monkeypatch.setattr(wikipedia, "LEAST_MEMORY", 0)
    monkeypatch.setattr(wikipedia, "ROW_BYTES", 10_000_000)
    monkeypatch.setattr(wikipedia, "HELD_BYTES", 3_000)
    monkeypatch.setattr(candidates, "BYTES_OF_ROW", 1 << 40)  # a bucket at a time
    path = write_text(tmp_path / "a.parquet", TEXTS, row_group_size=10)
    report = build(tmp_path / "m.parquet", wikipedia=(path,), memory=700_000_000)
    assert Metadata.read(tmp_path / "m.parquet").entries.to_pylist() == expected_entries(TEXTS)
    assert not list(build_folder(tmp_path / "m.parquet").glob(".*.tmp"))
    adds_up(report)


def test_other_thresholds_need_no_other_count(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.parquet", TEXTS)
    out = tmp_path / "m.parquet"
    build(out, wikipedia=(path,))
    partials = {p: p.stat().st_mtime_ns for p in build_folder(out).rglob("*.parquet")}
    assert partials
    report = build(out, wikipedia=(path,), unigram_min_count=None, unigrams=10, bigrams=5,
        bigram_min_pmi=None)  # fmt: skip
    assert partials == {p: p.stat().st_mtime_ns for p in build_folder(out).rglob("*.parquet")}
    assert source_of(report, "unigram")["kept"] == 10
    assert source_of(report, "bigram")["kept"] == 5
    assert source_of(report, "bigram")["selection"] == {"min_pmi": None, "min_count": 2, "size": 5}
    adds_up(report)
    other = write_text(tmp_path / "b.parquet", TEXTS[:50])
    build(out, wikipedia=(other,))
    assert Metadata.read(out).entries.to_pylist() == expected_entries(TEXTS[:50])


def test_a_text_that_is_too_small_for_the_papers_pmi(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_text(tmp_path / "a.parquet", TEXTS)
    report = build(tmp_path / "m.parquet", wikipedia=(path,), bigram_min_pmi=None)
    assert source_of(report, "bigram")["kept"] == 0
    assert source_of(report, "bigram")["selection"]["min_pmi"] == 30
    assert "in 12,000 words a PMI of 30 can't be reached, the most is 13.6" in caplog.text


def test_the_limit_stops(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.parquet", TEXTS)
    report = build(tmp_path / "m.parquet", wikipedia=(path,), limit=120)
    assert (
        Metadata.read(tmp_path / "m.parquet").entries.to_pylist() == expected_entries(TEXTS)[:120]
    )
    assert source_of(report, "unigram")["dropped"]["beyond the limit"] > 0
    adds_up(report)


# ---- lists and titles


def test_all_sources_together(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("word,count\nfox,500\nden,99\nred,100\n7,300\n", "utf-8")
    (tmp_path / "pairs.tsv").write_text("red fox\t40\nfox den\t1\nno where\t9\n", "utf-8")
    hours = []
    for i in range(2):
        hours.append(tmp_path / f"pageviews-2023010{i}-000000.gz")
        text = "en Red_fox 60 0\nen Arctic_fox 55 0\nen Rare 49 0\nen A:b 90 0\njunk\n"
        hours[-1].write_bytes(gzip.compress(text.encode()))
    (tmp_path / "titles").write_text("page_title\nArctic_fox\nFennec\n", "utf-8")
    report = build(
        tmp_path / "m.parquet", unigram_min_count=100, bigram_min_pmi=-1.0, bigram_min_count=1,
        unigram_counts=str(tmp_path / "words.csv"), bigram_counts=str(tmp_path / "pairs.tsv"),
        pageviews=(str(tmp_path / "pageviews-*.gz"),), title_list=str(tmp_path / "titles"),
    )  # fmt: skip
    adds_up(report)
    metadata = Metadata.read(tmp_path / "m.parquet")
    assert metadata.entries.to_pylist()[100:] == ["fox", "red", "red fox", "Arctic fox"]
    assert metadata.table["score"].to_pylist()[100:102] == [500, 100]
    assert metadata.table["score"].to_pylist()[103] == 110
    assert source_of(report, "unigram")["dropped"] == {
        "below the threshold": 1, "an entry already: number": 1,
    }  # fmt: skip
    assert source_of(report, "bigram")["dropped"] == {
        "a word was never counted": 1, "below the threshold": 1,
    }  # fmt: skip
    title = source_of(report, "title")
    assert title["dropped"] == {"with a colon": 1, "in no list of titles": 1}
    assert title["counted"] == {"lines": 10, "malformed": 2, "listed": 2, "listed_malformed": 0}
    assert [one["file"] for one in title["inputs"]] == [
        "pageviews-20230100-000000.gz", "pageviews-20230101-000000.gz", "titles",
    ]  # fmt: skip


def test_lists_are_added_up_once_and_told_each_time(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("fox,500\n,7\n!,9\nbroken\nfox,3\n", "utf-8")
    for _ in range(2):
        report = build(tmp_path / "m.parquet", unigram_counts=str(tmp_path / "words.csv"))
        adds_up(report)
        unigram = source_of(report, "unigram")
        assert unigram["read"] == 3
        assert unigram["dropped"] == {"empty": 1, "punctuation": 1}
        assert unigram["counted"]["malformed"] == 1
        assert unigram["counted"]["first_malformed"].startswith("line 4: ")
    assert Metadata.read(tmp_path / "m.parquet").table["score"].to_pylist()[-1] == 503


def test_titles_of_a_list_alone(tmp_path: Path) -> None:
    (tmp_path / "titles").write_text("Zoo\nApe\nRed_fox\n", "utf-8")
    report = build(tmp_path / "m.txt", title_list=str(tmp_path / "titles"), titles=2)
    entries = Metadata.read(tmp_path / "m.txt").entries.to_pylist()
    assert entries[100:] == ["Ape", "Red fox"]
    assert source_of(report, "title")["dropped"] == {"beyond the size asked for": 1}


# ---- what is wrong


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "nothing to build metadata of"),
        ({"wikipedia": ("a",), "unigram_counts": "b"}, "give one or the other"),
        ({"bigram_counts": "b"}, "needs --unigram-counts"),
        ({"wordnet": "w", "limit": 0}, "--limit 0"),
        ({"unigram_counts": "w", "unigrams": -1}, "--unigrams -1"),
        ({"wordnet": "w", "unigrams": 5}, "--unigrams needs --wikipedia or --unigram-counts"),
        ({"unigram_counts": "w", "bigrams": 5}, "--bigrams needs"),
        ({"wordnet": "w", "titles": 5}, "--titles needs"),
        ({"wordnet": "w", "title_min_views": -1}, "--title-min-views -1"),
        ({"wordnet": "w", "bigram_min_pmi": float("nan")}, "--bigram-min-pmi nan"),
        ({"wordnet": "w", "bigram_min_pmi": float("-inf")}, "--bigram-min-pmi -inf"),
        ({"wordnet": "w", "limit": 2**32}, "--limit 4294967296"),
        ({"wordnet": "w", "hour_min_views": 2**63}, "--hour-min-views"),
        ({"wordnet": "/no/such"}, "/no/such: no such file or folder"),
        ({"wikipedia": ("/no/such",)}, "/no/such: no such file or folder"),
        ({"pageviews": ("/no/such",)}, "/no/such: no such file or folder"),
        ({"unigram_counts": "/no/such"}, "/no/such"),
        ({"title_list": "/no/such"}, "/no/such"),
    ],
)
def test_what_can_not_be_built(fields: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=reason):
        build_metadata(Recipe(**fields), tmp_path / "m.parquet")
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 700MB are needed"):
        build(tmp_path / "m.parquet", wordnet="w", memory=600_000_000)


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"metadata is written as \.parquet, \.json, \.txt"):
        build_metadata(Recipe(wordnet="w"), tmp_path / "m.csv")


def broken_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Broken files by name, each with what is said of it."""
    made = [Made(f"Fox {i}", text) for i, text in enumerate(TEXTS[:50])]
    whole = multistream(made)
    (folder / "cut.xml.bz2").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.xml").write_bytes(plain(made)[:-5000])
    (folder / "bomb.xml").write_bytes(b"<!DOCTYPE x [<!ENTITY a 'ha'>]>" + plain(made))
    (folder / "other.xml.bz2").write_bytes(bz2.compress(b"<html/>"))
    pq.write_table(pa.table({"content": ["a"]}), folder / "no_text.parquet")
    pq.write_table(pa.table({"text": [1]}), folder / "numbers.parquet")
    (folder / "torn.parquet").write_bytes(b"PAR1 is not enough")
    reasons = {
        "cut.xml.bz2": "the bzip2 stream is cut short",
        "cut.xml": "the dump is cut short in the middle of a page",
        "bomb.xml": "declares a document type or entities",
        "other.xml.bz2": "is no XML dump of a wiki",
        "no_text.parquet": "no column 'text'",
        "numbers.parquet": "of type int64, not strings",
        "torn.parquet": "not a whole Parquet file",
    }
    return {name: (folder / name, reason) for name, reason in reasons.items()}


@pytest.mark.parametrize(
    "name",
    ["cut.xml.bz2", "cut.xml", "bomb.xml", "other.xml.bz2", "no_text.parquet", "numbers.parquet",
     "torn.parquet"],
)  # fmt: skip
def test_broken_text(name: str, tmp_path: Path) -> None:
    path, reason = broken_inputs(tmp_path)[name]
    good = write_text(tmp_path / "good.parquet", TEXTS[50:])
    out = tmp_path / "m.parquet"
    with pytest.raises((CorruptInputError, InputError), match=reason) as error:
        build(out, wikipedia=(str(path), good))
    assert name in str(error.value)
    assert not out.exists()
    report = build(out, wikipedia=(str(path), good), on_error="skip")
    adds_up(report)
    whole = TEXTS[50:]
    entries = Metadata.read(out).entries.to_pylist()
    if name.startswith("cut"):  # the pages before are good
        assert source_of(report, "unigram")["counted"]["texts"] > len(whole)
    else:
        assert entries == expected_entries(whole)


def test_when_nothing_can_be_read_nothing_is_skipped(tmp_path: Path) -> None:
    for name, content in (("a.xml", b"<html/>"), ("a.parquet", b"PAR1"), ("pageviews-1.gz", b"x")):
        (tmp_path / name).write_bytes(content)
        source = "pageviews" if name.startswith("page") else "wikipedia"
        with pytest.raises((CorruptInputError, InputError), match=name):
            build(tmp_path / "m.parquet", **{source: (str(tmp_path / name),)}, on_error="skip")


def test_what_is_skipped_is_told(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"bad{i}.parquet").write_bytes(b"PAR1")
    write_text(tmp_path / "good.parquet", TEXTS)
    with pytest.raises(CorruptInputError, match=r"and 10 more$"):
        build(tmp_path / "m.parquet", wikipedia=(str(tmp_path),))
    report = build(tmp_path / "m.parquet", wikipedia=(str(tmp_path),), on_error="skip")
    for name in ("unigram", "bigram"):
        assert len(source_of(report, name)["errors"]) == 30
        assert "bad7.parquet: not a whole Parquet file" in str(source_of(report, name)["errors"])


def test_a_list_among_its_inputs_is_no_input(tmp_path: Path) -> None:
    write_text(tmp_path / "a.parquet", TEXTS)
    reports = [build(tmp_path / "m.parquet", wikipedia=(str(tmp_path),)) for _ in range(2)]
    assert reports[0] == reports[1]
    with pytest.raises(UsageError, match="holds no text"):
        build(tmp_path / "m.parquet", wikipedia=(str(tmp_path / "m.parquet"),))


def test_rows_that_are_no_utf8(tmp_path: Path) -> None:
    bad = pa.array([b"a fox", b"\xff\xfe", b"a fox"]).view(pa.string())
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    with pytest.raises(
        CorruptInputError, match="column 'text': 1 row is no UTF-8, the first is row 1"
    ):
        build(tmp_path / "m.parquet", wikipedia=(str(tmp_path / "a.parquet"),))
    fields = {"unigram_min_count": 2, "on_error": "skip"}
    report = build(tmp_path / "m.parquet", wikipedia=(str(tmp_path / "a.parquet"),), **fields)
    assert source_of(report, "unigram")["counted"]["invalid"] == 1
    assert Metadata.read(tmp_path / "m.parquet").entries.to_pylist()[100:102] == ["a", "fox"]


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = write_text(tmp_path / "a.parquet", TEXTS[:5])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MetacurateError, match=r'DuckDB: pip install "metacurate\[metadata\]"'):
        build(tmp_path / "m.parquet", wikipedia=(path,))


def test_the_report_belongs_to_its_list(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.parquet", TEXTS)
    out = tmp_path / "m.parquet"
    report = build(out, wikipedia=(path,))
    assert read_report(out, Metadata.read(out)) == report
    Metadata.from_entries(["another"]).write(out)
    assert read_report(out, Metadata.read(out)) is None
    report_path(out).write_text("{", "utf-8")
    with pytest.raises(InputError, match="can't be read"):
        read_report(out, Metadata.read(out))
    report_path(out).unlink()
    assert read_report(out, Metadata.read(out)) is None


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("800 MB", 8 * 10**8),
        ("1.5GiB", 1.5 * 2**30),
        ("512", 512),
        ("2k", 2000),
    ],
)
def test_sizes(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 gigs", "1e9"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        parse_size(text)
