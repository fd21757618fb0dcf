"""How the rows of a pool's units are read: in batches, those of the pool only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq

from metacurate.engine.stage import Unit, Watch
from metacurate.engine.stores import answering
from metacurate.errors import InputError, first_line
from metacurate.matching.matcher import string_arrays
from metacurate.pool.blocks import conform
from metacurate.pool.files import refuse_changed
from metacurate.pool.tables import Pool, open_parquet, open_remote

BATCH_ROWS = 32_768
BATCH_BYTES = 16 << 20  # or fewer rows, where they are wide
POSITION = "\0position"  # a column's name that no file has

Positions = npt.NDArray[np.int64]
Piece: TypeAlias = Any  # a record batch, or the number of rows that can't pass the filter


@dataclass(frozen=True)
class Rows:
    """Some rows of a unit.

    Attributes:
        batch: the rows of the pool among them.
        positions: int64[rows], where in the file each of them is.
    """

    batch: pa.RecordBatch
    positions: Positions


class Left(Protocol):
    """Rows of a pool that are to be left out."""

    def holds(self, source: str, positions: Positions) -> npt.NDArray[np.bool_]:
        """Which of some rows are left out.

        Args:
            source: path of their file. positions: int64[rows], in the file.

        Returns:
            bool[rows].
        """
        ...


class Reader:
    """Reads units of a pool one after another, without decoding a row twice where they adjoin.

    Attributes:
        filtered: rows of the last unit that the pool's filter leaves out.
        left: rows of the last unit that pass it, but are to be left out.
    """

    def __init__(
        self,
        pool: Pool,
        columns: Sequence[str] | None,
        watch: Watch,
        leave: Left | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            pool: what to read. columns: of it, or None for all.
            watch: told of rows that are read, and listened to.
            leave: rows to leave out.
        """
        self._pool = pool
        self._columns = list(columns) if columns is not None else None
        self._watch = watch
        self._leave = leave
        self._at: tuple[str, int] | None = None  # source, and the row that comes next
        self._pieces: Iterator[Piece] = iter(())
        self._rest: Piece | None = None
        self._selection: pc.Expression | None = None
        self.filtered = self.left = 0

    def batches(self, unit: Unit) -> Iterator[Rows]:
        """Read a unit's rows.

        Args:
            unit: of the pool.

        Yields:
            The rows that belong to the pool, in batches of at most 32,768.

        Raises:
            InputError: when the file is broken, or changes meanwhile.
            StorageError: when its store does not answer.
            StoppedError: when the run is to end.
        """
        self.filtered = self.left = 0
        row, stop = unit.first_row, unit.first_row + unit.rows
        table = self._pool.by_path[unit.source].table  # in the output's store, where converted
        try:
            with answering(table):
                if self._at != (unit.source, unit.first_row):
                    self._open(unit)
                while row < stop:
                    piece = self._next(stop - row)
                    size = _size(piece)
                    if isinstance(piece, int):
                        self.filtered += piece
                    else:
                        yield self._select(unit.source, piece, row)
                    row += size
                    self._watch.advance(size)
            pool_file = self._pool.by_path[unit.source]
            if pool_file.table == pool_file.path:  # else the conversion has seen to it
                refuse_changed(pool_file.path, pool_file.file.identity)
            self._at = (unit.source, stop)
        except (pa.ArrowException, OSError, StopIteration) as error:
            self._at = None
            reason = first_line(error) or "it ends before its last row"
            raise InputError(unit.source, f"can't be read: {reason}") from error
        except BaseException:
            self._at = None
            raise

    def _next(self, most: int) -> Piece:
        piece = next(self._pieces) if self._rest is None else self._rest
        self._rest = None
        if _size(piece) > most:
            piece, self._rest = _cut(piece, most)
        return piece

    def _open(self, unit: Unit) -> None:
        pool_file = self._pool.by_path[unit.source]
        columns = self._columns
        width = len(columns) if columns is not None else len(pool_file.columns or ())
        file = open_parquet(pool_file.table, width)
        most = min(BATCH_ROWS, pool_file.rows_within(BATCH_BYTES))
        self._selection = self._pool.selection(pool_file)
        if columns is not None and self._selection is not None:
            columns = list(dict.fromkeys([*columns, *self._pool.selection_columns(pool_file)]))
        row = group = 0
        while group < file.num_row_groups and row < unit.anchor:
            row += file.metadata.row_group(group).num_rows
            group += 1
        self._rest = None
        groups = range(group, file.num_row_groups)
        if self._selection is None or pool_file.common is not None:
            self._pieces = _read_groups(file, groups, columns, most)
        else:
            try:
                passing = _passing_groups(pool_file.table, self._selection)
            except pa.ArrowException as error:
                raise _unanswered(unit.source, error) from error
            self._pieces = _read_passing(file, groups, columns, most, passing)
        if pool_file.common is not None:
            names = pool_file.common.names if columns is None else columns
            wanted = pa.schema([pool_file.common.field(name) for name in names])
            self._pieces = (_conformed(piece, wanted) for piece in self._pieces)
        skip = unit.first_row - row
        while skip > 0:
            skip -= _size(self._next(skip))

    def _select(self, source: str, batch: pa.RecordBatch, first: int) -> Rows:
        positions = np.arange(first, first + batch.num_rows)
        if self._selection is not None:
            try:
                table = pa.Table.from_batches([without_views(batch)])
                table = table.append_column(POSITION, pa.array(positions))
                table = table.filter(self._selection).combine_chunks()
            except pa.ArrowException as error:
                raise _unanswered(source, error) from error
            self.filtered += batch.num_rows - len(table)
            positions = table[POSITION].to_numpy()
            batch = _to_batch(table.select(self._columns or table.column_names[:-1]))
        if self._leave is not None:
            leave = self._leave.holds(source, positions)
            self.left += int(leave.sum())
            batch = without_views(batch).filter(pa.array(~leave))
            positions = positions[~leave]
        return Rows(batch, positions)


