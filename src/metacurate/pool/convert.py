"""Text formats and tars are turned into Parquet once; every later pass reads that."""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.manifest import WORK
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import is_file, write_atomically
from metacurate.engine.stores import Place, answering
from metacurate.engine.workspace import Workspace
from metacurate.errors import InputError, UsageError, first_line
from metacurate.pool.blocks import Block, conform, unify
from metacurate.pool.delimited import count_quoted, read_delimited, read_header
from metacurate.pool.files import InputFile, refuse_changed
from metacurate.pool.jsonlines import read_json_lines
from metacurate.pool.streams import open_stream
from metacurate.pool.tables import (
    PoolFile,
    many_at_once,
    read_footer,
    read_footers,
    with_shared_schemas,
)
from metacurate.pool.webdataset import read_webdataset

log = logging.getLogger(__name__)

CONVERTED = f"{WORK}/converted"
FORMAT = 1  # raise with each change of what is made of a file
DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True)
class ConvertStage(Stage):
    """One pass over files that are no Parquet, a Parquet file of each.

    Attributes:
        files: what to convert, all of one format.
        columns: names of the columns of CSV and TSV without a header; None for those with one.
        text_field: in tars, where the captions are; None to look for them.
    """

    files: tuple[InputFile, ...]
    columns: tuple[str, ...] | None
    text_field: str | None
    name = "convert"
    measure: ClassVar[str] = "bytes"
    outputs: ClassVar[str | None] = CONVERTED

    def configuration(self) -> dict[str, Any]:
        """What decides how a file is read."""
        return {"columns": self.columns, "text_field": self.text_field, "format": FORMAT}

    def units(self) -> Sequence[Unit]:
        """A unit for each file: none of these formats can be read from the middle."""
        return [self.unit(file) for file in self.files]

    @staticmethod
    def unit(file: InputFile) -> Unit:
        """The unit of a file.

        Args:
            file: of any of these formats.
        """
        problem = None if file.size else "the file is empty"
        return Unit(file.path, file.identity, 0, 0, 0, problem, file.size)

    def task(self, outputs: Place, watch: Watch) -> "ConvertTask":
        """Begin to convert into the folder `outputs`."""
        return ConvertTask(self, outputs, watch)


