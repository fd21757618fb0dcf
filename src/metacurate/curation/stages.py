"""The stages of curation: count a unit's matches, and sample a unit's pairs."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation import census
from metacurate.curation.balance import Balance, list_arrays
from metacurate.curation.census import Census, valued_columns
from metacurate.curation.count import Counts
from metacurate.curation.sample import draws
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import arrow_tables, write_parquet
from metacurate.engine.stores import Place
from metacurate.matching.automaton import FORMAT
from metacurate.matching.matcher import Counter, Matcher
from metacurate.pool.files import CURATED_FOLDER
from metacurate.pool.reader import (
    CorruptRows,
    Reader,
    Rows,
    id_texts,
    valid_texts,
    without_views,
)
from metacurate.pool.tables import ROUND, Pool
from metacurate.pool.winners import Fates
from metacurate.schema import CURATED

Values = npt.NDArray[np.uint64]

CENSUS = b"census"  # in the metadata of a task's counts


@dataclass(frozen=True)
class CountStage(Stage):
    """One pass over the text column: how many texts match each entry.

    Attributes:
        pool: what to read. matcher: what to look for.
        choice: the captions that are left out; None to count all.
    """

    pool: Pool
    matcher: Matcher
    choice: Fates | None = None
    name = "count"

    def configuration(self) -> dict[str, Any]:
        """Metadata, mode, column, and which rows."""
        return {
            "text_column": self.pool.text_column,
            "where": self.pool.where and self.pool.where.text,
            "choice": self.choice and self.choice.key,
            "metadata": self.matcher.metadata.digest,
            "mode": self.matcher.mode,
            "format": FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Place, watch: Watch) -> "CountTask":  # noqa: ARG002
        """Begin to count; nothing is written into `outputs`."""
        return CountTask(self, watch)


class CountTask(Task):
    """Counts several units."""

    def __init__(self, stage: CountStage, watch: Watch) -> None:
        """Start at zero."""
        self._watch = watch
        self._column = stage.pool.text_column
        self._reader = Reader(stage.pool, [self._column], watch, stage.choice)
        self._chooses = stage.choice is not None
        self._counter = Counter(stage.matcher)

    def process(self, unit: Unit) -> UnitRecord:
        """Count a unit's texts, once all are read: a unit that breaks off adds nothing.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        corrupt = CorruptRows()
        columns = []
        for rows in self._reader.batches(unit):
            texts, bad = valid_texts(rows.batch.column(self._column))
            corrupt.add(self._column, rows.positions[bad])
            columns.append(texts)
        self._watch.advance(0)  # the last chance to stop: half a unit can't be counted
        for texts in columns:
            self._counter.add(texts)
        return UnitRecord.of(
            unit,
            began,
            rows_read=unit.rows,
            invalid=sum(texts.null_count for texts in columns),
            filtered=self._reader.filtered,
            other_caption=self._reader.left if self._chooses else None,
            error=corrupt.message,
        )

    def partial(self) -> pa.Table:
        """The counts of all these units."""
        total = self._counter.total()
        return Tally(total.values, total.texts, total.matched_texts).to_table()


