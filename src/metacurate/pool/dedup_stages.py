"""The stages of deduplication: collect keys, of the pool and of others, and copy what stays."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import write_parquet
from metacurate.engine.stores import Place
from metacurate.hashing.pairs import draw_seed, hash_pairs
from metacurate.hashing.rows import hash_rows
from metacurate.pool.reader import CorruptRows, Reader, Rows, read_texts, without_views
from metacurate.pool.tables import Pool
from metacurate.pool.winners import (
    FREE,
    HELD,
    KEY_FORMAT,
    LOST,
    Fates,
    Keyed,
    KeyTask,
    hash_keys,
)

By: TypeAlias = Literal["pair", "url", "text"]

ROW_FORMAT = 1  # raise with each change of how whole rows are hashed


def _key_columns(pool: Pool, by: By) -> list[str]:
    """Names of the columns that make a row's key."""
    return {
        "pair": [pool.id_column, pool.text_column],
        "url": [pool.id_column],
        "text": [pool.text_column],
    }[by]


def _collect(
    task: KeyTask, unit: Unit, reader: Reader, key: Callable[[Rows, CorruptRows], Keyed]
) -> UnitRecord:
    """Collect a unit's keys.

    Args:
        task: takes them. unit: which. reader: of its pool.
        key: tells those of some rows, without the invalid ones.

    Raises:
        InputError: when the file is broken.
        StoppedError: when the run is to end.
    """
    began = time.monotonic()
    corrupt = CorruptRows()
    keyed: list[Keyed] = []
    invalid = 0
    for rows in reader.batches(unit):
        keyed.append(key(rows, corrupt))
        invalid += len(rows.positions) - len(keyed[-1].positions)
    task.collect(unit, keyed)
    return UnitRecord.of(
        unit,
        began,
        rows_read=unit.rows,
        invalid=invalid,
        filtered=reader.filtered,
        error=corrupt.message,
    )


