"""The stage that turns archives into rows of a pool."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import scratch, write_atomically
from metacurate.engine.stores import Place
from metacurate.engine.workspace import versions
from metacurate.errors import InputError, first_line
from metacurate.pool.files import refuse_changed
from metacurate.pool.web.archive import Damage, read_records
from metacurate.pool.web.crawl import IMMUTABLE, ArchiveFile
from metacurate.pool.web.harvest import KEPT, TEXTS, Harvest
from metacurate.pool.web.nearby import is_url, local_copy
from metacurate.pool.web.parser import SECONDS, Parser, RawPage
from metacurate.pool.web.sieve import Sieve, Wanted
from metacurate.pool.web.warc import Lost, WatRecord, take
from metacurate.pool.web.wat import read_wat
from metacurate.schema import EXTRACTED

FORMAT = 1  # raise with each change of what is made of an archive
PARSERS = (
    "brotli", "can_ada", "charset-normalizer", "fastwarc", "msgspec", "selectolax", "urllib3",
    "webencodings",
)  # fmt: skip  # whose versions may change what is found
BATCH_PAIRS = 32_768
BATCH_CHARS = 32 << 20  # or fewer pairs, where they are long
BATCH_PAGES = 32
BATCH_BYTES = 4 << 20  # of pages, or fewer where they are large
TYPICAL_BYTES = 400 << 20  # of an archive whose size nobody has asked for
REPEATING = ["attribute", "page_url", "language", "archive"]  # columns


@dataclass(frozen=True)
class ExtractStage(Stage):
    """One pass over archives, a Parquet file of each, in processes: Python reads the records.

    Attributes:
        archives: what to read.
        wanted: what rows must be like.
        digests: of the files that `wanted` names, in hex; and of the model for languages.
        page_seconds: for a page of a WARC file, at most.
    """

    archives: tuple[ArchiveFile, ...]
    wanted: Wanted
    digests: tuple[tuple[str, str], ...]
    page_seconds: float = SECONDS
    name = "extract"
    measure: ClassVar[str] = "bytes"
    runs_in: Literal["threads", "processes"] = "processes"
    outputs: ClassVar[str | None] = "."

    def configuration(self) -> dict[str, Any]:
        """What decides which rows come of an archive."""
        named = ("block_domains", "block_url_hashes", "block_words", "metadata")
        return {
            **{name: value for name, value in asdict(self.wanted).items() if name not in named},
            "digests": self.digests,
            "parsers": {name: versions(name).get(name) for name in PARSERS},
            "page_seconds": self.page_seconds,
            "format": FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """A unit for each archive."""
        return [
            Unit(file.path, file.identity, 0, 0, 0, _problem(file), _work(file))
            for file in self.archives
        ]

    def task(self, outputs: Place, watch: Watch) -> "ExtractTask":
        """Begin to extract into the folder `outputs`."""
        return ExtractTask(self, outputs, watch)


class ExtractTask(Task):
    """Reads archives, one after another, in bounded memory."""

    def __init__(self, stage: ExtractStage, outputs: Place, watch: Watch) -> None:
        """Prepare to read."""
        self._outputs = outputs
        self._watch = watch
        self._parser = Parser(stage.page_seconds, lambda: watch.advance(0))
        self._sieve = Sieve(stage.wanted)
        self._identities = {file.path: file.identity for file in stage.archives}
        self._counts: Counter[str] = Counter()

    def process(self, unit: Unit) -> UnitRecord:
        """Write an archive's rows.

        Raises:
            InputError: when it can't be read at all, or changes meanwhile.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        output = f"{unit.name}.parquet"
        found = _Found(unit)
        with local_copy(unit.source, scratch(self._outputs), self._watch) as path:
            write_atomically(
                self._outputs / output,
                lambda target: _write(target, self._tables(unit, path, found)),
            )
        if "://" not in unit.source:
            refuse_changed(unit.source, unit.identity)
        self._counts.update(found.counts)
        return UnitRecord.of(
            unit,
            began,
            rows_read=found.counts[TEXTS],
            invalid=0,
            filtered=found.counts[TEXTS] - found.counts[KEPT],
            kept=found.counts[KEPT],
            output=output,
            error=found.error,
        )

    def partial(self) -> pa.Table:
        """How many there were of what, in all these archives."""
        return pa.table(
            {
                "name": pa.array(self._counts, pa.string()),
                "count": pa.array(self._counts.values(), pa.int64()),
            }
        )

    def _tables(self, unit: Unit, path: Path, found: "_Found") -> Iterator[pa.Table]:
        archive = _name(unit.source)
        for harvest in self._harvests(unit, path, found):
            found.counts.update(harvest.counts)
            yield self._sieve.sift(harvest, archive, found.counts)

    def _harvests(self, unit: Unit, path: Path, found: "_Found") -> Iterator[Harvest]:
        told = 0

        def advance(size: int) -> None:
            nonlocal told
            step = min(size, unit.work - told)
            told += step
            self._watch.advance(step)

        harvest = Harvest()
        pages: list[RawPage] = []
        size = 0

        records: Iterator[RawPage | WatRecord | Lost] = read_records(
            path, scratch(self._outputs), take, found.damage, advance
        )
        try:
            for record in records:
                if isinstance(record, Lost):
                    found.counts[record.reason] += 1
                elif isinstance(record, WatRecord):
                    found.read(record, harvest)
                else:
                    pages.append(record)
                    size += len(record.content)
                    if len(pages) == BATCH_PAGES or size > BATCH_BYTES:
                        harvest.extend(self._parser.harvest(pages))
                        pages, size = [], 0
                if len(harvest) >= BATCH_PAIRS or harvest.size > BATCH_CHARS:
                    yield harvest
                    harvest = Harvest()
        except InputError as error:  # of the copy, where the archive lies elsewhere
            raise InputError(unit.source, error.reason) from error
        except OSError as error:
            raise InputError(unit.source, f"can't be read: {first_line(error)}") from error
        harvest.extend(self._parser.harvest(pages))
        yield harvest


