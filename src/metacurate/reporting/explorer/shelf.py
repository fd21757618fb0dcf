"""Files of pairs that rows are asked for: the pool, or the kept pairs, one file after another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation.census import VALUED
from metacurate.engine.stores import answering
from metacurate.errors import InputError, first_line
from metacurate.pool.blocks import conform
from metacurate.pool.files import refuse_changed
from metacurate.pool.reader import POSITION, without_views
from metacurate.pool.tables import Pool, PoolFile, column_type, open_parquet
from metacurate.reporting.explorer.plain_rows import PlainRow, read_plainly
from metacurate.reporting.explorer.showing import has_domain, small_letters
from metacurate.reporting.explorer.tables import EncodingError, Patience, Tables, quote
from metacurate.schema import CURATED, is_text

ROW = "file_row_number"  # DuckDB's name for a row's place in its file
GROUPS_KEPT = 64  # row groups of which it is remembered which rows pass the pool's filter


@dataclass(frozen=True)
class Place:
    """Where a row stands.

    Attributes:
        file: number of its file, in the pool's order. row: in the file.
    """

    file: int
    row: int


@dataclass(frozen=True)
class Found:
    """A row that was read.

    Attributes:
        place: where it stands. id: the url, or what stands for it; as text. text: the caption.
        drawn: of kept pairs the entries' ids, keep probability and smallest threshold.
        values: of the columns language and attribute, where there are any.
    """

    place: Place
    id: str | None
    text: str | None
    drawn: tuple[list[int], float, float] | None
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class Condition:
    """What rows must have, as DuckDB can tell; more may be asked of what it finds.

    Attributes:
        words: that the text holds. entry_id: that is in the list of entries, of kept pairs.
        domain: in small ASCII letters, that the id holds. values: of columns, by name.
        incomplete: whether id or text must be missing. ids: that it must be one of, if any.
    """

    words: Sequence[str] = ()
    entry_id: int | None = None
    domain: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    incomplete: bool = False
    ids: frozenset[str] = frozenset()

    def holds(self, id_: str | None, text: str | None, values: Mapping[str, str | None]) -> bool:
        """Whether a row meets it, but for lists of entries; see `_tests` for the same in SQL.

        Args:
            id_, text: of the row. values: of its columns, by name.
        """
        if self.incomplete and not (id_ is None or text is None):
            return False
        if self.ids and (id_ not in self.ids or text is None):
            return False
        if self.domain and not has_domain(id_ or "", self.domain):
            return False
        if any(values[name] != value for name, value in self.values.items()):
            return False
        return all(word in (text or "") for word in self.words)


class Shelf:
    """Files of pairs.

    Attributes:
        pool: the files, and which of their columns make a pair.
        kept: whether they hold what curation adds.
    """

    def __init__(self, pool: Pool, kept: bool) -> None:
        """Open DuckDB for the files.

        Raises:
            MetacurateError: when DuckDB is missing.
        """
        self.pool = pool
        self.kept = kept
        self._tables = Tables([file.table for file in pool.files if file.problem is None])
        self._passing = lru_cache(GROUPS_KEPT)(self._read_passing)
        self._names = lru_cache(4096)(self._read_names)

    @cached_property
    def valued(self) -> list[str]:
        """Which of the columns language and attribute some of the files have."""
        schemas = {file.schema for file in self.pool.files if file.schema is not None}
        return [name for name in VALUED if any(_has_texts(schema, name) for schema in schemas)]

    def file(self, number: int) -> PoolFile:
        """A file that rows are asked of.

        Args:
            number: of it.

        Raises:
            InputError: when it can't be read.
        """
        file = self.pool.files[number]
        if file.problem is not None:
            raise InputError(file.path, file.problem)
        assert file.schema is not None
        if any(name.lower() == ROW for name in file.schema.names):
            raise InputError(file.path, f"a column {ROW} of its own hides where its rows stand")
        return file

    def _unchanged(self, number: int) -> PoolFile:
        """A file that is what it was when the shelf was opened; an InputError where it is not."""
        file = self.file(number)
        if file.table == file.path:  # of others, copies are read
            refuse_changed(file.path, file.file.identity)
        return file

    def find(
        self, start: Place, stop: int, condition: Condition, most: int, patience: Patience
    ) -> list[Found]:
        """Find rows of a file.

        Args:
            start: where to begin. stop: the row before which to end.
            condition: what they must have. most: how many, at the most.
            patience: breaks it off.

        Returns:
            The first of them, in order.

        Raises:
            InputError: when the file can't be read. TooSlowError: when time is over.
        """
        file = self._unchanged(start.file)
        if any(not _has_texts(file.schema, name) for name in condition.values):
            return []
        valued = [name for name in self.valued if _has_texts(file.schema, name)]
        names = self._names(start.file)
        identity, text = (quote(names[c]) for c in (self.pool.id_column, self.pool.text_column))
        identity = f"CAST({identity} AS VARCHAR)"
        added = [quote(names[name]) for name in CURATED.names] if self.kept else []
        tests, values = _tests(condition, identity, text, names)
        columns = [ROW, identity, text, *added, *(quote(names[name]) for name in valued)]
        query = (
            f"SELECT {', '.join(columns)} FROM read_parquet(?, hive_partitioning = false) "  # noqa: S608 - names are quoted
            f"WHERE {' AND '.join([f'{ROW} >= ? AND {ROW} < ?', *tests])} LIMIT {int(most)}"
        )
        try:
            rows = self._tables.ask(file.table, query, [start.row, stop, *values], patience)
        except EncodingError:
            if self.kept:
                raise
            return self._find_plainly(start, stop, condition, valued, most, patience)
        rest = 3 + len(added)
        return [
            Found(
                Place(start.file, row[0]),
                row[1],
                row[2],
                (row[3], row[4], row[5]) if added else None,
                dict(zip(valued, row[rest:], strict=True)),
            )
            for row in sorted(rows, key=lambda row: row[0])
        ]

    def _find_plainly(
        self,
        start: Place,
        stop: int,
        condition: Condition,
        valued: list[str],
        most: int,
        patience: Patience,
    ) -> list[Found]:
        def passes(row: PlainRow) -> bool:
            values = dict(zip(valued, row.values, strict=True))
            return condition.holds(row.id, row.text, values)

        columns = [self.pool.id_column, self.pool.text_column, *valued]
        rows = range(start.row, stop)
        found = read_plainly(self.file(start.file), columns, rows, passes, most, patience)
        return [
            Found(
                Place(start.file, row.row),
                row.id,
                row.text,
                None,
                dict(zip(valued, row.values, strict=True)),
            )
            for row in found
        ]

    def whole_row(self, place: Place, patience: Patience) -> dict[str, str | None]:
        """All columns of a row, by name, as texts: Python has no value for some that Parquet has.

        Args:
            place: where it stands. patience: breaks it off.

        Raises:
            InputError, TooSlowError: as for `find`.
        """
        file = self._unchanged(place.file)
        query = (
            "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM read_parquet(?, hive_partitioning = false) "  # noqa: S608
            f"WHERE {ROW} = ?"
        )
        rows = self._tables.ask(file.table, query, [place.row], patience)
        assert file.schema is not None
        return dict(zip(file.schema.names, rows[0], strict=True)) if rows else {}

    def passes(self, number: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which rows the pool's filter leaves in; Arrow tells, as it did when pairs were drawn.

        Args:
            number: of the file. rows: int64[rows], in it, ascending.

        Returns:
            bool[rows].

        Raises:
            InputError: when the file can't be read.
        """
        file = self.file(number)
        result = np.ones(len(rows), bool)
        if self.kept or self.pool.selection(file) is None:
            return result
        starts = np.array([0, *accumulate(file.row_groups)])
        groups = np.searchsorted(starts, rows, "right") - 1
        for group in np.unique(groups).tolist():
            inside = groups == group
            result[inside] = self._passing(number, group)[rows[inside] - starts[group]]
        return result

    def _read_passing(self, number: int, group: int) -> npt.NDArray[np.bool_]:
        file = self._unchanged(number)
        names = self.pool.selection_columns(file)
        try:
            with answering(file.table):
                table = open_parquet(file.table, len(names)).read_row_group(group, columns=names)
            if file.common is not None:
                table = conform(table, pa.schema([file.common.field(name) for name in names]))
            batches = [without_views(batch) for batch in table.to_batches()]
            rows = pa.array(np.arange(len(table)))
            plain = pa.Table.from_batches(batches) if batches else table
            passing = plain.append_column(POSITION, rows).filter(self.pool.selection(file))
        except (pa.ArrowException, OSError) as error:
            raise InputError(file.path, f"can't be read: {first_line(error)}") from error
        result = np.zeros(len(table), bool)
        result[passing[POSITION].to_numpy()] = True
        return result

    def _read_names(self, number: int) -> dict[str, str]:
        """What DuckDB calls each column of a file."""
        file = self.file(number)
        assert file.schema is not None
        names = self._tables.columns(file.table, Patience(60))
        return dict(zip(file.schema.names, names, strict=True))


