"""From archives to a pool: rows, accounting, damage, resumption, limits."""

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.engine.run import CorruptInputError
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.pool.dedup import dedup
from metacurate.pool.web.extract import extract
from metacurate.pool.web.sieve import Wanted
from metacurate.schema import EXTRACTED

from ...sessions import left_of
from .archives import http, image, record, response, wat, write_archive

FILES = 8
PAGES = 60


def page_url(file: int, page: int) -> str:
    return f"http://site{file}.example/page{page}.html"


def make_archives(folder: Path, files: int = FILES, pages: int = PAGES) -> Path:
    """Half of them WAT, half WARC, with the same kinds of pairs."""
    for i in range(files):
        records = [record("warcinfo", b"software: x\r\n", content_type="application/warc-fields")]
        for k in range(pages):
            url = page_url(i, k)
            if i % 2:
                html = f"<img src=a{k}.jpg alt='fox {i} {k}'><img src=b.jpg title='dog {k}'>"
                records.append(response(html, url=url))
            else:
                links = [image(f"a{k}.jpg", alt=f"fox {i} {k}"), image("b.jpg", title=f"dog {k}")]
                records.append(wat(links, url=url))
        name = f"{i}.warc.gz" if i % 2 else f"{i}.warc.wat.gz"
        write_archive(folder / name, records)
    return folder


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archives(tmp_path_factory.mktemp("archives"))


def read_pool(folder: Path) -> pa.Table:
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables(tables)


def rows(folder: Path) -> list[tuple[Any, ...]]:
    return sorted(zip(*(column.to_pylist() for column in read_pool(folder).columns), strict=True))


