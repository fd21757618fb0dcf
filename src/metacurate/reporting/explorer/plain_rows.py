"""Rows of files that DuckDB refuses, as one text in them is no UTF-8: read by Arrow, row by row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from metacurate.engine.stores import answering
from metacurate.errors import InputError, first_line
from metacurate.pool.reader import id_texts, valid_texts
from metacurate.pool.tables import PoolFile, open_parquet
from metacurate.reporting.explorer.tables import Patience

BATCH = 8192  # rows


@dataclass(frozen=True)
class PlainRow:
    """A row.

    Attributes:
        row: where it stands in the file. id, text: None where missing, or no UTF-8.
        values: of the other columns that were asked for.
    """

    row: int
    id: str | None
    text: str | None
    values: Sequence[str | None]


def read_plainly(
    file: PoolFile,
    columns: Sequence[str],
    rows: range,
    passes: Callable[[PlainRow], bool],
    most: int,
    patience: Patience,
) -> list[PlainRow]:
    """Read some rows of a file.

    Args:
        file: of a pool. columns: of id and text, and others that hold texts.
        rows: of the file. passes: whether a row is wanted. most: how many, at the most.
        patience: breaks it off.

    Raises:
        InputError: when the file can't be read.
        TooSlowError: when time is over.
    """
    found: list[PlainRow] = []
    try:
        with answering(file.table):
            for first, batch in _batches(file, columns, rows):
                patience.check()
                texts = [
                    valid_texts(id_texts(batch.column(name)))[0].to_pylist() for name in columns
                ]
                for row, (identity, text, *values) in enumerate(zip(*texts, strict=True), first):
                    one = PlainRow(row, identity, text, values)
                    if row in rows and passes(one):
                        found.append(one)
                        if len(found) == most:
                            return found
    except (pa.ArrowException, OSError) as error:
        raise InputError(file.path, f"can't be read: {first_line(error)}") from error
    return found


def _batches(
    file: PoolFile, columns: Sequence[str], rows: range
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batches of the row groups that some rows lie in, each with its first row's place."""
    opened = open_parquet(file.table, len(columns))
    first = 0
    for group, size in enumerate(file.row_groups):
        if first < rows.stop and first + size > rows.start:
            at = first
            names = list(columns)
            for batch in opened.iter_batches(BATCH, [group], names, use_threads=False):
                if at >= rows.stop:
                    return
                if at + batch.num_rows > rows.start:
                    yield at, batch
                at += batch.num_rows
        first += size