class ConvertTask(Task):
    """Converts files, one after another, in bounded memory."""

    def __init__(self, stage: ConvertStage, outputs: Place, watch: Watch) -> None:
        """Prepare to convert."""
        self._stage = stage
        self._outputs = outputs
        self._watch = watch
        self._files = {file.path: file for file in stage.files}

    def process(self, unit: Unit) -> UnitRecord:
        """Convert a file.

        Raises:
            InputError: when it is broken, or changes meanwhile.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        output = f"{unit.name}.parquet"
        rows = quoted = n_errors = 0
        first_error = ""
        file = self._files[unit.source]

        def blocks() -> Iterator[pa.Table]:
            nonlocal rows, quoted, n_errors, first_error
            done = 0
            for block in _read(file, self._stage.columns, self._stage.text_field):
                rows += len(block.rows)
                n_errors += len(block.errors)
                first_error = first_error or "".join(block.errors[:1])
                quoted += count_quoted(block) if file.format == "tsv" else 0
                yield block.rows
                step = min(block.rows.nbytes, unit.work - done)
                done += step
                self._watch.advance(step)

        try:
            write_atomically(self._outputs / output, lambda path: _write_blocks(path, blocks()))
        except (ValueError, pa.ArrowException) as error:
            raise InputError(unit.source, f"can't be read: {first_line(error)}") from error
        except _ReadError as error:
            raise InputError(unit.source, f"can't be read: {error}") from error
        refuse_changed(file.path, file.identity)
        if quoted:
            log.warning(
                "%s: %d %s in quotes, which are part of the text in TSV; in CSV they would not be",
                unit.source,
                quoted,
                "field is" if quoted == 1 else "fields are",
            )
        more = f" (and {n_errors - 1} more like it)" if n_errors > 1 else ""
        return UnitRecord.of(
            unit,
            began,
            rows_read=rows,
            invalid=n_errors,
            output=output,
            error=f"{first_error}{more}" if n_errors else None,
        )

    def partial(self) -> pa.Table:
        """Nothing is added up."""
        return pa.table({})


def read_tables(
    space: Workspace,
    files: Sequence[InputFile],
    columns: Sequence[str] | None,
    text_field: str | None,
) -> list[PoolFile]:
    """Bring a pool's files into a form that can be read by units.

    Args:
        files: of one format, from `find_files`.
        space, columns, text_field: as for `read_pools`.

    Raises:
        UsageError: for columns of files that have their own.
        CorruptInputError: when files are corrupt and that is not to be skipped.
    """
    (tables,) = read_pools(space, [files], columns, text_field)
    return tables


def read_pools(
    space: Workspace,
    pools: Sequence[Sequence[InputFile]],
    columns: Sequence[str] | None,
    text_field: str | None,
) -> list[list[PoolFile]]:
    """Bring the files of some pools into a form that can be read by units, all in one stage.

    Args:
        space: where conversions are kept.
        pools: the files of each, of one format, from `find_files`.
        columns: names for files of CSV or TSV without a header.
        text_field: in tars, where the captions are; None to look for them.

    Raises:
        UsageError: for columns of files that have their own.
        CorruptInputError: when files are corrupt and that is not to be skipped.
    """
    kinds = {files[0].format for files in pools}
    if columns is not None and not kinds & DELIMITERS.keys():
        raise UsageError("--columns names the columns of CSV and TSV without a header")
    made: dict[str, PoolFile] = {}
    others = {file.path: file for files in pools for file in files if file.format != "parquet"}
    if others:
        names = tuple(columns) if columns is not None else None
        field = text_field if "tar" in kinds else None
        stage = ConvertStage(tuple(others.values()), names, field)

        def read(item: tuple[InputFile, UnitRecord]) -> PoolFile:
            file, record = item
            output = None if record.output is None else space.folder / CONVERTED / record.output
            problem = record.error if record.failed else None
            return read_footer(file, None if output is None else str(output), problem, stage.key)

        pairs = list(zip(stage.files, space.run(stage).records, strict=True))
        tables = with_shared_schemas(many_at_once(read, pairs))
        made.update((table.path, table) for table in tables)
    plain = [file for files in pools for file in files if file.path not in made]
    made.update((table.path, table) for table in read_footers(plain))
    of_pools = [[made[file.path] for file in files] for files in pools]
    return [
        _with_common_columns(of_pool) if files[0].format in ("jsonl", "tar") else of_pool
        for files, of_pool in zip(pools, of_pools, strict=True)
    ]


def read_converted(files: Sequence[InputFile], out: Place) -> list[PoolFile]:
    """Read what Parquet files of a finished run's pool tell of themselves.

    Args:
        files: of the pool, from `find_files`, as they are now.
        out: the run's output folder, where those are converted that are no Parquet.

    Raises:
        StorageError: when their store does not answer.
    """

    def read(file: InputFile) -> PoolFile:
        if file.format == "parquet":
            return read_footer(file)
        output = out / CONVERTED / f"{ConvertStage.unit(file).name}.parquet"
        known = is_file(output)
        gone = None if known else "it has changed since, or what it was converted into is gone"
        return read_footer(file, str(output) if known else None, gone)

    tables = with_shared_schemas(many_at_once(read, files))
    return _with_common_columns(tables) if files[0].format in ("jsonl", "tar") else tables


def _with_common_columns(tables: Sequence[PoolFile]) -> list[PoolFile]:
    """Give files of JSON, whose columns are those of the keys that occur, the columns of all."""
    schemas = [table.schema for table in tables if table.schema is not None]
    if not schemas or all(schema.equals(schemas[0]) for schema in schemas):
        return list(tables)
    common = reduce(unify, schemas)
    return [replace(table, common=common) for table in tables]


def peek(files: Sequence[InputFile], columns: Sequence[str] | None) -> list[PoolFile]:
    """Read the headers of CSV and TSV: wrong columns should show before all is converted.

    Args:
        files: of a pool. columns: their names, where there is no header.

    Returns:
        The files as if each held one row, but for those that can't be read, which the conversion
        will tell of; none of other formats.

    Raises:
        StorageError: when their store does not answer.
    """

    def read(file: InputFile) -> PoolFile | None:
        try:
            with answering(file.path), open_stream(file.path) as stream:
                names = columns or read_header(stream, DELIMITERS[file.format])
        except (ValueError, OSError):
            return None
        schema = pa.schema([(name, pa.string()) for name in names])
        return PoolFile(file, file.path, (1,), schema, None)

    found = many_at_once(read, [file for file in files if file.format in DELIMITERS])
    return [file for file in found if file is not None]


class _ReadError(Exception):
    """An OSError of the input, told apart from those of the output."""


def _read(
    file: InputFile, columns: Sequence[str] | None, text_field: str | None
) -> Iterator[Block]:
    try:
        with answering(file.path), open_stream(file.path) as stream:
            if file.format == "tar":
                yield from read_webdataset(stream, file.path.rsplit("/", 1)[-1], text_field)
            elif file.format == "jsonl":
                yield from read_json_lines(stream)
            else:
                yield from read_delimited(stream, DELIMITERS[file.format], columns)
    except OSError as error:
        raise _ReadError(first_line(error)) from error


def _write_blocks(path: Path, blocks: Iterator[pa.Table]) -> None:
    """Write tables whose columns may differ into one file, in bounded memory.

    A part is begun where the columns change; parts are then brought to the columns of all.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".", suffix=".tmp") as folder:
        parts: list[Path] = []
        schema: pa.Schema | None = None
        writer: pq.ParquetWriter | None = None
        try:
            for table in blocks:
                wider = table.schema if schema is None else unify(schema, table.schema)
                if writer is None or wider != schema:
                    if writer is not None:
                        writer.close()
                    schema = wider
                    parts.append(Path(folder) / f"{len(parts)}.parquet")
                    writer = _writer(parts[-1], schema)
                writer.write_table(conform(table, schema))
        finally:
            if writer is not None:
                writer.close()
        if len(parts) == 1:
            parts[0].replace(path)
            return
        with _writer(path, schema) as joined:
            for part in parts:
                file = pq.ParquetFile(part)
                for group in range(file.num_row_groups):  # a block each
                    joined.write_table(conform(file.read_row_group(group), schema))


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False)