@dataclass(frozen=True)
class KeyStage(Stage):
    """One pass over all columns: each row's key, and what it draws against others of that key.

    Attributes:
        pool: what to read. by: what makes the key. seed: of the draws, uint64.
    """

    pool: Pool
    by: By
    seed: int
    name = "keys"
    measure: ClassVar[str] = "rows"

    def configuration(self) -> dict[str, Any]:
        """All that decides about keys and draws, and which rows take part."""
        return {
            "id_column": self.pool.id_column,
            "text_column": self.pool.text_column,
            "where": self.pool.where and self.pool.where.text,
            "by": self.by,
            "seed": self.seed,
            "key_format": KEY_FORMAT,
            "row_format": ROW_FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.pool.units

    def task(self, outputs: Place, watch: Watch) -> "PoolKeyTask":  # noqa: ARG002
        """Begin to collect keys; nothing is written into `outputs`."""
        return PoolKeyTask(self, watch)


class PoolKeyTask(KeyTask):
    """Keys and draws of several units of the pool."""

    def __init__(self, stage: KeyStage, watch: Watch) -> None:
        """Start with no keys."""
        super().__init__()
        self._stage = stage
        self._row_seed = draw_seed(stage.seed, "dedup")
        self._reader = Reader(stage.pool, None, watch)

    def process(self, unit: Unit) -> UnitRecord:
        """Collect a unit's keys; see `_collect`."""
        return _collect(self, unit, self._reader, self._key)

    def _key(self, rows: Rows, corrupt: CorruptRows) -> Keyed:
        stage = self._stage
        pair = [stage.pool.id_column, stage.pool.text_column]
        texts, valid = read_texts(pair, rows, corrupt)
        keys = hash_keys([texts[name] for name in _key_columns(stage.pool, stage.by)])
        ranks = [hash_rows(rows.batch, self._row_seed)]
        if stage.by != "pair":  # the rows of a pair all draw the same
            urls, captions = (texts[name] for name in pair)
            ranks.insert(0, hash_pairs(urls, captions, stage.seed, "dedup"))
        ranked = tuple(rank[valid] for rank in ranks)
        return Keyed(rows.positions[valid], keys[:, valid], ranked)


@dataclass(frozen=True)
class AgainstStage(Stage):
    """One pass over the key columns of other pools.

    Attributes:
        pools: what to read. by: what makes the key.
    """

    pools: tuple[Pool, ...]
    by: By
    name = "against"
    measure: ClassVar[str] = "rows"

    def configuration(self) -> dict[str, Any]:
        """What decides about keys."""
        return {
            "columns": [_key_columns(pool, self.by) for pool in self.pools],
            "key_format": KEY_FORMAT,
        }

    def units(self) -> Sequence[Unit]:
        """Those of all pools; of a file that is in several, those of the first."""
        found = {unit.name: unit for pool in self.pools for unit in pool.units}
        return list(found.values())

    def task(self, outputs: Place, watch: Watch) -> "AgainstTask":  # noqa: ARG002
        """Begin to collect keys; nothing is written into `outputs`."""
        return AgainstTask(self, watch)


class AgainstTask(KeyTask):
    """Keys of several units of other pools."""

    def __init__(self, stage: AgainstStage, watch: Watch) -> None:
        """Start with no keys."""
        super().__init__()
        self._readers: dict[str, tuple[Reader, list[str]]] = {}
        for pool in stage.pools:
            columns = _key_columns(pool, stage.by)
            reader = Reader(pool, columns, watch)
            for path in pool.by_path:
                self._readers.setdefault(path, (reader, columns))

    def process(self, unit: Unit) -> UnitRecord:
        """Collect a unit's keys; see `_collect`."""
        reader, columns = self._readers[unit.source]
        return _collect(self, unit, reader, partial(self._key, columns))

    @staticmethod
    def _key(columns: Sequence[str], rows: Rows, corrupt: CorruptRows) -> Keyed:
        texts, valid = read_texts(columns, rows, corrupt)
        keys = hash_keys([texts[name] for name in columns])
        return Keyed(rows.positions[valid], keys[:, valid])


@dataclass(frozen=True)
class DedupStage(Stage):
    """One more pass over all columns: copy the rows that stay.

    Attributes:
        pool: what to read. fates: of its rows.
        counts_held: whether there are pools that may hold rows already.
        failed: why units could not be read before, by name: their rows had no say.
        empty: name of the unit whose file is written though it has no rows, since no unit has
            any: the output is a pool all the same.
    """

    pool: Pool
    fates: Fates
    counts_held: bool
    failed: dict[str, str | None]
    empty: str | None = None
    name = "dedup"
    measure: ClassVar[str] = "rows"
    outputs: ClassVar[str | None] = "."

    def configuration(self) -> dict[str, Any]:
        """What decides which rows stay."""
        return {"fates": self.fates.key}

    def units(self) -> Sequence[Unit]:
        """The pool's; those that failed before fail again, even if they can be read now."""
        return [
            replace(unit, problem=self.failed.get(unit.name, unit.problem))
            for unit in self.pool.units
        ]

    def task(self, outputs: Place, watch: Watch) -> "DedupTask":
        """Begin to copy into the folder `outputs`."""
        return DedupTask(self, outputs, watch)


class DedupTask(Task):
    """Copies several units, a file each."""

    def __init__(self, stage: DedupStage, outputs: Place, watch: Watch) -> None:
        """Prepare to copy."""
        self._stage = stage
        self._outputs = outputs
        self._reader = Reader(stage.pool, None, watch)

    def process(self, unit: Unit) -> UnitRecord:
        """Copy a unit's rows that stay.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        pool, corrupt = self._stage.pool, CorruptRows()
        pair = [pool.id_column, pool.text_column]
        rows_by_fate = np.zeros(3, np.int64)
        invalid = 0
        kept: list[pa.Table] = []
        for rows in self._reader.batches(unit):
            _, valid = read_texts(pair, rows, corrupt)
            fates = self._stage.fates.of(unit.source, rows.positions)
            rows_by_fate += np.bincount(fates[valid], minlength=3)
            invalid += int((~valid).sum())
            mask = pa.array(valid & (fates == FREE))
            kept.append(pa.Table.from_batches([without_views(rows.batch).filter(mask)]))
        output = None
        if rows_by_fate[FREE] or unit.name == self._stage.empty:
            output = f"{unit.name}.parquet"
            schema = pool.by_path[unit.source].columns
            assert schema is not None
            table = pa.concat_tables(kept).cast(schema) if kept else schema.empty_table()
            coded = [name for name in table.column_names if name not in pair]
            write_parquet(self._outputs / output, table, use_dictionary=coded)
        return UnitRecord.of(
            unit,
            began,
            rows_read=unit.rows,
            kept=int(rows_by_fate[FREE]),
            duplicate=int(rows_by_fate[LOST]),
            held_elsewhere=int(rows_by_fate[HELD]) if self._stage.counts_held else None,
            invalid=invalid,
            filtered=self._reader.filtered,
            output=output,
            error=corrupt.message,
        )

    def partial(self) -> pa.Table:
        """Nothing is added up."""
        return pa.table({})