@dataclass(frozen=True)
class Drawn:
    """What decides about some rows.

    Attributes:
        matches: list<uint32>[rows]. lengths: int[rows], numbers of matches.
        draws: float64[rows]; NaN for rows without url or text.
    """

    matches: pa.ListArray
    lengths: npt.NDArray[Any]
    draws: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sampling:
    """What pairs are drawn from, and with.

    Attributes:
        pool: what to read. matcher: what to look for.
        balance: keep probabilities. seed: of the draws, uint64.
        choice: the captions that are left out; None to draw for all.
    """

    pool: Pool
    matcher: Matcher
    balance: Balance
    seed: int
    choice: Fates | None = None

    def configuration(self) -> dict[str, Any]:
        """All that decides which pairs are kept, but the threshold."""
        return {
            "id_column": self.pool.id_column,
            "text_column": self.pool.text_column,
            "where": self.pool.where and self.pool.where.text,
            "choice": self.choice and self.choice.key,
            "metadata": self.matcher.metadata.digest,
            "mode": self.matcher.mode,
            "counts": hashlib.sha256(self.balance.counts.data).hexdigest(),
            "seed": self.seed,
            "round": self.pool.round,
            "format": FORMAT,
        }

    def draw(self, rows: Rows, corrupt: CorruptRows) -> Drawn:
        """Match rows and draw for them.

        Args:
            rows: of the pool. corrupt: told of rows that are no UTF-8.
        """
        pool, batch = self.pool, rows.batch
        urls, bad_urls = valid_texts(id_texts(batch.column(pool.id_column)))
        texts, bad_texts = valid_texts(batch.column(pool.text_column))
        corrupt.add(pool.id_column, rows.positions[bad_urls])
        corrupt.add(pool.text_column, rows.positions[bad_texts])
        matches = self.matcher.match(texts)
        lengths = np.diff(list_arrays(matches)[0])
        return Drawn(matches, lengths, draws(urls, texts, self.seed, "sample", pool.round))


@dataclass(frozen=True)
class SampleStage(Stage):
    """One pass over all columns: match again, draw, and write the pairs that are kept.

    Attributes:
        sampling: what to draw from, and with.
    """

    sampling: Sampling
    name = "sample"
    outputs: ClassVar[str | None] = CURATED_FOLDER

    def configuration(self) -> dict[str, Any]:
        """All that decides which pairs are kept, and what is counted besides."""
        threshold = self.sampling.balance.threshold
        configuration = self.sampling.configuration()
        return {**configuration, "threshold": threshold, "census": census.FORMAT}

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.sampling.pool.units

    def task(self, outputs: Place, watch: Watch) -> "SampleTask":
        """Begin to sample into the folder `outputs`."""
        return SampleTask(self.sampling, outputs, watch)


