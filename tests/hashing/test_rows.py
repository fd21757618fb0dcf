"""The hash of a row is what its definition says, written anew in plain Python with xxhash."""

import datetime
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.hashing.rows import hash_rows, hash_values

# ---- the oracle: docs/reproducibility.md, a line of it each


def xxh(message: bytes, seed: int) -> int:
    return xxhash.xxh64_intdigest(message, seed)


def le(number: int) -> bytes:
    return (number % 2**64).to_bytes(8, "little")


def value_hash(value: Any) -> int:
    match value:
        case None:
            return xxh(b"", 0)
        case bool() | int():
            return xxh(le(int(value)), 1)
        case float():
            nan = bytes(6) + b"\xf8\x7f"
            return xxh(nan if value != value else struct.pack("<d", value), 2)
        case str():
            return xxh(value.encode(), 3)
        case bytes():
            return xxh(value, 3)
        case list():
            result = 4
            for item in value:
                result = xxh(le(value_hash(item)), result)
            return result
        case dict():
            return fold(value, 5)
    raise TypeError(value)


def fold(fields: dict[str, Any], start: int) -> int:
    result = start
    for name in sorted(fields, key=str.encode):
        result = xxh(le(xxh(name.encode(), 0)) + le(value_hash(fields[name])), result)
    return result


# ---- values of all types

NAMES = st.text(max_size=3)
SCALARS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-(2**7), 2**7 - 1)),
    (pa.uint16(), st.integers(0, 2**16 - 1)),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float16(), st.floats(width=16)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.string(), st.text(max_size=40)),
    (pa.large_string(), st.text(max_size=40)),
    (pa.string_view(), st.text(max_size=40)),
    (pa.binary(), st.binary(max_size=40)),
    (pa.binary_view(), st.binary(max_size=40)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["", "a", "b"])),
]


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Types made of types, each with a strategy of its values."""

    def lists(one: Any) -> st.SearchStrategy[Any]:
        kind, values = one
        several = st.lists(values | st.none(), max_size=4)
        two = st.lists(values | st.none(), min_size=2, max_size=2)
        return st.sampled_from(
            [(make(kind), several) for make in (pa.list_, pa.large_list, pa.list_view)]
            + [(pa.list_(kind, 2), two)]
        )

    def structs(named: Any) -> st.SearchStrategy[Any]:
        kind = pa.struct([(name, one) for name, (one, _) in named.items()])
        values = {name: one | st.none() for name, (_, one) in named.items()}
        return st.just((kind, st.fixed_dictionaries(values)))

    return inner.flatmap(lists) | st.dictionaries(NAMES, inner, min_size=1, max_size=3).flatmap(
        structs
    )


TYPES = st.recursive(st.sampled_from(SCALARS), nested, max_leaves=4)
COLUMNS = TYPES.flatmap(
    lambda one: st.tuples(st.just(one[0]), st.lists(one[1] | st.none(), max_size=6))
)


@given(column=COLUMNS)
def test_values(column: tuple[pa.DataType, list[Any]]) -> None:
    kind, values = column
    expected = [value_hash(value) for value in values]
    try:
        array, padded = pa.array(values, kind), pa.array([*values, *values, *values], kind)
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):  # pyarrow makes no such array
        return
    assert hash_values(array).tolist() == expected
    middle = padded.slice(len(values), len(values))
    assert hash_values(middle).tolist() == expected


@pytest.mark.parametrize(
    ("array", "same"),
    [
        pytest.param(pa.nulls(2), [None, None], id="nulls"),
        pytest.param(pa.array([1, None], pa.timestamp("us", "UTC")), [1, None], id="timestamps"),
        pytest.param(pa.array([1, None], pa.duration("s")), [1, None], id="durations"),
        pytest.param(pa.array([datetime.date(1970, 1, 3), None]), [2, None], id="dates"),
        pytest.param(pa.array([-5, None], pa.time32("ms")), [-5, None], id="times"),
        pytest.param(pa.array([5, None], pa.time64("us")), [5, None], id="long times"),
        pytest.param(pa.array([Decimal("-1.50"), None]), ["-1.50", None], id="decimals"),
        pytest.param(
            pa.array([Decimal("1.5"), None], pa.decimal256(50, 2)), ["1.50", None],
            id="long decimals",
        ),
        pytest.param(pa.array([b"x" * 16, None], pa.uuid()), [b"x" * 16, None], id="extensions"),
        pytest.param(
            pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int8())),
            [[{"key": "a", "value": 1}, {"key": "b", "value": None}], None, []],
            id="maps",
        ),
        pytest.param(
            pa.DictionaryArray.from_arrays([0, 1, None], pa.array(["a", None])), ["a", None, None],
            id="a null in a dictionary",
        ),
    ],
)  # fmt: skip
def test_values_of_other_types(array: pa.Array, same: list[Any]) -> None:
    assert hash_values(array).tolist() == [value_hash(value) for value in same]
    assert hash_values(array[1:]).tolist() == [value_hash(value) for value in same[1:]]


def test_every_nan_is_the_same() -> None:
    odd = np.array([0x7FF8000000000000, 0xFFF8000000000001, 0x7FF0000000000001], np.uint64)
    assert len(set(hash_values(pa.array(odd.view(np.float64))).tolist())) == 1


def test_what_differs_in_kind_or_shape_differs() -> None:
    values: list[Any] = [
        None,
        "",
        [],
        [None],
        [[]],
        {"a": None},
        {"b": None},
        0,
        0.0,
        -0.0,
        "0",
        [0],
        [0, 0],
    ]
    assert len({value_hash(value) for value in values}) == len(values)


def test_values_of_a_type_that_no_file_holds() -> None:
    array = pa.RunEndEncodedArray.from_arrays([2], [1])
    with pytest.raises(UsageError, match=r"run_end_encoded.* can't be compared"):
        hash_values(array)


# ---- rows

ROWS: list[dict[str, Any]] = [
    {"url": "a", "text": None, "n": 1, "tags": ["x", None], "é": {"w": 1.5, "h": None}},
    {"url": "a", "text": "", "n": 1, "tags": None, "é": None},
    {"url": None, "text": "long " * 20, "n": -1, "tags": [], "é": {"w": None, "h": 2}},
]
TABLE = pa.Table.from_pylist(ROWS)

LAYOUTS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "as it is": lambda table: table,
    "columns in another order": lambda table: table.select(["é", "tags", "url", "n", "text"]),
    "dictionaries": lambda table: table.set_column(0, "url", table["url"].dictionary_encode()),
    "views": lambda table: table.set_column(1, "text", table["text"].cast(pa.string_view())),
    "small numbers": lambda table: table.set_column(2, "n", table["n"].cast(pa.int8())),
    "large lists": lambda table: table.set_column(
        3, "tags", table["tags"].cast(pa.large_list(pa.large_string()))
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_rows(layout: str, seed: int) -> None:
    (batch,) = LAYOUTS[layout](TABLE).combine_chunks().to_batches()
    assert hash_rows(batch, seed).tolist() == [fold(row, seed) for row in ROWS]
    assert hash_rows(batch.slice(1, 1), seed).tolist() == [fold(ROWS[1], seed)]


def test_a_row_of_a_file(tmp_path: Any) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet")
    (batch,) = pq.read_table(tmp_path / "x.parquet").to_batches()
    assert hash_rows(batch, 7).tolist() == [fold(row, 7) for row in ROWS]


def test_no_rows() -> None:
    assert hash_rows(pa.RecordBatch.from_pylist([], TABLE.schema), 0).tolist() == []
