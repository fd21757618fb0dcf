"""Real archives, compared with slow and plain readings of them."""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from metacurate.pool.web.extract import extract
from metacurate.pool.web.links import Base

from .plain import PlainImage, read_warc, read_wat

EVERY = 3  # of the pages that html5lib reads, which takes it a second for thirty


def extracted(archive: Path, out: Path) -> list[dict[str, str]]:
    extract(archive, out, on_error="skip")
    (path,) = out.glob("*.parquet")
    rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
    return rows


def same_for_a_server(url: str) -> str:
    """A URL without what `urljoin` drops and the standard keeps: doubled slashes, a last ? or ;."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.sub('/+', '/', rest).rstrip('?;')}"


def test_all_pairs_of_a_wat_file(data: Path, tmp_path: Path) -> None:
    archive = data / "web" / "pages.warc.wat.gz"
    rows = extracted(archive, tmp_path / "out")
    found = {(same_for_a_server(row["url"]), row["text"]) for row in rows}
    plain = {(same_for_a_server(url), text) for url, text in read_wat(archive)}
    assert found == plain
    assert len(found) > 12_000
    pages = [(row["page_url"], row["url"], row["text"]) for row in rows]
    assert len(set(pages)) == len(pages)


@pytest.mark.parametrize(
    "name", ["aut-example.warc.gz", "whirlwind.warc.gz", "resiliparse-clueweb-quirk.warc.gz"]
)
def test_all_pairs_of_pages(name: str, data: Path, tmp_path: Path) -> None:
    rows = extracted(data / "web" / name, tmp_path / "out")
    found = [
        (row["page_url"], same_for_a_server(row["url"]), row["text"])
        for row in rows
        if row["attribute"] in ("alt", "title")
    ]
    with deep_recursion():
        plain = {
            (image.page, same_for_a_server(url), text)
            for image in read_warc(data / "web" / name)
            for url, text in image.pairs()
        }
    assert len(found) == len(set(found))
    assert set(found) == plain


def test_images_that_are_loaded_late(data: Path, tmp_path: Path) -> None:
    """Where src is a placeholder, the URL is another of the page's own; nothing else differs."""
    archive = data / "web" / "pages.warc.gz"
    rows = extracted(archive, tmp_path / "out")
    found = defaultdict(set)
    for row in rows:
        if row["attribute"] in ("alt", "title"):
            found[row["page_url"]].add((same_for_a_server(row["url"]), row["text"]))
    named: dict[str, set[str]] = defaultdict(set)  # by any attribute of an image or a source
    missing = late = 0
    with deep_recursion():
        for image in read_warc(archive, EVERY):
            base = Base(image.base)
            for value in image.values:
                links = map(base.resolve, [value, *re.split(r",?\s+|,(?=http|/)", value)])
                named[image.page].update(same_for_a_server(url) for url in links if url)
            for url, text in image.pairs():
                if (same_for_a_server(url), text) not in found[image.page] and not image.is_tiny:
                    missing += 1
                    assert text in {line for _, line in found[image.page]}, (image.page, url)
    for page, urls in named.items():
        late += len(found[page])
        assert {url for url, _ in found[page]} <= urls
    assert (missing, late) > (50, 3000)


def test_damaged_archives(data: Path, tmp_path: Path) -> None:
    web = data / "web"
    archive = web / "priyanlc-CC-MAIN-sample.warc.wat.gz"
    assert extracted(archive, tmp_path / "length") == []
    totals = json.loads((tmp_path / "length" / "manifest.json").read_text())["totals"]
    assert (totals["pages"], totals["images"]) == (1, 27)
    shards = pq.read_table(tmp_path / "length" / "_accounting" / "shards.parquet")
    (error,) = shards["error"].to_pylist()
    assert error == "the record at byte 0: its length is told wrong: 54,287 bytes, not 54263"
    content = (web / "pages.warc.wat.gz").read_bytes()
    whole = extracted(web / "pages.warc.wat.gz", tmp_path / "whole")
    for name, damaged in {
        "cut": content[: len(content) // 2],
        "hit": content[:1_000_000] + b"x" * 100 + content[1_000_100:],
    }.items():
        path = tmp_path / f"{name}.warc.wat.gz"
        path.write_bytes(damaged)
        rows = extracted(path, tmp_path / name)
        keys = ("page_url", "url", "text")
        found = {tuple(row[key] for key in keys) for row in rows}
        assert found < {tuple(row[key] for key in keys) for row in whole}
        assert len(rows) > len(whole) * (0.4 if name == "cut" else 0.98)
        shards = pq.read_table(tmp_path / name / "_accounting" / "shards.parquet")
        assert shards["error"].null_count == 0


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Plain code recurses into pages that are nested deeply."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(before)


def test_the_plain_reading_reads() -> None:
    image = PlainImage("http://a.example/", "http://a.example/", {"src": "b", "alt": " x "}, [])
    assert image.pairs() == {("http://a.example/b", "x")}
