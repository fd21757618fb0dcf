"""The two stages of curation: count a unit's matches, and sample a unit's pairs."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation.balance import Balance, list_arrays
from metacurate.curation.count import Counts
from metacurate.curation.sample import draws
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord
from metacurate.engine.storage import read_arrow, write_parquet
from metacurate.matching.automaton import FORMAT
from metacurate.matching.matcher import Counter, Matcher
from metacurate.pool.tables import ROUND, Pool, Reader, id_texts, valid_texts, without_views
from metacurate.schema import CURATED

Values = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CountStage(Stage):
    """One pass over the text column: how many texts match each entry.

    Attributes:
        pool: what to read. matcher: what to look for.
    """

    pool: Pool
    matcher: Matcher
    name = "count"

    def configuration(self) -> dict[str, Any]:
        """Metadata, mode and column."""
        return {
            "text_column": self.pool.text_column,
            "metadata": self.matcher.metadata.digest,
            "mode": self.matcher.mode,
        }

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Path) -> "CountTask":  # noqa: ARG002
        """Begin to count; nothing is written into `outputs`."""
        return CountTask(self)


class CountTask(Task):
    """Counts several units."""

    def __init__(self, stage: CountStage) -> None:
        """Start at zero."""
        self._column = stage.pool.text_column
        self._reader = Reader([self._column])
        self._counter = Counter(stage.matcher)

    def process(self, unit: Unit) -> UnitRecord:
        """Count a unit's texts, once all are read: a unit that breaks off adds nothing.

        Raises:
            InputError: when the file is broken.
        """
        began = time.monotonic()
        rows, corrupt = 0, CorruptRows(unit.first_row)
        columns = []
        for batch in self._reader.batches(unit):
            texts, bad = valid_texts(batch.column(self._column))
            corrupt.add(self._column, rows, bad)
            columns.append(texts)
            rows += batch.num_rows
        for texts in columns:
            self._counter.add(texts)
        return UnitRecord(
            unit=unit.name,
            source=unit.source,
            first_row=unit.first_row,
            rows_read=rows,
            invalid=sum(texts.null_count for texts in columns),
            seconds=time.monotonic() - began,
            error=corrupt.message,
        )

    def partial(self) -> pa.Table:
        """The counts of all these units."""
        total = self._counter.total()
        return Tally(total.values, total.texts, total.matched_texts).to_table()


@dataclass(frozen=True)
class SampleStage(Stage):
    """One pass over all columns: match again, draw, and write the pairs that are kept.

    Attributes:
        pool: what to read. matcher: what to look for.
        balance: keep probabilities. seed: of the draws, uint64.
    """

    pool: Pool
    matcher: Matcher
    balance: Balance
    seed: int
    name = "sample"

    def configuration(self) -> dict[str, Any]:
        """All that decides which pairs are kept."""
        return {
            "id_column": self.pool.id_column,
            "text_column": self.pool.text_column,
            "metadata": self.matcher.metadata.digest,
            "mode": self.matcher.mode,
            "counts": hashlib.sha256(self.balance.counts.data).hexdigest(),
            "threshold": self.balance.threshold,
            "seed": self.seed,
            "round": self.pool.round,
            "format": FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Path) -> "SampleTask":
        """Begin to sample into the folder `outputs`."""
        return SampleTask(self, outputs)


class SampleTask(Task):
    """Samples several units, a file each, and counts the entries of what is kept."""

    def __init__(self, stage: SampleStage, outputs: Path) -> None:
        """Start at zero."""
        self._stage = stage
        self._outputs = outputs
        self._reader = Reader(None)
        self._total = Tally.zeros(len(stage.matcher.metadata))

    def process(self, unit: Unit) -> UnitRecord:
        """Sample a unit's pairs, and write those that are kept.

        Raises:
            InputError: when the file is broken.
        """
        began = time.monotonic()
        pool, balance = self._stage.pool, self._stage.balance
        rows = invalid = matched = 0
        corrupt = CorruptRows(unit.first_row)
        kept: list[pa.Table] = []
        for batch in self._reader.batches(unit):
            urls, bad_urls = valid_texts(id_texts(batch.column(pool.id_column)))
            texts, bad_texts = valid_texts(batch.column(pool.text_column))
            corrupt.add(pool.id_column, rows, bad_urls)
            corrupt.add(pool.text_column, rows, bad_texts)
            matches = self._stage.matcher.match(texts)
            probabilities = balance.keep_probabilities(matches)
            pair_draws = draws(urls, texts, self._stage.seed, "sample", pool.round)
            drawn = ~np.isnan(pair_draws)
            keep = pair_draws < probabilities
            mask = pa.array(keep)
            kept_matches = matches.filter(mask)
            added = [
                kept_matches,
                pa.array(probabilities[keep]),
                pa.array(balance.min_thresholds(kept_matches, pair_draws[keep])),
            ]
            kept.append(self._table(without_views(batch).filter(mask), added))
            rows += batch.num_rows
            invalid += batch.num_rows - int(drawn.sum())
            lengths = np.diff(list_arrays(matches)[0])
            matched += int(np.count_nonzero((lengths > 0) & drawn))
        table = pa.concat_tables(kept) if kept else None
        n_kept = 0 if table is None else len(table)
        output = None
        if table is not None and n_kept:
            output = f"{unit.name}.parquet"
            plain = {pool.id_column, pool.text_column, "min_threshold"}
            write_parquet(
                self._outputs / output,
                table,
                use_dictionary=[name for name in table.column_names if name not in plain],
            )
            for chunk in table["entries"].chunks:
                np.add.at(self._total.values, chunk.flatten().to_numpy(), np.uint64(1))
        self._total.texts += n_kept
        self._total.matched += n_kept
        return UnitRecord(
            unit=unit.name,
            source=unit.source,
            first_row=unit.first_row,
            rows_read=rows,
            kept=n_kept,
            balanced_away=matched - n_kept,
            unmatched=rows - invalid - matched,
            invalid=invalid,
            seconds=time.monotonic() - began,
            output=output,
            error=corrupt.message,
        )

    def _table(self, batch: pa.RecordBatch, added: list[pa.Array]) -> pa.Table:
        table = pa.Table.from_batches([batch])
        replaced = [name for name in CURATED.names if name in table.column_names]
        table = table.drop_columns(replaced)
        for field, column in zip(CURATED, added, strict=True):
            table = table.append_column(field, column)
        stage = self._stage
        return table.replace_schema_metadata(
            {
                **(batch.schema.metadata or {}),
                ROUND: str(stage.pool.round),
                "metacurate.seed": str(stage.seed),
                "metacurate.threshold": repr(stage.balance.threshold),
                "metacurate.mode": stage.matcher.mode,
                "metacurate.metadata_digest": stage.matcher.metadata.digest,
            }
        )

    def partial(self) -> pa.Table:
        """Counts over the pairs that were kept."""
        return self._total.to_table()


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
    def total(cls, partials: Sequence[Path], n_entries: int) -> "Tally":
        """Add up the tables that tasks left.

        Args:
            partials: Arrow files. n_entries: number of entries.
        """
        total = cls.zeros(n_entries)
        for path in partials:
            table = read_arrow(path)
            np.add.at(total.values, table["entry_id"].to_numpy(), table["count"].to_numpy())
            total.texts += int(table.schema.metadata[b"texts"])
            total.matched += int(table.schema.metadata[b"matched"])
        return total

    def to_counts(self, matcher: Matcher, pool: str) -> Counts:
        """The counts of a pool.

        Args:
            matcher: what counted. pool: the pool's identity.
        """
        return Counts(
            self.values, self.texts, self.matched, matcher.metadata.digest, matcher.mode, pool
        )


class CorruptRows:
    """Rows of a unit whose strings are no UTF-8."""

    def __init__(self, first_row: int) -> None:
        """Start with none.

        Args:
            first_row: of the unit in its file.
        """
        self._first_row = first_row
        self._found: dict[str, list[int]] = {}

    def add(self, column: str, offset: int, rows: Sequence[int]) -> None:
        """Note corrupt rows.

        Args:
            column: its name. offset: of the batch in the unit. rows: positions in the batch.
        """
        if rows:
            start = self._first_row + offset
            self._found.setdefault(column, []).extend(start + row for row in rows)

    @property
    def message(self) -> str | None:
        """One line, or None where no row is corrupt."""
        if not self._found:
            return None
        return "; ".join(
            f"column '{column}': {len(rows)} {'row is' if len(rows) == 1 else 'rows are'} "
            f"no UTF-8, the first is row {rows[0]} (counted from 0)"
            for column, rows in self._found.items()
        )
