"""Stages that count the words and bigrams of running text: Parquet files, or dumps of a wiki."""

import secrets
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import read_arrow, scratch, write_arrow
from metacurate.engine.stores import Place
from metacurate.errors import InputError
from metacurate.metadata.buckets import join
from metacurate.metadata.dump import BadPageError, DamagedDumpError, Dump, read_pages
from metacurate.metadata.ngrams import NgramCounter
from metacurate.metadata.wikitext import parser_version, plain_text
from metacurate.pool.files import InputFile, identity_of, refuse_changed
from metacurate.pool.reader import CorruptRows, Reader, valid_texts
from metacurate.pool.tables import Pool, column_type, read_footer
from metacurate.schema import is_text

TEXT = "text"  # the column of Parquet files
FORMAT = 1  # raise with each change of what is counted
HELD_BYTES = 96 << 20  # texts of a unit in memory, before they are counted: more than most have
ROW_BYTES = 300  # of memory, for all that comes with a word or a bigram
WORD_BYTES = 4  # of memory, for each byte of a word
LEAST_MEMORY = 40 << 20  # bytes of counts, before they are written
MOST_WORD_BYTES = 1 << 30  # of counts that are written together: Arrow's strings end at 2^31
MOST_TOKENS = 1 << 31  # likewise: a bigram's count has 32 bits


@dataclass(frozen=True)
class TextStage(Stage):
    """Counts the texts of Parquet files, in threads.

    Attributes:
        pool: the files, with their column of texts.
        memory: about how many bytes each worker may take for counts; they don't depend on it.
    """

    pool: Pool
    memory: int
    name = "count-text"
    measure: ClassVar[str] = "texts"

    def configuration(self) -> dict[str, Any]:
        """How texts are cut."""
        return {"column": TEXT, "format": FORMAT}

    def units(self) -> Sequence[Unit]:
        """Ranges of rows."""
        return self.pool.units

    def task(self, outputs: Place, watch: Watch) -> "TextTask":
        """Begin to count."""
        return TextTask(self, outputs, watch)


@dataclass(frozen=True)
class DumpStage(Stage):
    """Counts the articles of dumps, in processes: Python parses them.

    Attributes:
        dumps: the files.
        memory: about how many bytes each worker may take for counts; they don't depend on it.
    """

    dumps: tuple[Dump, ...]
    memory: int
    name = "count-dump"
    measure: ClassVar[str] = "bytes"
    runs_in: Literal["threads", "processes"] = "processes"

    def configuration(self) -> dict[str, Any]:
        """How texts are cut, and wikitext parsed."""
        return {"format": FORMAT, "parser": parser_version()}

    def units(self) -> Sequence[Unit]:
        """Ranges of bytes."""
        return [unit for dump in self.dumps for unit in dump.units()]

    def task(self, outputs: Place, watch: Watch) -> "DumpTask":
        """Begin to count."""
        return DumpTask(self, outputs, watch)


@dataclass
class Fates:
    """What became of the rows or pages of a unit.

    Attributes:
        read: how many there were. invalid: that can't be read. filtered: that are no articles.
        error: about the invalid ones, or why reading ended early.
    """

    read: int = 0
    invalid: int = 0
    filtered: int = 0
    error: str | None = None


class Tally:
    """Counts that grow, and leave memory when there are too many."""

    def __init__(self, folder: Path, memory: int) -> None:
        """Start at zero.

        Args:
            folder: for counts that don't fit into memory. memory: for counts, in bytes.
        """
        self._folder = folder
        self._memory = max(LEAST_MEMORY, memory)
        self._counter = _new_counter()
        self._tables: list[pa.Table] = []

    def add(self, texts: pa.Array) -> None:
        """Count texts.

        Args:
            texts: strings in valid UTF-8.
        """
        self._counter.add(texts)
        if self._is_full():
            self._tables.append(_spilled(self._counter.to_table(), self._folder))
            self._counter = _new_counter()

    def take(self, other: "Tally") -> None:
        """Add the counts of another, which ends with this.

        Args:
            other: its counts may lie on disk.
        """
        self._tables += other.tables()

    def _is_full(self) -> bool:
        counter = self._counter
        rows = counter.words + counter.bigrams
        return (
            rows * ROW_BYTES + counter.word_bytes * WORD_BYTES > self._memory
            or counter.word_bytes > MOST_WORD_BYTES
            or counter.tokens > MOST_TOKENS
        )

    @property
    def spilled(self) -> bool:
        """Whether counts have gone to disk, or are taken over."""
        return bool(self._tables)

    def tables(self) -> list[pa.Table]:
        """All counts, in tables of buckets."""
        return [*self._tables, self._counter.to_table()]


