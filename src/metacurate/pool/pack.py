"""Many small files into few of a given size, in stable order: `metacurate pack`."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.progress import Progress
from metacurate.engine.run import CorruptInputError
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import list_folder, write_atomically
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import OnError, open_workspace
from metacurate.errors import InputError, UsageError, first_line
from metacurate.pool.convert import read_tables
from metacurate.pool.files import Source, absolute_sources, find_files
from metacurate.pool.reader import Reader
from metacurate.pool.tables import ROUND, UNIT_ROWS, Pool, PoolFile

ROWS_PER_SHARD = 1_000_000


@dataclass(frozen=True)
class PackStage(Stage):
    """One pass over all columns: the files' rows in order, cut anew.

    Attributes:
        files: what to read, in order. schema: the columns of all. rows_per_shard: at most.
    """

    files: tuple[PoolFile, ...]
    schema: pa.Schema
    rows_per_shard: int
    name = "pack"
    measure: ClassVar[str] = "rows"
    outputs: ClassVar[str | None] = "."

    def configuration(self) -> dict[str, Any]:
        """What decides where the cuts are."""
        return {"rows_per_shard": self.rows_per_shard, "schema": str(self.schema)}

    def units(self) -> Sequence[Unit]:
        """A unit for each shard that is made."""
        rows = sum(file.rows for file in self.files)
        parts = (f"{file.path}\0{file.identity}" for file in self.files)
        identity = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        return [
            Unit("packed", identity, first, min(self.rows_per_shard, rows - first), first)
            for first in range(0, max(1, rows), self.rows_per_shard)
        ]

    def task(self, outputs: Place, watch: Watch) -> "PackTask":
        """Begin to write into the folder `outputs`."""
        return PackTask(self, outputs, watch)


class PackTask(Task):
    """Writes shards, one after another, in bounded memory."""

    def __init__(self, stage: PackStage, outputs: Place, watch: Watch) -> None:
        """Prepare to write."""
        self._stage = stage
        self._outputs = outputs
        self._reader = Reader(Pool(stage.files, "", "", 0), None, watch)

    def process(self, unit: Unit) -> UnitRecord:
        """Write a shard.

        Raises:
            InputError: when a file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        output = f"{unit.name}.parquet"

        def write(path: Path) -> None:
            with pq.ParquetWriter(path, self._stage.schema, compression="zstd") as writer:
                for table in _gather(self._batches(unit), UNIT_ROWS):
                    writer.write_table(table)

        write_atomically(self._outputs / output, write)
        return UnitRecord.of(
            unit,
            began,
            rows_read=unit.rows,
            invalid=0,
            output=output,
        )

    def _batches(self, unit: Unit) -> Iterator[pa.Table]:
        """The rows of a shard, from all files that they lie in."""
        schema = self._stage.schema
        stop, first = unit.first_row + unit.rows, 0
        for file in self._stage.files:
            start = max(0, unit.first_row - first)
            rows = min(file.rows, stop - first) - start
            if rows > 0:
                part = Unit(file.path, file.identity, start, rows, file.anchor(start))
                for found in self._reader.batches(part):
                    table = pa.Table.from_batches([found.batch])
                    yield table.select(schema.names).cast(schema)
            first += file.rows

    def partial(self) -> pa.Table:
        """Nothing is added up."""
        return pa.table({})


def pack(
    source: Source,
    out: str | Place,
    *,
    rows_per_shard: int = ROWS_PER_SHARD,
    columns: Sequence[str] | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a pool's rows, in the order of its files, into Parquet files of even size.

    Args:
        source: a file, folder, glob or list: Parquet, CSV, TSV, JSON lines or tars.
        out: folder for the shards.
        rows_per_shard: rows of each, but of the last.
        columns: names of the columns of CSV and TSV files without a header.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when a file is corrupt, or ``skip`` it. A row that can't be read, of a
            text format, is kept as one of nulls, so that it stays accounted for.
        progress: told of rows that are done.

    Returns:
        Totals, JSON.

    Raises:
        UsageError: for an argument that can't be, or files whose columns differ.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    if rows_per_shard < 1:
        raise UsageError(f"{rows_per_shard} rows per shard are too few: at least 1 is needed")
    folder = place_of(out)
    inputs = find_files(source, folder)
    configuration = {
        "command": "pack",
        "pool": absolute_sources(source),
        "columns": None if columns is None else list(columns),
        "rows_per_shard": rows_per_shard,
    }
    with open_workspace(
        folder, configuration, engine=engine, workers=workers, on_error=on_error,
        progress=progress, shards=None,
    ) as space:  # fmt: skip
        if inputs[0].format != "parquet":
            space.claim()  # before the conversion, which takes its time
        files = read_tables(space, inputs, columns, None)
        good = [file for file in files if file.problem is None]
        for file in files:
            if file.problem is not None and (on_error == "fail" or not good):
                raise InputError(file.path, file.problem)
        outcome = None
        while outcome is None or outcome.errors:
            stage = PackStage(tuple(good), _common_schema(good), rows_per_shard)
            space.claim()
            outcome = space.run(stage)
            bad = {record.source for record in outcome.errors}  # and cut the rest anew
            good = [file for file in good if file.path not in bad]
            if not good:
                raise CorruptInputError(stage.name, outcome.errors)
        entries = list_folder(folder)
        summary = {
            "files_read": len(good),
            "files_skipped": len(files) - len(good),
            "rows": sum(record.rows_read for record in outcome.records),
            "shards": len(outcome.records),
            "resumed_shards": outcome.resumed,
            "bytes": sum(
                entries[record.output].size
                for record in outcome.records
                if record.output is not None
            ),
            "seconds": space.unit_totals(outcome)["seconds"],
        }
        space.write_manifest(summary, {})
    return summary


def _common_schema(files: Sequence[PoolFile]) -> pa.Schema:
    """The columns of all files, in the first one's order; and what their metadata agree in."""
    schemas = [file.columns for file in files if file.columns is not None]
    joined = schemas[0]
    for file, schema in zip(files, schemas, strict=True):
        differing = set(schema.names) ^ set(schemas[0].names)
        if differing:
            raise UsageError(
                f"{file.path} and {files[0].path} differ in columns: {', '.join(sorted(differing))}"
            )
        try:
            joined = pa.unify_schemas([joined, schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise UsageError(
                f"{file.path} and {files[0].path} differ in types: {first_line(error)}"
            ) from error
    metadata = [dict(schema.metadata or {}) for schema in schemas]
    if len({found.get(ROUND) for found in metadata}) > 1:
        raise UsageError("the files are of several rounds of balancing: pack each by itself")
    shared = dict(set(metadata[0].items()).intersection(*(m.items() for m in metadata)))
    return joined.with_metadata(dict(sorted(shared.items())) or None)


def _gather(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Join small tables until they have so many rows: a row group each."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
