"""Blocks of rows: what the readers of text formats and tars make of a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

BLOCK_ROWS = 16_384  # rows of a block, at most,
BLOCK_BYTES = 8 << 20  # or fewer where they are long


@dataclass(frozen=True)
class Block:
    """Some rows of a file that follow one another.

    Attributes:
        rows: in the file's order; a row that can't be read is one of nulls, in its place.
        errors: one line for each such row, naming its position and the reason.
    """

    rows: pa.Table
    errors: tuple[str, ...] = ()


def make_table(objects: Sequence[dict[str, Any] | None]) -> pa.Table:
    """A table of JSON objects, with a column for each key, in the order of their appearance.

    A column whose values are of one kind has its type; one that mixes kinds, or holds whole
    numbers beyond 64 bits, becomes one of strings: strings stay as they are, and all other
    values become JSON. Strings are never taken for dates.

    Args:
        objects: None makes a row of nulls.
    """
    names = list(dict.fromkeys(name for row in objects if row is not None for name in row))
    columns = [[None if row is None else row.get(name) for row in objects] for name in names]
    if not names:
        return pa.table({}).append_column("", pa.nulls(len(objects))).select([])
    return pa.table([_column(values) for values in columns], names=names)


def unify(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """The columns of two blocks of a file: what lacks in one is null there.

    Args:
        first, second: their schemas. A column of two kinds becomes one of strings.
    """
    fields = {field.name: field.type for field in first}
    for field in second:
        fields[field.name] = _common(fields.get(field.name, pa.null()), field.type) or pa.string()
    return pa.schema(list(fields.items()))


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a block's rows to the columns of the whole file.

    Args:
        table: the rows. schema: by `unify`, of theirs and others.
    """
    if table.schema.equals(schema):
        return table
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(len(table), field.type))
        elif table[field.name].type == field.type:
            columns.append(table[field.name])
        elif pa.types.is_string(field.type):
            columns.append(_as_text(table[field.name].to_pylist()))
        else:
            columns.append(pa.array(table[field.name].to_pylist(), field.type))
    return pa.table(columns, schema=schema)


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return _as_text(values)


def _as_text(values: list[Any]) -> pa.Array:
    return pa.array(
        [
            value if value is None or isinstance(value, str)
            else json.dumps(value, ensure_ascii=False)
            for value in values
        ],
        pa.string(),
    )  # fmt: skip


def _common(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type that holds the values of both as they are; None where there is none."""
    if first == second or pa.types.is_null(second):
        return first
    if pa.types.is_null(first):
        return second
    if {first, second} == {pa.int64(), pa.float64()}:
        return pa.float64()
    if pa.types.is_list(first) and pa.types.is_list(second):
        inner = _common(first.value_type, second.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        fields = {field.name: field.type for field in first}
        for field in second:
            kind = _common(fields.get(field.name, pa.null()), field.type)
            if kind is None:
                return None
            fields[field.name] = kind
        return pa.struct(list(fields.items()))
    return None