class NgramTask(Task):
    """Counts units of texts. A unit that breaks off adds nothing."""

    def __init__(self, folder: Path, memory: int) -> None:
        """Start at zero.

        Args:
            folder: for counts that don't fit into memory. memory: for counts, in bytes.
        """
        self._new = partial(Tally, folder, memory)
        self._tally = self._new()

    @abstractmethod
    def texts(self, unit: Unit, fates: Fates) -> Iterator[pa.Array]:
        """Read a unit's texts.

        Args:
            unit: which. fates: filled on the way.

        Yields:
            Strings in valid UTF-8, with nulls.

        Raises:
            InputError: when it is broken.
            StoppedError: when the run is to end.
        """

    def process(self, unit: Unit) -> UnitRecord:
        """Count a unit once its texts are read; a large one by itself, as they are read.

        Raises:
            InputError: when it is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        fates = Fates()
        held: list[pa.Array] = []
        size = 0
        own: Tally | None = None
        for texts in self.texts(unit, fates):
            held.append(texts)
            size += texts.nbytes
            if size > HELD_BYTES:
                own = own or self._new()
                for one in held:
                    own.add(one)
                held, size = [], 0
        if own is not None:
            self._tally.take(own)
        for one in held:
            self._tally.add(one)
        return UnitRecord.of(
            unit,
            began,
            rows_read=fates.read,
            invalid=fates.invalid,
            filtered=fates.filtered,
            error=fates.error,
        )

    @property
    def full(self) -> bool:
        """Whether the counts should leave memory."""
        return self._tally.spilled

    def clear(self) -> None:
        """Begin again with nothing counted."""
        self._tally = self._new()

    def partial(self) -> pa.Table:
        """The counts of all these units."""
        return join(self._tally.tables())


class TextTask(NgramTask):
    """Counts rows of Parquet files."""

    def __init__(self, stage: TextStage, outputs: Place, watch: Watch) -> None:
        """Start at zero."""
        super().__init__(scratch(outputs), stage.memory)
        self._reader = Reader(stage.pool, [TEXT], watch)

    def texts(self, unit: Unit, fates: Fates) -> Iterator[pa.Array]:
        """The column of texts."""
        corrupt = CorruptRows()
        for rows in self._reader.batches(unit):
            texts, bad = valid_texts(rows.batch.column(TEXT))
            corrupt.add(TEXT, rows.positions[bad])
            fates.read += len(texts)
            fates.invalid += texts.null_count
            yield texts
        fates.error = corrupt.message


class DumpTask(NgramTask):
    """Counts pages of dumps."""

    def __init__(self, stage: DumpStage, outputs: Place, watch: Watch) -> None:
        """Start at zero."""
        super().__init__(scratch(outputs), stage.memory)
        self._dumps = {dump.path: dump for dump in stage.dumps}
        self._watch = watch

    def texts(self, unit: Unit, fates: Fates) -> Iterator[pa.Array]:
        """The plain text of the articles; other namespaces and redirects are passed over."""
        dump = self._dumps[unit.source]
        told = 0
        bad = 0
        damage: str | None = None
        try:
            for page, size in read_pages(dump, unit):
                share = size if dump.ending == "" else size // 4  # about, of the file's bytes
                step = min(share, unit.work - told)
                told += step
                self._watch.advance(step)
                fates.read += 1
                reason = None
                if isinstance(page, BadPageError):
                    reason = f"a page is broken: {page}"
                elif page.namespace != 0 or page.redirect or not page.text:
                    fates.filtered += 1
                else:
                    try:
                        yield pa.array([plain_text(page.text, dump.link_prefixes)])
                    except ValueError as error:
                        reason = f"the page {page.title!r}: {error}"
                if reason is not None:
                    bad += 1
                    fates.error = fates.error or reason
        except DamagedDumpError as error:  # the pages before are good
            damage = str(error)
        if bad > 1:
            fates.error = f"{fates.error} (and {bad - 1} more like it)"
        fates.error = "; ".join(filter(None, [damage, fates.error])) or None
        fates.invalid = bad
        refuse_changed(dump.path, dump.identity)


def _new_counter() -> NgramCounter:
    return NgramCounter(secrets.randbits(64))


def _spilled(table: pa.Table, folder: Path) -> pa.Table:
    """Move a table to disk; its file has no name, and goes when the table does."""
    path = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        write_arrow(path, table)
        return read_arrow(path)
    finally:
        path.unlink(missing_ok=True)


def open_texts(paths: Sequence[str]) -> Pool:
    """Open Parquet files of texts.

    Args:
        paths: sorted.

    Raises:
        InputError: when none of them can be worked on; one such file among others is reported by
            the run.
    """
    files = []
    for path in paths:
        identity, size = identity_of(path)
        file = read_footer(InputFile(path, identity, "parquet", size=size))
        if file.schema is not None:
            kind = column_type(file.schema, TEXT)
            if kind is None:
                names = ", ".join(file.schema.names)
                file = replace(file, problem=f"no column '{TEXT}' (it has {names})")
            elif not is_text(kind):
                file = replace(file, problem=f"column '{TEXT}' is of type {kind}, not strings")
        files.append(file)
    if all(file.problem is not None for file in files):
        raise InputError(files[0].path, str(files[0].problem))
    return Pool(tuple(files), TEXT, TEXT, 0)