class SampleTask(Task):
    """Samples several units, a file each, and counts the entries of what is kept."""

    def __init__(self, sampling: Sampling, outputs: Place, watch: Watch) -> None:
        """Start at zero."""
        self._sampling = sampling
        self._outputs = outputs
        self._reader = Reader(sampling.pool, None, watch, sampling.choice)
        self._total = Tally.zeros(len(sampling.matcher.metadata))
        self._census = Census.empty(sampling.balance.threshold)

    def process(self, unit: Unit) -> UnitRecord:
        """Sample a unit's pairs, and write those that are kept.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        sampling, balance = self._sampling, self._sampling.balance
        read = invalid = matched = 0
        corrupt = CorruptRows()
        kept: list[pa.Table] = []
        found = Census.empty(balance.threshold)
        for rows in self._reader.batches(unit):
            drawn = sampling.draw(rows, corrupt)
            probabilities = balance.keep_probabilities(drawn.matches)
            keep = drawn.draws < probabilities
            valid = ~np.isnan(drawn.draws)
            batch = without_views(rows.batch)
            usable = pa.array(valid)
            mins = np.full(len(keep), np.inf)
            mins[valid] = balance.min_thresholds(drawn.matches.filter(usable), drawn.draws[valid])
            of_valid = {
                name: column.filter(usable) for name, column in valued_columns(batch).items()
            }
            found.add(mins[valid], drawn.lengths[valid], keep[valid], of_valid)
            mask = pa.array(keep)
            added = [
                drawn.matches.filter(mask),
                pa.array(probabilities[keep]),
                pa.array(mins[keep]),
            ]
            kept.append(self._table(batch.filter(mask), added))
            read += len(valid)
            invalid += int((~valid).sum())
            matched += int(np.count_nonzero((drawn.lengths > 0) & valid))
        table = pa.concat_tables(kept) if kept else None
        n_kept = 0 if table is None else len(table)
        output = None
        if table is not None and n_kept:
            output = f"{unit.name}.parquet"
            plain = {sampling.pool.id_column, sampling.pool.text_column, "min_threshold"}
            write_parquet(
                self._outputs / output,
                table,
                use_dictionary=[name for name in table.column_names if name not in plain],
            )
            for chunk in table["entries"].chunks:
                np.add.at(self._total.values, chunk.flatten().to_numpy(), np.uint64(1))
        self._census.merge(found)
        self._total.texts += n_kept
        self._total.matched += n_kept
        return UnitRecord.of(
            unit,
            began,
            rows_read=unit.rows,
            kept=n_kept,
            balanced_away=matched - n_kept,
            unmatched=read - invalid - matched,
            invalid=invalid,
            filtered=self._reader.filtered,
            other_caption=None if sampling.choice is None else self._reader.left,
            output=output,
            error=corrupt.message,
        )

    def _table(self, batch: pa.RecordBatch, added: list[pa.Array]) -> pa.Table:
        table = pa.Table.from_batches([batch])
        replaced = [name for name in CURATED.names if name in table.column_names]
        table = table.drop_columns(replaced)
        for field, column in zip(CURATED, added, strict=True):
            table = table.append_column(field, column)
        sampling = self._sampling
        return table.replace_schema_metadata(
            {
                **(batch.schema.metadata or {}),
                ROUND: str(sampling.pool.round),
                b"metacurate.seed": str(sampling.seed),
                b"metacurate.threshold": repr(sampling.balance.threshold),
                b"metacurate.mode": sampling.matcher.mode,
                b"metacurate.metadata_digest": sampling.matcher.metadata.digest,
            }
        )

    def partial(self) -> pa.Table:
        """Counts over the pairs that were kept, and the census of all."""
        table = self._total.to_table()
        found = {**table.schema.metadata, CENSUS: self._census.to_bytes()}
        return table.replace_schema_metadata(found)


def total_sampled(partials: Sequence[Place], sampling: Sampling) -> tuple[Values, Census]:
    """Add up what a `SampleStage` left.

    Args:
        partials: its files. sampling: what was drawn with.

    Returns:
        uint64[entries], counts over the pairs that were kept; and the census of all pairs.
    """
    total = Tally.zeros(len(sampling.matcher.metadata))
    found = Census.empty(sampling.balance.threshold)
    for table in arrow_tables(partials):
        total.add(table)
        found.merge(Census.from_bytes(table.schema.metadata[CENSUS], sampling.balance.threshold))
    return total.values, found


@dataclass
class Tally:
    """Counts that grow while units are worked on.

    Attributes:
        values: uint64[entries]. texts: number of texts. matched: of those that match.
    """

    values: Values
    texts: int
    matched: int

    @classmethod
    def zeros(cls, n_entries: int) -> "Tally":
        """Nothing counted yet."""
        return cls(np.zeros(n_entries, np.uint64), 0, 0)

    def to_table(self) -> pa.Table:
        """Entries with a count above zero, and the totals in the table's metadata."""
        ids = np.flatnonzero(self.values).astype(np.uint32)
        totals = {"texts": str(self.texts), "matched": str(self.matched)}
        table = pa.table({"entry_id": ids, "count": self.values[ids]})
        return table.replace_schema_metadata(totals)

    @classmethod
    def total(cls, partials: Sequence[Place], n_entries: int) -> "Tally":
        """Add up the tables that tasks left.

        Args:
            partials: Arrow files. n_entries: number of entries.
        """
        total = cls.zeros(n_entries)
        for table in arrow_tables(partials):
            total.add(table)
        return total

    def add(self, table: pa.Table) -> None:
        """Add what `to_table` made of another one.

        Args:
            table: of equally many entries.
        """
        np.add.at(self.values, table["entry_id"].to_numpy(), table["count"].to_numpy())
        self.texts += int(table.schema.metadata[b"texts"])
        self.matched += int(table.schema.metadata[b"matched"])

    def to_counts(self, matcher: Matcher, pool: str) -> Counts:
        """The counts of a pool.

        Args:
            matcher: what counted. pool: the pool's identity.
        """
        return Counts(
            self.values, self.texts, self.matched, matcher.metadata.digest, matcher.mode, pool
        )
