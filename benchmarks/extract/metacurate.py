"""metacurate reads archives: from a file to pairs with uids, on one core, without languages."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.extract.archives import archive_path
from benchmarks.extract.digest import digest
from benchmarks.fresh import Figures, answer, seconds
from metacurate import __version__
from metacurate.pool.uid import uid_of
from metacurate.pool.web.archive import Damage, read_records
from metacurate.pool.web.encoding import to_text
from metacurate.pool.web.harvest import Harvest
from metacurate.pool.web.html import read_html
from metacurate.pool.web.parser import Parser, RawPage
from metacurate.pool.web.stage import BATCH_PAGES
from metacurate.pool.web.warc import Lost, WatRecord, take
from metacurate.pool.web.wat import read_wat


def read_pages() -> list[RawPage]:
    """All pages of the WARC file."""
    return [record for record in _records("warc") if isinstance(record, RawPage)]


def extract_wat() -> Harvest:
    """All pairs of the WAT file."""
    harvest = Harvest()
    for record in _records("wat"):
        assert isinstance(record, WatRecord)
        read_wat(record.content, record.url, harvest)
    for url in harvest.urls:
        uid_of(url)
    return harvest


def extract_warc(parser: Parser | None) -> Harvest:
    """All pairs of the WARC file; with a parser, which is a process of its own, or without."""
    harvest = Harvest()
    pages: list[RawPage] = []
    for record in _records("warc"):
        assert isinstance(record, RawPage)
        if parser is None:
            read_html(to_text(record.content, record.charset or None), record.url, harvest)
            continue
        pages.append(record)
        if len(pages) == BATCH_PAGES:
            harvest.extend(parser.harvest(pages))
            pages = []
    if parser is not None:
        harvest.extend(parser.harvest(pages))
    for url in harvest.urls:
        uid_of(url)
    return harvest


def _records(kind: str) -> Iterator[RawPage | WatRecord]:
    scratch = Path(tempfile.gettempdir())
    sizes: list[int] = []
    records: Iterator[RawPage | WatRecord | Lost] = read_records(
        archive_path(kind), scratch, take, Damage(), sizes.append
    )
    for record in records:
        assert not isinstance(record, Lost)
        yield record


def main(kind: str, process: bool = False) -> Figures:
    """Read an archive.

    Args:
        kind: of the archive. process: whether pages are parsed in a process of their own.
    """
    if kind == "wat":
        harvest = extract_wat()
        time = seconds(extract_wat, 5)
    else:
        parser = Parser() if process else None
        harvest = extract_warc(parser)
        time = seconds(lambda: extract_warc(parser), 3)
        if parser is not None:
            parser.close()
    pairs = zip(harvest.pages, harvest.urls, harvest.texts, strict=True)
    return {
        "seconds": time, "rows": len(harvest), "pages": harvest.counts["pages"],
        "answer": digest(pairs), "version": __version__,
    }  # fmt: skip


if __name__ == "__main__":
    answer(main)