def _unanswered(source: str, error: pa.ArrowException) -> InputError:
    return InputError(source, f"--where can't be told of all rows: {first_line(error)}")


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


class CorruptRows:
    """Rows of a unit whose strings are no UTF-8."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[str, list[int]] = {}

    def add(self, column: str, rows: npt.NDArray[np.int64]) -> None:
        """Note corrupt rows.

        Args:
            column: its name. rows: where in the file they are, counted from 0.
        """
        if len(rows):
            self._found.setdefault(column, []).extend(rows.tolist())

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


def id_texts(array: pa.Array) -> pa.Array:
    """The identity column as strings: whole numbers become their decimal digits."""
    return pc.cast(array, pa.string()) if pa.types.is_integer(array.type) else array


def read_texts(
    columns: Sequence[str], rows: Rows, corrupt: CorruptRows
) -> tuple[dict[str, pa.Array], npt.NDArray[np.bool_]]:
    """Read columns as strings.

    Args:
        columns: their names. rows: of a unit. corrupt: told of strings that are no UTF-8.

    Returns:
        The columns by name; and bool[rows], of which rows all are there and UTF-8.
    """
    texts: dict[str, pa.Array] = {}
    valid = np.ones(len(rows.positions), bool)
    for name in columns:
        texts[name], bad = valid_texts(id_texts(rows.batch.column(name)))
        corrupt.add(name, rows.positions[bad])
        valid &= texts[name].is_valid().to_numpy(zero_copy_only=False)
    return texts, valid


def without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turn columns of string and binary views, which Arrow can't filter, into plain ones.

    Args:
        batch: any columns, nested ones among them.
    """
    schema = pa.schema(
        [field.with_type(_plain_type(field.type)) for field in batch.schema],
        metadata=batch.schema.metadata,
    )
    return batch if schema.equals(batch.schema) else batch.cast(schema)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        plain = _plain_type(kind.value_type)
        return kind if plain == kind.value_type else plain
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


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _to_batch(table: pa.Table) -> pa.RecordBatch:
    columns = [c.chunk(0) if c.num_chunks == 1 else c.combine_chunks() for c in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=table.schema)


def _size(piece: Piece) -> int:
    return piece if isinstance(piece, int) else piece.num_rows


def _cut(piece: Piece, rows: int) -> tuple[Piece, Piece]:
    if isinstance(piece, int):
        return rows, piece - rows
    return piece.slice(0, rows), piece.slice(rows)


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return _to_batch(conform(pa.Table.from_batches([batch]), schema))


def _read_groups(
    file: pq.ParquetFile, groups: Sequence[int], columns: list[str] | None, most: int
) -> Iterator[Piece]:
    batches: Iterator[Any] = file.iter_batches(
        most, row_groups=list(groups), columns=columns, use_threads=False
    )
    return batches


def _read_passing(
    file: pq.ParquetFile,
    groups: Sequence[int],
    columns: list[str] | None,
    most: int,
    passing: set[int],
) -> Iterator[Piece]:
    for group in groups:
        if group in passing:
            yield from _read_groups(file, [group], columns, most)
        else:
            yield file.metadata.row_group(group).num_rows


def _passing_groups(path: str, selection: pc.Expression) -> set[int]:
    """Row groups that may hold rows which pass, as the footer's statistics tell."""
    remote = "://" in path
    fragment = ds.ParquetFileFormat().make_fragment(
        open_remote(path) if remote else path,
        None if remote else pa.fs.LocalFileSystem(),
    )
    return {group.id for group in fragment.subset(filter=selection).row_groups}
