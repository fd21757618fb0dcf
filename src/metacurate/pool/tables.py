"""Pools in Parquet: which files, which columns, which units, and how their rows are read."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from metacurate.engine.stage import Unit
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.matching.matcher import string_arrays
from metacurate.schema import is_text

Source: TypeAlias = str | Path | Sequence[str | Path]

UNIT_ROWS = 131_072
BATCH_ROWS = 32_768
ROUND = b"metacurate.round"  # in a curated file's metadata: the round that drew it

URL_NAMES = ("url", "image_url")  # in the order in which they are looked for, in any case
TEXT_NAMES = ("text", "caption")


@dataclass(frozen=True)
class PoolFile:
    """One Parquet file, as its footer tells it.

    Attributes:
        path: path or URI.
        identity: size and time of change, or what else the storage knows.
        row_groups: number of rows of each.
        schema: the Arrow schema; None where the file can't be read.
        problem: why it can't be worked on, or None.
    """

    path: str
    identity: str
    row_groups: tuple[int, ...]
    schema: pa.Schema | None
    problem: str | None


@dataclass(frozen=True)
class Pool:
    """Parquet files of pairs, and the columns that make a pair.

    Attributes:
        files: sorted by path.
        id_column: the url, or what stands for it in a pair's identity.
        text_column: the captions.
        round: which round of balancing this is: 0, or one more than the pool's own.
    """

    files: tuple[PoolFile, ...]
    id_column: str
    text_column: str
    round: int

    @classmethod
    def open(
        cls,
        source: Source,
        *,
        url_column: str | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
    ) -> "Pool":
        """Find the files and columns of a pool.

        Args:
            source: a file, a folder (searched through), a glob, or a list of these; paths or
                URIs that fsspec knows.
            url_column: found by its name without it.
            text_column: found by its name without it.
            id_column: a column of strings or whole numbers that tells images apart, for pools
                without urls.

        Raises:
            UsageError: when there is no such file, or columns must be named.
            InputError: when no file can be worked on; for one such file among others, the
                run reports it.
            MetacurateError: when there are no rows, or files of several rounds.
        """
        if url_column and id_column:
            raise UsageError("give --url-column or --id-column, not both")
        files = [_read_footer(path) for path in find_files(source)]
        schemas = [file.schema for file in files if file.schema is not None]
        if not schemas:
            _refuse(files)
        identity = id_column or url_column or _find_column(files, URL_NAMES, "url")
        text = text_column or _find_column(files, TEXT_NAMES, "text")
        checked = tuple(_check_columns(file, identity, text, id_column) for file in files)
        good = [file for file in checked if file.problem is None]
        if not good:
            _refuse(checked)
        if not any(sum(file.row_groups) for file in good):
            raise MetacurateError(f"the pool has no rows: {', '.join(f.path for f in good[:3])}")
        return cls(checked, identity, text, _next_round(good))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Ranges of about 131,072 rows: whole row groups, or even parts of a large one."""
        return tuple(unit for file in self.files for unit in _cut_file(file))

    @property
    def identity(self) -> str:
        """Hash of all files' paths, sizes and times, in hex."""
        text = "\n".join(f"{file.path}\0{file.identity}" for file in self.files)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the first good file."""
        schema = next(file.schema for file in self.files if file.problem is None)
        return tuple(schema.names) if schema is not None else ()


class Reader:
    """Reads units of a pool one after another, without decoding a row twice where they adjoin."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        """Prepare to read.

        Args:
            columns: what to read, or None for all.
        """
        self._columns = list(columns) if columns is not None else None
        self._at: tuple[str, int] | None = None  # source, and the row that comes next
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None

    def batches(self, unit: Unit) -> Iterator[pa.RecordBatch]:
        """Read a unit's rows.

        Args:
            unit: of a Parquet file.

        Yields:
            Its rows, in batches of at most 32,768.

        Raises:
            InputError: when the file is broken.
        """
        try:
            if self._at != (unit.source, unit.first_row):
                self._open(unit)
            left = unit.rows
            while left:
                batch = self._next()
                if batch.num_rows > left:
                    self._rest = batch.slice(left)
                    batch = batch.slice(0, left)
                left -= batch.num_rows
                yield batch
            self._at = (unit.source, unit.first_row + unit.rows)
        except (pa.ArrowException, OSError, StopIteration) as error:
            self._at = None
            reason = first_line(error) or "it ends before its last row"
            raise InputError(unit.source, f"can't be read: {reason}") from error
        except BaseException:
            self._at = None
            raise

    def _next(self) -> pa.RecordBatch:
        if self._rest is not None:
            batch, self._rest = self._rest, None
            return batch
        return next(self._batches)

    def _open(self, unit: Unit) -> None:
        file = _open_parquet(unit.source)
        row = group = 0
        while group < file.num_row_groups and row < unit.anchor:
            row += file.metadata.row_group(group).num_rows
            group += 1
        self._rest = None
        self._batches = file.iter_batches(
            BATCH_ROWS,
            row_groups=list(range(group, file.num_row_groups)),
            columns=self._columns,
            use_threads=False,
        )
        skip = unit.first_row - row
        while skip > 0:
            batch = next(self._batches)
            if batch.num_rows > skip:
                self._rest = batch.slice(skip)
            skip -= batch.num_rows


def valid_texts(array: pa.Array) -> tuple[pa.Array, list[int]]:
    """Bring a column of texts into a plain form, and take out those that are no UTF-8.

    Args:
        array: string, large_string or string_view, plain or dictionary-encoded.

    Returns:
        A string or large_string array, null where a row is no UTF-8; and the positions of
        these rows.
    """
    (texts,) = string_arrays(array)
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.cast(pa.large_binary()).to_pylist()
        bad = [i for i, value in enumerate(raw) if value is not None and not _is_utf8(value)]
        for i in bad:
            raw[i] = None
        return pa.array(raw, pa.large_binary()).cast(pa.large_string()), bad
    return texts, []


def id_texts(array: pa.Array) -> pa.Array:
    """The identity column as strings: whole numbers become their decimal digits."""
    return pc.cast(array, pa.string()) if pa.types.is_integer(array.type) else array


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turn columns of string and binary views, which Arrow can't filter, into plain ones.

    Args:
        batch: any columns, nested ones among them.
    """
    schema = pa.schema([field.with_type(_plain_type(field.type)) for field in batch.schema])
    return batch if schema.equals(batch.schema) else batch.cast(schema)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain_field(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(i)) for i in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(_plain_type(kind.key_type), _plain_field(kind.item_field))
    return kind