def _problem(file: ArchiveFile) -> str | None:
    return None if file.size or file.identity == IMMUTABLE else "the file is empty"


def _work(file: ArchiveFile) -> int:
    return TYPICAL_BYTES if file.identity == IMMUTABLE else file.size


def _name(source: str) -> str:
    """The last part of a path or URL, without what a URL asks for."""
    path = source.partition("?")[0] if is_url(source) else source
    return path.rstrip("/").rpartition("/")[2]


class _Found:
    """What an archive holds besides rows."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self.counts: Counter[str] = Counter()
        self.damage = Damage()
        self._unreadable = 0
        self._first = ""

    def read(self, record: WatRecord, harvest: Harvest) -> None:
        """Take the pairs of a WAT record; one that is none is counted."""
        try:
            read_wat(record.content, record.url, harvest)
        except ValueError as error:
            self._unreadable += 1
            self._first = self._first or f"of the page {record.url[:200]}: {first_line(error)}"

    @property
    def error(self) -> str | None:
        """All that is wrong with the archive in one line, or None."""
        parts = []
        if n := self.damage.records:
            more = f" (and {n - 1} more like it)" if n > 1 else ""
            parts.append(f"{self.damage.first}{more}")
        if n := self._unreadable:
            what = "a record is" if n == 1 else f"{n} records are"
            parts.append(f"{what} no WAT record, {'' if n == 1 else 'the first '}{self._first}")
        return "; ".join(parts) or None


def _write(path: Path, tables: Iterator[pa.Table]) -> None:
    with pq.ParquetWriter(path, EXTRACTED, compression="zstd", use_dictionary=REPEATING) as writer:
        for table in tables:
            writer.write_table(table)