def _has_texts(schema: pa.Schema | None, name: str) -> bool:
    kind = None if schema is None else column_type(schema, name)
    return kind is not None and is_text(kind)


def _domain_part(domain: str) -> str:
    """What an id must hold if its host lies in a domain: case is folded for ASCII letters only."""
    if domain.isascii():
        return small_letters(domain)
    runs = "".join(" " if char.isascii() else char for char in domain).split()
    return max(runs, key=len, default="")


def _tests(
    condition: Condition, identity: str, text: str, names: Mapping[str, str]
) -> tuple[list[str], list[Any]]:
    """A condition in SQL: tests, and the values that their question marks stand for."""
    tests: list[str] = []
    values: list[Any] = []
    for word in condition.words:
        tests.append(f"contains({text}, ?)")
        values.append(word)
    if condition.entry_id is not None:
        tests.append(f"list_contains({quote(names['entries'])}, ?)")
        values.append(condition.entry_id)
    if condition.domain:  # a part of what is asked; the rest is looked at afterwards
        folded = f"lower({identity})" if condition.domain.isascii() else identity
        tests.append(f"contains({folded}, ?)")
        values.append(_domain_part(condition.domain))
    for name, value in condition.values.items():
        tests.append(f"{quote(names[name])} = ?")
        values.append(value)
    if condition.incomplete:
        tests.append(f"({identity} IS NULL OR {text} IS NULL)")
    if condition.ids:
        tests.append(f"({text} IS NOT NULL AND {identity} IN (SELECT unnest(?)))")
        values.append(sorted(condition.ids))
    return tests, values
