"""Verdicts written: a pass over what was measured of each shard, and what was decided."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import read_arrow, read_bytes, table_of, write_parquet
from metacurate.engine.stores import Place
from metacurate.errors import InputError
from metacurate.images.filters.hash_lists import HashLists
from metacurate.images.filters.measure import shard_units
from metacurate.images.filters.verdicts import (
    BENCHMARK,
    BROKEN,
    IDENTITY,
    LISTED,
    LONG,
    NEAR,
    SMALL,
    UNSAFE,
    VERDICTS,
    Filters,
    any_of,
    own_verdicts,
)
from metacurate.images.shards import Shard

FORMAT = 1  # raise with each change of what verdicts are made of


@dataclass(frozen=True)
class JudgeStage(Stage):
    """Writes a file of verdicts for each shard.

    Attributes:
        shards: all of them. measured: the file of each; None where it could not be read.
        problems: why not, as many.
        filters: what is asked. decided: a file of schema DECIDED.
        key_: names all that the verdicts depend on besides the shards, in hex.
    """

    shards: tuple[Shard, ...]
    measured: tuple[Place | None, ...]
    problems: tuple[str | None, ...]
    filters: Filters
    decided: Place
    key_: str
    name = "judge"
    outputs: ClassVar[str | None] = "."

    def configuration(self) -> dict[str, Any]:
        """What decides about verdicts."""
        return {"key": self.key_, "format": FORMAT}

    def units(self) -> Sequence[Unit]:
        """A unit for each shard."""
        return shard_units(self.shards)

    def task(self, outputs: Place, watch: Watch) -> "JudgeTask":  # noqa: ARG002
        """Begin to write into the folder `outputs`."""
        return JudgeTask(self, outputs)


class JudgeTask(Task):
    """Writes verdicts on several shards, and counts them."""

    def __init__(self, stage: JudgeStage, outputs: Place) -> None:
        """Read what was decided."""
        self._stage, self._outputs = stage, outputs
        self._numbers = {shard.tar: number for number, shard in enumerate(stage.shards)}
        self._lists = HashLists(stage.filters.sha256_lists, stage.filters.pdq_lists)
        self.clear()

    def clear(self) -> None:
        """Begin again with nothing counted."""
        self._counts = dict.fromkeys(VERDICTS, 0)

    @cached_property
    def _decided(self) -> pa.Table:
        place = self._stage.decided
        if isinstance(place, Path):
            return read_arrow(place)
        return pa.ipc.open_file(pa.BufferReader(read_bytes(place))).read_all()

    def process(self, unit: Unit) -> UnitRecord:
        """Write verdicts on a shard's images.

        Raises:
            InputError: when the shard could not be read before.
        """
        began = time.monotonic()
        stage, number = self._stage, self._numbers[unit.source]
        place, shard = stage.measured[number], stage.shards[number]
        if place is None:
            raise InputError(unit.source, stage.problems[number] or "could not be read")
        measured = table_of(read_bytes(place)).combine_chunks()
        shards = self._decided["shard"].to_numpy()
        start, stop = np.searchsorted(shards, [number, number + 1])
        table = judge(
            measured, self._decided.slice(start, stop - start), stage.filters, self._lists
        )
        columns = [name for name in VERDICTS if name in table.column_names]
        for name in columns:
            self._counts[name] += pc.sum(table[name]).as_py() or 0
        against = any_of([table[name].to_numpy() for name in columns], len(table))
        broken = pc.sum(table[BROKEN]).as_py() or 0
        output = f"{shard.name}.parquet"
        told = table.replace_schema_metadata({IDENTITY: shard.identity.encode()})
        write_parquet(self._outputs / output, told)
        return UnitRecord.of(
            unit,
            began,
            rows_read=len(table),
            kept=len(table) - int(against.sum()),
            filtered=int(against.sum()) - broken,
            invalid=broken,
            output=output,
        )

    def partial(self) -> pa.Table:
        """Number of images by verdict."""
        return pa.table({name: [count] for name, count in self._counts.items()})


def judge(measured: pa.Table, decided: pa.Table, filters: Filters, lists: HashLists) -> pa.Table:
    """The verdicts on a shard's images.

    Args:
        measured: of schema MEASURED. decided: of schema DECIDED, rows of this shard.
        filters: what is asked. lists: those that it names, read.

    Returns:
        The columns of `filters.schema`.
    """
    n = len(measured)
    own = own_verdicts(measured, filters, lists)
    near = decided.filter(pc.invert(decided["benchmark"]))
    known = decided.filter(decided["benchmark"])
    columns: dict[str, Any] = {
        "key": measured["key"],
        "sha256": _hex(measured["sha256"]),
        "width": measured["width"],
        "height": measured["height"],
        "problem": measured["problem"],
        "perceptual_hash": measured["perceptual_hash"],
        NEAR: _there(near, n),
        "duplicate_of": _spread(near, "of", n),
        "duplicate_shard": _spread(near, "of_shard", n),
        "duplicate_distance": _spread(near, "distance", n),
        BENCHMARK: _there(known, n),
        "benchmark_image": _spread(known, "of", n),
        "benchmark_distance": _spread(known, "distance", n),
        "pdq": _hex(measured["pdq"]),
        "nsfw_score": measured["nsfw_score"],
        "faces": measured["faces"],
        **{name: own[name] for name in (BROKEN, LISTED, UNSAFE, SMALL, LONG) if name in own},
    }
    schema = filters.schema
    return pa.table([columns[name] for name in schema.names], names=schema.names).cast(schema)


def _hex(hashes: pa.ChunkedArray) -> pa.Array:
    return pa.array([None if h is None else h.hex() for h in hashes.to_pylist()], pa.string())


def _there(rows: pa.Table, n: int) -> Any:
    found = np.zeros(n, np.bool_)
    found[rows["row"].to_numpy()] = True
    return found


def _spread(rows: pa.Table, column: str, n: int) -> pa.Array:
    """Values of some rows among all; null for the others."""
    values: list[Any] = [None] * n
    for row, value in zip(rows["row"].to_pylist(), rows[column].to_pylist(), strict=True):
        values[row] = value
    return pa.array(values, rows.schema.field(column).type)