@pytest.fixture(scope="module")
def pool(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pool") / "out"
    extract(archives, out)
    return out


def test_rows(pool: Path) -> None:
    table = read_pool(pool)
    assert table.schema.equals(EXTRACTED)
    found = {(row["page_url"], row["url"], row["text"]): row for row in table.to_pylist()}
    assert len(found) == len(table) == 2 * FILES * PAGES
    for i in range(FILES):
        for k in range(PAGES):
            site, page = f"http://site{i}.example", page_url(i, k)
            row = found[page, f"{site}/a{k}.jpg", f"fox {i} {k}"]
            assert (row["attribute"], found[page, f"{site}/b.jpg", f"dog {k}"]["attribute"]) == (
                "alt",
                "title",
            )
            assert row["uid"] == hashlib.sha224(row["url"].encode()).hexdigest()[:24]
            assert row["archive"] == (f"{i}.warc.gz" if i % 2 else f"{i}.warc.wat.gz")


def test_totals_and_accounting(archives: Path, pool: Path) -> None:
    manifest = json.loads((pool / "manifest.json").read_text())
    totals = manifest["totals"]
    assert {name: totals[name] for name in ("archives", "pages", "images", "texts", "kept")} == {
        "archives": FILES,
        "pages": FILES * PAGES,
        "images": 2 * FILES * PAGES,
        "texts": 2 * FILES * PAGES,
        "kept": 2 * FILES * PAGES,
    }
    assert (totals["left_out"], totals["pages_lost"]) == ({}, {})
    assert set(manifest["digests"]) == {"language_model"}
    shards = pq.read_table(pool / "_accounting" / "shards.parquet")
    assert shards["rows_read"].to_pylist() == shards["kept"].to_pylist() == [2 * PAGES] * FILES
    assert shards["input"].to_pylist() == sorted(map(str, archives.iterdir()))


def test_the_pool_is_one(pool: Path, tmp_path: Path) -> None:
    metadata = mc.Metadata.from_entries(["fox", "dog"])
    result = mc.curate(pool, metadata, threshold=50, out=tmp_path / "out")
    assert result.summary["rows_read"] == 2 * FILES * PAGES
    assert 0 < result.summary["kept"] < 2 * FILES * PAGES


def test_from_archives_to_a_curated_set(archives: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):  # the second crawl holds the first one's pages again
        extract(archives, tmp_path / name)
    both = [tmp_path / "first", tmp_path / "second"]
    totals = dedup(both, tmp_path / "unique")
    assert totals["kept"] == 2 * FILES * PAGES
    metadata = mc.Metadata.from_entries(["fox", "dog"])
    once = mc.curate(tmp_path / "first", metadata, threshold=50, out=tmp_path / "once")
    result = mc.curate(tmp_path / "unique", metadata, threshold=50, out=tmp_path / "out")
    columns = ("url", "text")

    def pairs(folder: Path) -> list[Any]:
        table = read_pool(folder / "curated")
        return sorted(zip(*(table[name].to_pylist() for name in columns), strict=True))

    assert pairs(tmp_path / "out") == pairs(tmp_path / "once")
    assert result.summary["kept"] == once.summary["kept"]


def test_workers_decide_nothing(archives: Path, pool: Path, tmp_path: Path) -> None:
    extract(sorted(archives.iterdir(), reverse=True), tmp_path / "out", workers=1)
    assert rows(tmp_path / "out") == rows(pool)


def test_matching_first_keeps_what_matching_later_would(
    archives: Path, pool: Path, tmp_path: Path
) -> None:
    entries = tmp_path / "entries.txt"
    entries.write_text("3\nfox 2 7\n")
    wanted = Wanted(metadata=str(entries), language="en")
    totals = extract(archives, tmp_path / "out", wanted=wanted)
    texts = read_pool(pool).filter(pc.field("language") == "en")["text"].to_pylist()
    matched = [text for text in texts if " 3 " in f" {text} " or text == "fox 2 7"]
    assert sorted(read_pool(tmp_path / "out")["text"].to_pylist()) == sorted(matched)
    assert totals["left_out"].keys() <= {"unmatched", "other_language"}
    assert totals["texts"] == totals["kept"] + sum(totals["left_out"].values())


def test_running_again_does_nothing(archives: Path, tmp_path: Path) -> None:
    first = extract(archives, tmp_path / "out")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    again = extract(archives, tmp_path / "out")
    assert again["resumed_units"] == FILES
    assert {name: again[name] for name in ("texts", "kept")} == {
        name: first[name] for name in ("texts", "kept")
    }
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == files


def test_changed_archives_and_lists_are_done_again(tmp_path: Path) -> None:
    folder = make_archives(tmp_path / "archives", files=3, pages=3)
    words = tmp_path / "words.txt"
    words.write_text("nothing\n")
    wanted = Wanted(block_words=(str(words),))
    extract(folder, tmp_path / "out", wanted=wanted)
    write_archive(folder / "0.warc.wat.gz", [wat([image("new.jpg", alt="new")])])
    assert extract(folder, tmp_path / "out", wanted=wanted)["resumed_units"] == 2
    assert "new" in read_pool(tmp_path / "out")["text"].to_pylist()
    words.write_text("new\n")
    again = extract(folder, tmp_path / "out", wanted=wanted)
    assert (again["resumed_units"], again["left_out"]) == (0, {"blocked_word": 1})
    assert "new" not in read_pool(tmp_path / "out")["text"].to_pylist()
    (folder / "1.warc.gz").unlink()
    extract(folder, tmp_path / "out", wanted=wanted)
    assert set(read_pool(tmp_path / "out")["archive"].to_pylist()) == {"2.warc.wat.gz"}


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Archives that are good, cut short, no archive, and with records that are wrong."""
    folder = tmp_path / "damaged"
    good = [
        wat([image(f"{k}.jpg", alt=f"text {k}")], url=f"http://a.example/{k}") for k in range(9)
    ]
    write_archive(folder / "good.warc.wat.gz", good)
    cut = write_archive(folder / "cut.warc.wat.gz", good)
    cut.write_bytes(cut.read_bytes()[:-30])
    (folder / "none.warc.gz").write_bytes(b"<html>no archive</html>")
    (folder / "empty.wat").write_bytes(b"")
    wrong = [*good[:3], wat([image("x.jpg", alt="long")], length=10), *good[3:]]
    write_archive(folder / "length.warc.wat.gz", wrong)
    json_ = [*good[:3], record("metadata", b'{"IMG@/src"', url="http://broken.example/")]
    write_archive(folder / "json.warc.wat", [*json_, *good[3:], json_[3]])
    return folder


REASONS = {
    "cut.warc.wat.gz": "the file ends within it",
    "none.warc.gz": "holds no WARC records",
    "empty.wat": "the file is empty",
    "length.warc.wat.gz": "its length is told wrong",
    "json.warc.wat": "2 records are no WAT record, the first of the page http://broken.example/",
}


def test_damage_is_told_and_the_rest_is_read(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptInputError) as error:
        extract(damaged, tmp_path / "out")
    lines = str(error.value).splitlines()
    assert lines[0] == "extract: 5 units had errors"
    for name, reason in REASONS.items():
        (line,) = (line for line in lines if f"/{name}:" in line)
        assert reason in line
    assert not (tmp_path / "out" / "manifest.json").exists()
    totals = extract(damaged, tmp_path / "out", on_error="skip")
    assert totals["failed_units"] == 2
    texts = read_pool(tmp_path / "out")["text"].to_pylist()
    assert texts.count("long") == 1
    for k in range(8):
        assert texts.count(f"text {k}") == 4
    assert texts.count("text 8") == 3
    shards = pq.read_table(tmp_path / "out" / "_accounting" / "shards.parquet").to_pylist()
    assert {Path(row["input"]).name for row in shards if row["error"]} == set(REASONS)


def test_bad_pages_cost_themselves_only(tmp_path: Path) -> None:
    good = "<img src=a.jpg alt='good {}'>"
    slow = b"<img " + b" ".join(b"a%d=1" % i for i in range(150_000)) + b">"
    bomb = gzip.compress(b"<img src=b.jpg alt=bomb>" + bytes(40 << 20))
    records = [
        response(good.format(0)),
        response(slow),
        response(good.format(1), url="http://b.example/"),
        response(bomb, "Content-Encoding: gzip"),
        response(b"\x1f\x8bbroken", "Content-Encoding: gzip"),
        response(b"%PDF", content_type="application/pdf"),
        response(good.format(2), content_type=""),
        response("<html>" + good.format(3), content_type="", url="http://c.example/"),
        response(good.format(4), content_type="application/xhtml+xml", url="http://d.example/"),
        record("revisit", b"", content_type="application/http; msgtype=response"),
        record("resource", good.format(5).encode(), content_type="text/html"),
        record("response", b"no head", content_type="application/http; msgtype=response"),
        record("response", b"\0", content_type="text/dns"),
    ]
    path = write_archive(tmp_path / "x.warc.gz", records)
    totals = extract(path, tmp_path / "out", page_seconds=1.0)
    assert sorted(read_pool(tmp_path / "out")["text"].to_pylist()) == [
        f"good {i}" for i in (0, 1, 3, 4, 5)
    ]
    assert totals["pages_lost"] == {
        "page_took_too_long": 1,
        "page_too_large": 1,
        "page_undecodable": 2,
    }
    assert totals["pages"] == 5


def test_what_is_no_page_is_no_lost_page(tmp_path: Path) -> None:
    big = bytes(40 << 20)
    records = [
        response(big, content_type="video/mp4"),
        response(b"\x00\x01", "Content-Encoding: br", content_type="image/jpeg"),
        record(
            "response",
            http(b"\x1f\x8bbroken", "Content-Encoding: gzip", status="301 Moved"),
            content_type="application/http; msgtype=response",
        ),
        response("<img src=a.jpg alt=good>", url="<http://a.example/b/>"),
        response("<img src=a.jpg alt=x>", length=0, url="http://c.example/"),
    ]
    path = write_archive(tmp_path / "x.warc.gz", records)
    totals = extract(path, tmp_path / "out", on_error="skip")
    assert (totals["pages"], totals["pages_lost"]) == (2, {})
    assert read_pool(tmp_path / "out")["url"].to_pylist() == [
        "http://a.example/b/a.jpg",
        "http://c.example/a.jpg",
    ]
    assert read_pool(tmp_path / "out")["page_url"].to_pylist()[0] == "http://a.example/b/"


def test_a_page_that_was_given_too_little_time_is_read_again(tmp_path: Path) -> None:
    slow = b"<img src=a.jpg alt=x " + b" ".join(b"a%d=1" % i for i in range(20_000)) + b">"
    path = write_archive(tmp_path / "x.warc", [response(slow)])
    assert extract(path, tmp_path / "out", page_seconds=0.01)["kept"] == 0
    assert extract(path, tmp_path / "out", page_seconds=60)["kept"] == 1


def test_pages_of_blocked_domains_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("bad.example\nbücher.example\n")
    pages = ("HTTP://BAD.Example/x", "https://bad.example?q=1", "https://bücher.example/", "urn:x")
    records = [wat([image("http://a.example/1.jpg", alt=url)], url=url) for url in pages]
    path = write_archive(tmp_path / "x.wat", records)
    wanted = Wanted(block_domains=(str(tmp_path / "domains"),))
    totals = extract(path, tmp_path / "out", wanted=wanted)
    assert (totals["kept"], totals["left_out"]) == (1, {"blocked_domain": 3})


def test_hostile_texts_and_urls_stay_data(tmp_path: Path) -> None:
    links = [
        image("javascript:alert(1)", alt="script"),
        image("file:///etc/passwd", alt="file"),
        image("../../../../etc/passwd", alt="<script>alert(1)</script>"),
        image("a" * 10_000, alt="long url"),
        image("b.jpg", alt="y" * 10_001),
        image("b.jpg", alt="\u202e\0\x1b[31mred"),
    ]
    path = write_archive(tmp_path / "x.wat", [wat(links, url="http://a.example/")])
    totals = extract(path, tmp_path / "out")
    table = read_pool(tmp_path / "out")
    assert table["url"].to_pylist() == ["http://a.example/etc/passwd", "http://a.example/b.jpg"]
    assert table["text"].to_pylist() == ["<script>alert(1)</script>", "\u202e[31mred"]
    assert totals["left_out"] == {"no_web_url": 3, "too_long": 1}


def test_a_crawl_of_a_local_copy(tmp_path: Path) -> None:
    root = tmp_path / "root"
    folder = root / "crawl-data" / "CC-MAIN-2024-22"
    lines = []
    for i in range(10):
        name = f"crawl-data/CC-MAIN-2024-22/segments/1/wat/{i}.warc.wat.gz"
        write_archive(root / name, [wat([image(f"{i}.jpg", alt=f"text {i}")])])
        lines.append(name)
    (folder / "wat.paths.gz").write_bytes(gzip.compress("".join(f"{x}\n" for x in lines).encode()))
    some: set[str] = set()
    for limit in (3, 6, None):
        out = tmp_path / f"out{limit}"
        totals = extract(
            None, out, crawl="CC-MAIN-2024-22", limit=limit, seed=7, paths_root=str(root)
        )
        texts = set(read_pool(out)["text"].to_pylist())
        assert totals["archives"] == len(texts) == (limit or 10)
        assert some <= texts
        some = texts
    other = extract(
        None, tmp_path / "out3", crawl="CC-MAIN-2024-22", limit=3, seed=8, paths_root=str(root)
    )
    assert other["archives"] == 3
    with pytest.raises(InputError, match=r"CC-MAIN-2024-23"):
        extract(None, tmp_path / "none", crawl="CC-MAIN-2024-23", paths_root=str(root))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"source": None}, "name archives, or a crawl"),
        ({"crawl": "CC-MAIN-2024-22"}, "name archives, or a crawl"),
        ({"limit": 3}, "are for --crawl"),
        ({"seed": 3}, "are for --crawl"),
        ({"kind": "warc"}, "are for --crawl"),
        ({"paths_root": "x"}, "are for --crawl"),
        ({"source": "missing/"}, "missing"),
        ({"workers": 0}, "0 workers"),
        ({"wanted": Wanted(min_chars=0)}, "there are none"),
    ],
)
def test_what_can_not_be_asked(
    arguments: dict[str, Any], reason: str, archives: Path, tmp_path: Path
) -> None:
    named = {"source": archives, **arguments}
    with pytest.raises(UsageError, match=reason):
        extract(out=tmp_path / "out", **named)
    assert not (tmp_path / "out").exists()


def test_folders_of_others_are_refused(archives: Path, pool: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    with pytest.raises(UsageError, match="holds no run of metacurate"):
        extract(archives, tmp_path / "theirs")
    with pytest.raises(UsageError, match="another pool"):
        extract(write_archive(tmp_path / "x.wat", [wat([])]), pool)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    draw = random.Random(0)
    links = [image(f"{draw.random()}.jpg", alt=f"{draw.random()}") for _ in range(5000)]
    archive = write_archive(tmp_path / "x.wat", [wat(links)])
    code = (
        "import resource, signal, sys; from metacurate.cli import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (99_000, 99_000));"
        f"sys.argv = ['metacurate', 'extract', {str(archive)!r}, '-o', {str(tmp_path / 'out')!r}];"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "can't be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").glob("*.parquet")) == []


# ---- runs that are killed or interrupted


def start(archives: Path, out: Path) -> subprocess.Popen[str]:
    command = ["extract", str(archives), "--workers", "2", "--json", "-o", str(out)]
    return subprocess.Popen(
        [sys.executable, "-m", "metacurate", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any], float]:
    folder = make_archives(tmp_path_factory.mktemp("many"), files=40, pages=150)
    out = tmp_path_factory.mktemp("unbroken") / "out"
    began = time.monotonic()
    process = start(folder, out)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return folder, rows(out), time.monotonic() - began


def test_killed_again_and_again(many: tuple[Path, list[Any], float], tmp_path: Path) -> None:
    folder, expected, seconds = many
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    out = tmp_path / "out"
    for _ in range(3):
        process = start(folder, out)
        time.sleep(seconds * draw.uniform(0.3, 0.9))
        process.kill()
        process.communicate()
        assert left_of(process.pid) == [], seed
    process = start(folder, out)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(printed)["kept"] == len(expected)
    assert rows(out) == expected, seed
    assert [path for path in out.rglob("*") if path.name.endswith(".tmp")] == [], seed


def test_ctrl_c_ends_soon_and_goes_on(many: tuple[Path, list[Any], float], tmp_path: Path) -> None:
    folder, expected, _ = many
    out = tmp_path / "out"
    process = start(folder, out)
    while not list(out.glob(".metacurate/extract-*/*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "the same command goes on where this stopped" in errors
    _, errors = (process := start(folder, out)).communicate(timeout=120)
    assert process.returncode == 0
    assert "units were done before" in errors
    assert rows(out) == expected


def test_without_the_extra_it_is_named(archives: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fastwarc'] = None; from metacurate.cli import main;"
        f"sys.argv = ['metacurate', 'extract', {str(archives)!r}, '-o', {str(tmp_path / 'out')!r}];"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().endswith('pip install "metacurate[commoncrawl]"')
    assert done.stderr.count("\n") == 1


def test_errors_are_ours() -> None:
    assert issubclass(CorruptInputError, MetacurateError)


def test_records_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    bomb = gzip.compress(record("metadata", b'{"IMG@/src": "' + b" " * (70 << 20) + b'"}'), 1)
    good = gzip.compress(wat([image("a.jpg", alt="good")]))
    path = tmp_path / "x.warc.wat.gz"
    path.write_bytes(good + bomb + good)
    totals = extract(path, tmp_path / "out")
    assert totals["pages_lost"] == {"page_too_large": 1}
    assert totals["kept"] == 2