def _plain_field(field: pa.Field) -> pa.Field:
    return field.with_type(_plain_type(field.type))


def find_files(source: Source) -> list[str]:
    """List the Parquet files that a pool argument means.

    Args:
        source: a file, a folder, a glob, or a list of these.

    Returns:
        Sorted paths or URIs, each once. In folders, hidden files and folders, and those that
        begin with an underscore, are passed over.

    Raises:
        UsageError: when one of them means no file.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    found: set[str] = set()
    for one in map(str, sources):
        filesystem, path = fsspec.core.url_to_fs(one)
        if filesystem.isdir(path):
            names = _files_of_folder(filesystem, path)
            if not names:
                raise UsageError(f"{one}: the folder holds no .parquet file")
        elif filesystem.exists(path):
            names = [path]
        else:
            names = []
            for name in filesystem.glob(path):
                inside = filesystem.isdir(name)
                names += _files_of_folder(filesystem, name) if inside else [name]
            if not names:
                raise UsageError(f"{one}: no such file or folder")
        local = isinstance(filesystem, LocalFileSystem)
        found.update(name if local else filesystem.unstrip_protocol(name) for name in names)
    if not found:
        raise UsageError("no pool: the list of files is empty")
    return sorted(found)


def _files_of_folder(filesystem: fsspec.AbstractFileSystem, folder: str) -> list[str]:
    return [
        name
        for name in filesystem.find(folder)
        if name.endswith(".parquet") and not _is_hidden(name[len(folder) :])
    ]


def _is_hidden(path: str) -> bool:
    return any(part[:1] in (".", "_") for part in path.split("/") if part)


def _open_parquet(path: str) -> pq.ParquetFile:
    if "://" in path:
        return pq.ParquetFile(fsspec.open(path).open(), pre_buffer=False, buffer_size=1 << 20)
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def _identity(path: str) -> str:
    filesystem, name = fsspec.core.url_to_fs(path)
    details = filesystem.info(name)
    if isinstance(filesystem, LocalFileSystem):
        status = Path(name).stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    tag = details.get("ETag") or details.get("mtime") or details.get("created") or ""
    return f"{details['size']} {tag}"


def _read_footer(path: str) -> PoolFile:
    identity = ""
    try:
        identity = _identity(path)
        if identity.startswith("0 "):
            return PoolFile(path, identity, (), None, "the file is empty")
        file = _open_parquet(path)
        groups = tuple(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
        return PoolFile(path, identity, groups, file.schema_arrow, None)
    except (pa.ArrowException, OSError, ValueError) as error:
        return PoolFile(path, identity, (), None, f"not a whole Parquet file: {first_line(error)}")


def _find_column(files: Sequence[PoolFile], names: Sequence[str], what: str) -> str:
    for file in files:
        if file.schema is None:
            continue
        for name in names:
            exact = [column for column in file.schema.names if column == name]
            folded = [column for column in file.schema.names if column.lower() == name]
            if len(exact or folded) == 1:
                return str((exact or folded)[0])
    first = next(file for file in files if file.schema is not None)
    others = " or --id-column" if what == "url" else ""
    columns = ", ".join(first.schema.names) if first.schema is not None else ""
    raise InputError(
        first.path,
        f"no {what} column found: name it with --{what}-column{others} (it has {columns})",
    )


def _check_columns(file: PoolFile, identity: str, text: str, id_column: str | None) -> PoolFile:
    problem = file.problem
    if file.schema is not None and len(set(file.schema.names)) < len(file.schema.names):
        problem = f"two columns share a name (it has {', '.join(file.schema.names)})"
    elif file.schema is not None:
        for column in (identity, text):
            kind = column_type(file.schema, column)
            if kind is None:
                have = ", ".join(file.schema.names)
                problem = f"no column '{column}' (it has {have})"
                break
            number_id = column == id_column and pa.types.is_integer(kind)
            if not (is_text(kind) or number_id):
                problem = f"column '{column}' is of type {kind}, not strings"
                break
    return PoolFile(file.path, file.identity, file.row_groups, file.schema, problem)


def column_type(schema: pa.Schema, column: str) -> pa.DataType | None:
    """Type of a column, or None where there is no such, or several."""
    index = schema.get_field_index(column)
    return schema.field(index).type if index >= 0 else None


def _refuse(files: Sequence[PoolFile]) -> NoReturn:
    more = f" (and {len(files) - 1} more like it)" if len(files) > 1 else ""
    raise InputError(files[0].path, f"{files[0].problem}{more}")


def _next_round(files: Sequence[PoolFile]) -> int:
    def drawn(file: PoolFile) -> int | None:
        metadata: dict[bytes, Any] = (file.schema.metadata if file.schema else None) or {}
        if ROUND not in metadata:
            return None
        try:
            return int(metadata[ROUND])
        except ValueError as error:
            raise InputError(file.path, f"its round of balancing is no number: {error}") from error

    rounds = {drawn(file) for file in files}
    if len(rounds) > 1:
        names = ", ".join("none" if r is None else str(r) for r in sorted(rounds, key=str))
        raise MetacurateError(f"the pool mixes files of several rounds of balancing: {names}")
    (only,) = rounds
    return 0 if only is None else only + 1


def _cut_file(file: PoolFile) -> Iterator[Unit]:
    def unit(first: int, rows: int, anchor: int) -> Unit:
        return Unit(file.path, file.identity, first, rows, anchor, file.problem)

    if file.problem is not None:
        yield unit(0, 0, 0)
        return
    first = row = 0
    for size in file.row_groups:
        if size > UNIT_ROWS:
            if row > first:
                yield unit(first, row - first, first)
            parts = -(-size // UNIT_ROWS)
            edges = [row + size * part // parts for part in range(parts + 1)]
            for start, stop in pairwise(edges):
                yield unit(start, stop - start, row)
            first = row + size
        elif row + size - first > UNIT_ROWS:
            yield unit(first, row - first, first)
            first = row
        row += size
    if row > first:
        yield unit(first, row - first, first)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
