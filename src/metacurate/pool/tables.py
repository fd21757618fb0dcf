"""A pool: Parquet files of pairs, the columns that make a pair, and the units of work."""

import hashlib
import logging
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal, NoReturn, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from metacurate.engine.stage import Unit
from metacurate.engine.stores import answering, locate
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.pool.files import InputFile
from metacurate.pool.where import Where
from metacurate.schema import CURATED, is_text

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Found = TypeVar("Found")

UNIT_ROWS = 131_072
REMOTE_BUFFER = 32 << 20  # bytes of all columns that are asked for ahead: a request takes time
LEAST_BUFFER = 1 << 18  # of one column
FOOTERS_AT_ONCE = 32  # for the same reason
UNIT_BYTES = 64 << 20  # or fewer rows, where they are wide
ROUND = b"metacurate.round"  # in a curated file's metadata: the round that drew it
TAR_ID = "__id__"  # of samples in tars: the tar's name, and the key
SMALLEST_THRESHOLD = CURATED.names[-1]
STATUS = "status"  # in img2dataset's tables: what became of a download

URL_NAMES = ("url", "image_url")  # in the order in which they are looked for, in any case
TEXT_NAMES = ("text", "caption")


@dataclass(frozen=True)
class PoolFile:
    """One file of a pool, as the footer of its Parquet table tells it.

    Attributes:
        file: path or URI, identity and format.
        table: the Parquet file that holds its rows: itself, or what it was converted into.
        row_groups: number of rows of each.
        schema: the Arrow schema; None where the file can't be read.
        problem: why it can't be worked on, or None.
        bytes: of all rows, uncompressed.
        conversion: what decided how it was converted, in hex; "" for Parquet.
        common: columns that its rows are brought to, where those of other files are wider.
    """

    file: InputFile
    table: str
    row_groups: tuple[int, ...]
    schema: pa.Schema | None
    problem: str | None
    bytes: int = 0
    conversion: str = ""
    common: pa.Schema | None = None

    @property
    def path(self) -> str:
        """Path or URI of the file."""
        return self.file.path

    @property
    def identity(self) -> str:
        """What changes when the file does, or what is taken of it."""
        taken = "sidecar" if self.file.sidecar else self.conversion
        return f"{self.file.identity} {taken}".rstrip()

    @property
    def columns(self) -> pa.Schema | None:
        """The columns that its rows are read with."""
        return self.schema if self.common is None else self.common

    def rows_within(self, size: int) -> int:
        """About how many rows have so many bytes; at least one.

        Args:
            size: in bytes.
        """
        return max(1, size * self.rows // max(1, self.bytes))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.row_groups)

    def anchor(self, row: int) -> int:
        """Where reading has to begin for a row: where its row group begins.

        Args:
            row: in the file.
        """
        starts = [0, *accumulate(self.row_groups)]
        return starts[bisect_right(starts, row) - 1]


@dataclass(frozen=True)
class Pool:
    """Files of pairs, and the columns that make a pair.

    Attributes:
        files: sorted by path.
        id_column: the url, or what stands for it in a pair's identity.
        text_column: the captions.
        round: which round of balancing this is: 0, or one more than the pool's own.
        where: which rows belong to the pool; None for all.
    """

    files: tuple[PoolFile, ...]
    id_column: str
    text_column: str
    round: int
    where: Where | None = None

    @classmethod
    def open(
        cls,
        files: Sequence[PoolFile],
        *,
        url_column: str | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
        where: Where | None = None,
        round_: int | None = None,
        only: Literal["url", "text"] | None = None,
        may_be_empty: bool = False,
    ) -> "Pool":
        """Find the columns of a pool.

        Args:
            files: from `read_footer`, sorted.
            url_column: found by its name without it.
            text_column: found by its name without it.
            id_column: a column of strings or whole numbers that tells images apart, for pools
                without urls.
            where: which rows to take.
            round_: of balancing, where the files don't tell.
            only: the one of the two columns that is read: the other need not be there.
            may_be_empty: whether it may have no rows.

        Raises:
            UsageError: when columns must be named, `where` does not fit, or tars that are to be
                told apart by their names share one.
            InputError: when no file can be worked on; for one such file among others, the
                run reports it.
            MetacurateError: when there are no rows but should be, files of several rounds, or
                files that were balanced but don't tell in which round.
        """
        schemas = [file.schema for file in files if file.schema is not None]
        if not schemas:
            _refuse(files)
        identity = text = ""
        if only != "text":
            identity = id_column or url_column or _find_column(files, URL_NAMES, "url")
        if only != "url":
            text = text_column or _find_column(files, TEXT_NAMES, "text")
        identity, text = identity or text, text or identity
        checked = tuple(
            _check_columns(file, identity, text, id_column, may_be_empty) for file in files
        )
        good = [file for file in checked if file.problem is None]
        if not good:
            _refuse(checked)
        if identity == TAR_ID:
            _refuse_namesakes(files)
        if where is not None:
            _check_where(good, where)
        if not may_be_empty and not any(file.rows for file in good):
            raise MetacurateError(f"the pool has no rows: {', '.join(f.path for f in good[:3])}")
        _tell_differences(good)
        round_ = _next_round(good) if round_ is None else round_
        return cls(checked, identity, text, round_, where)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Ranges of about 131,072 rows or 64 MB: row groups, or even parts of a large one."""
        return tuple(unit for file in self.files for unit in _cut_file(file))

    @cached_property
    def by_path(self) -> Mapping[str, PoolFile]:
        """The files by their paths."""
        return {file.path: file for file in self.files}

    @cached_property
    def first_rows(self) -> Mapping[str, int]:
        """Where each file's rows begin, by path, when those of all files are counted through."""
        first, result = 0, {}
        for file in self.files:
            result[file.path] = first
            first += file.rows
        return result

    @cached_property
    def rows(self) -> int:
        """Number of rows of all files."""
        return sum(file.rows for file in self.files)

    def __getstate__(self) -> dict[str, Any]:
        """What workers elsewhere are sent: without what is found out from it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def identity(self) -> str:
        """Hash of all files' paths, sizes and times, of the text column and the filter, in hex."""
        parts = [f"{file.path}\0{file.identity}\0{file.problem or ''}" for file in self.files]
        parts.append(f"\0text\0{self.text_column}")
        if self.where is not None:
            parts.append(f"\0where\0{self.where.text}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns of the first good file."""
        schema = next(file.schema for file in self.files if file.problem is None)
        return tuple(schema.names) if schema is not None else ()

    @property
    def filters(self) -> bool:
        """Whether rows of the files may be no part of the pool."""
        return any(self.selection(file) is not None for file in self.files if not file.problem)

    def selection(self, file: PoolFile) -> pc.Expression | None:
        """Which rows of a file belong to the pool; None for all.

        Of a table that img2dataset left beside a tar, only successes are in the tar.

        Args:
            file: one of the pool's good files.
        """
        assert file.columns is not None
        expression = None if self.where is None else self.where.bind(file.columns)
        if file.file.sidecar and column_type(file.columns, STATUS) is not None:
            success = pc.field(STATUS) == "success"
            expression = success if expression is None else expression & success
        return expression

    def selection_columns(self, file: PoolFile) -> list[str]:
        """Names of the columns that `selection` reads.

        Args:
            file: one of the pool's good files.
        """
        names = [] if self.where is None else list(self.where.columns)
        return [*names, STATUS] if file.file.sidecar else names


def column_type(schema: pa.Schema, column: str) -> pa.DataType | None:
    """Type of a column, or None where there is no such, or several."""
    index = schema.get_field_index(column)
    return schema.field(index).type if index >= 0 else None


def open_parquet(path: str, columns: int = 1) -> pq.ParquetFile:
    """Open a Parquet file to be read through, in bounded memory.

    Args:
        path: path or URI. columns: how many of them are read.

    Raises:
        ArrowException, OSError: when it is none; of stores, what `storage_errors` names.
    """
    if "://" in path:
        buffer = max(LEAST_BUFFER, REMOTE_BUFFER // max(1, columns))
        return pq.ParquetFile(open_remote(path), pre_buffer=False, buffer_size=buffer)
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)


def open_remote(path: str) -> Any:
    """Open a file of a store so that only those ranges are fetched that are asked for.

    Args:
        path: URI.

    Raises:
        OSError: when it can't be opened; of stores, what `storage_errors` names.
    """
    filesystem, name = locate(path)
    return filesystem.open(name, "rb", cache_type="none")


def read_footer(
    file: InputFile, table: str | None = None, problem: str | None = None, conversion: str = ""
) -> PoolFile:
    """Read what a Parquet file tells of itself.

    Args:
        file: of the pool.
        table: the Parquet file that it was converted into, if it is none itself.
        problem: why there is no such file.
        conversion: what decided how it was converted, in hex.

    Returns:
        Its rows and columns; or why it can't be read.

    Raises:
        StorageError: when its store does not answer.
    """
    path = table or file.path
    if problem is None and file.size == 0:
        problem = "the file is empty"
    if problem is not None:
        return PoolFile(file, path, (), None, problem)
    try:
        with answering(path):
            opened = open_parquet(path)
        groups = tuple(opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups))
        size = sum(
            opened.metadata.row_group(i).total_byte_size for i in range(opened.num_row_groups)
        )
        return PoolFile(file, path, groups, opened.schema_arrow, None, size, conversion)
    except (pa.ArrowException, OSError, ValueError) as error:
        return PoolFile(file, path, (), None, f"not a whole Parquet file: {first_line(error)}")


def read_footers(files: Sequence[InputFile]) -> list[PoolFile]:
    """Read what Parquet files tell of themselves, many at once.

    Args:
        files: of a pool.

    Raises:
        StorageError: when their store does not answer.
    """
    return with_shared_schemas(many_at_once(read_footer, files))


def many_at_once(ask: Callable[[Item], Found], items: Sequence[Item]) -> list[Found]:
    """Call a function that waits for a storage, for many items at once.

    Args:
        ask: what to call. items: with what.

    Returns:
        Its results, in the order of the items.
    """
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as threads:
        return list(threads.map(ask, items))


def with_shared_schemas(files: Sequence[PoolFile]) -> list[PoolFile]:
    """Files of which equal schemas are one object: a pool of many is sent to workers.

    Args:
        files: from `read_footer`.
    """
    known: dict[pa.Schema, pa.Schema] = {}
    return [
        replace(file, schema=known.setdefault(file.schema, file.schema))
        if file.schema is not None
        else file
        for file in files
    ]


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
    if what == "url" and first.file.format == "tar":
        others = f" or, where there is none, take --id-column {TAR_ID}"
    if first.file.format in ("csv", "tsv"):
        others += ", or all of them with --columns where the file has no header"
    raise InputError(
        first.path,
        f"no {what} column found: name it with --{what}-column{others} "
        f"(it has {_listed(first.schema)})",
    )


def _listed(schema: pa.Schema | None) -> str:
    names = [] if schema is None else list(schema.names)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(names[:20]) + more


def _check_columns(
    file: PoolFile, identity: str, text: str, id_column: str | None, may_be_empty: bool
) -> PoolFile:
    problem = file.problem
    if file.schema is not None and len(set(file.schema.names)) < len(file.schema.names):
        problem = f"two columns share a name (it has {_listed(file.schema)})"
    elif file.schema is not None:
        for column in (identity, text):
            kind = column_type(file.schema, column)
            if kind is None:
                problem = f"no column '{column}' (it has {_listed(file.schema)})"
                break
            number_id = column == id_column and pa.types.is_integer(kind)
            untyped = may_be_empty and not file.rows and pa.types.is_null(kind)
            if not (is_text(kind) or number_id or untyped):
                problem = f"column '{column}' is of type {kind}, not strings"
                break
    return replace(file, problem=problem)


def _tell_differences(files: Sequence[PoolFile]) -> None:
    first = files[0]
    for file in files:
        if first.columns is not None and not first.columns.equals(file.columns):
            log.warning(
                "%s and %s differ in columns: so will what is written, which other tools may not "
                "read as one table",
                first.path,
                file.path,
            )
            return


def _check_where(files: Sequence[PoolFile], where: Where) -> None:
    """Refuse a filter that does not fit; files of the same columns are looked at once."""
    before: pa.Schema | None = None
    for file in files:
        if file.columns is not None and (before is None or not file.columns.equals(before)):
            try:
                where.bind(file.columns)
            except UsageError as error:
                raise UsageError(f"--where: {error}") from error
            before = file.columns


def _refuse_namesakes(files: Sequence[PoolFile]) -> None:
    """Refuse tars of one name in several folders: their samples would be taken for the same."""
    seen: dict[str, str] = {}
    for file in files:
        name = file.path.rsplit("/", 1)[-1]
        if file.file.format == "tar" and seen.setdefault(name, file.path) != file.path:
            raise UsageError(
                f"{seen[name]} and {file.path} have one name, which --id-column {TAR_ID} goes by"
            )


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
    if only is None:
        for file in files:
            if file.schema is not None and SMALLEST_THRESHOLD in file.schema.names:
                raise InputError(
                    file.path,
                    f"it was balanced before (it has a column '{SMALLEST_THRESHOLD}'), but does "
                    "not tell in which round: give --round 1, or one more than its own round",
                )
    return 0 if only is None else only + 1


def _cut_file(file: PoolFile) -> Iterator[Unit]:
    def unit(first: int, rows: int, anchor: int) -> Unit:
        return Unit(file.path, file.identity, first, rows, anchor, file.problem)

    if file.problem is not None or not file.rows:  # one unit, so that shards.parquet names it
        yield unit(0, 0, 0)
        return
    first = row = 0
    most = min(UNIT_ROWS, file.rows_within(UNIT_BYTES)) if file.bytes else UNIT_ROWS
    for size in file.row_groups:
        if size > most:
            if row > first:
                yield unit(first, row - first, first)
            parts = -(-size // most)
            edges = [row + size * part // parts for part in range(parts + 1)]
            for start, stop in pairwise(edges):
                yield unit(start, stop - start, row)
            first = row + size
        elif row + size - first > most:
            yield unit(first, row - first, first)
            first = row
        row += size
    if row > first:
        yield unit(first, row - first, first)
