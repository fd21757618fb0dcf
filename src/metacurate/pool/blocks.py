"""Blocks of rows: what the readers of text formats and tars make of a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from types import NoneType
from typing import Any, NamedTuple

import pyarrow as pa

BLOCK_ROWS = 16_384  # rows of a block, at most,
BLOCK_BYTES = 8 << 20  # or fewer where they are long
EXACT = 1 << 53  # whole numbers up to this, and down to its negative, are exact as float64
LIST_DEPTH = 4  # lists within lists, at most, that become lists of a column


@dataclass(frozen=True)
class Block:
    """Some rows of a file that follow one another.

    Attributes:
        rows: in the file's order; a row that can't be read is one of nulls, in its place.
        errors: one line for each such row, naming its position and the reason.
    """

    rows: pa.Table
    errors: tuple[str, ...] = ()


class Kind(NamedTuple):
    """What the JSON values of a column have in common.

    Attributes:
        depth: how many lists they are in.
        leaf: "null", "bool", "int" (exact as float64), "wide" (int64, but not that), "float" or
            "string"; or "text" for values without such a kind, which become JSON text.
    """

    depth: int
    leaf: str

    @property
    def type(self) -> pa.DataType:
        """The type of the column."""
        result = LEAVES[self.leaf]
        for _ in range(self.depth):
            result = pa.list_(result)
        return result


LEAVES = {
    "null": pa.null(), "bool": pa.bool_(), "wide": pa.int64(), "int": pa.int64(),
    "float": pa.float64(), "text": pa.string(), "string": pa.string(),
}  # fmt: skip
NAMES = {kind: leaf for leaf, kind in LEAVES.items()}  # int64 is "int", string is "string"
NULL, STRING, TEXT = Kind(0, "null"), Kind(0, "string"), Kind(0, "text")


def kind_of(values: Sequence[Any], depth: int = 0) -> Kind:
    """The narrowest kind that all of some JSON values have.

    Args:
        values: what Python's json makes of JSON. depth: how many lists they are from.
    """
    types = set(map(type, values))
    types.discard(NoneType)
    if not types:
        return NULL
    if types == {str}:
        return STRING
    if types == {bool}:
        return Kind(0, "bool")
    if types == {float}:
        return Kind(0, "float")
    if types <= {int, float}:
        whole = [value for value in values if type(value) is int]
        low, high = min(whole), max(whole)
        if low < -(1 << 63) or high >= 1 << 63:
            return TEXT
        kind = Kind(0, "int" if max(high, -low) <= EXACT else "wide")
        return join(kind, Kind(0, "float")) if float in types else kind
    if types == {list} and depth < LIST_DEPTH:
        item = kind_of(list(chain.from_iterable(filter(None, values))), depth + 1)
        return TEXT if item == TEXT else Kind(item.depth + 1, item.leaf)
    return TEXT


def join(first: Kind, second: Kind) -> Kind:
    """The narrowest kind that holds the values of both, exactly."""
    if first.leaf == "null" and first.depth <= second.depth:
        return second
    if first == second or (second.leaf == "null" and second.depth <= first.depth):
        return first
    leaves = {first.leaf, second.leaf}
    if first.depth == second.depth and leaves in ({"int", "wide"}, {"int", "float"}):
        return Kind(first.depth, (leaves - {"int"}).pop())
    return TEXT


def json_text(value: Any) -> str:
    """A JSON value as a string: strings as they stand, everything else as JSON.

    Numbers are written the same whether they are whole by type or by value, except in objects.

    Args:
        value: what Python's json makes of JSON; no None.
    """
    if isinstance(value, str):
        return value
    return json.dumps(_canonical(value), ensure_ascii=False)


def _canonical(value: Any) -> Any:
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 63:
        return int(value)
    return value


def unify(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """The columns that can hold the rows of two blocks of a file.

    Whole numbers and floats become floats: a reader whose file has both says string for the later
    block where that would not be exact, and `conform` refuses to round.

    Args:
        first: columns of a block, or of several. second: those of a later one.

    Returns:
        The columns of the first, then new ones; of types that hold both exactly, or strings.
    """
    types = {field.name: field.type for field in first}
    for field in second:
        before = types.setdefault(field.name, field.type)
        if before != field.type:
            types[field.name] = join(_kind_of_type(before), _kind_of_type(field.type)).type
    return pa.schema(list(types.items()))


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a block's rows to columns that `unify` has found.

    Args:
        table: rows whose columns are all in `schema`.
        schema: the columns to bring them to.

    Returns:
        The rows, nulls where they had no such column.

    Raises:
        pa.ArrowInvalid: when a number would be rounded.
    """
    columns = []
    for field in schema:
        if table.schema.get_field_index(field.name) < 0:
            column: Any = pa.nulls(len(table), field.type)
        else:
            column = table[field.name]
            if column.type != field.type and field.type == pa.string():
                texts = [None if v is None else json_text(v) for v in column.to_pylist()]
                column = pa.array(texts, pa.string())
            elif column.type != field.type:
                column = column.cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _kind_of_type(kind: pa.DataType) -> Kind:
    depth = 0
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    leaf = NAMES.get(kind)
    return TEXT if leaf is None else Kind(depth, leaf)
