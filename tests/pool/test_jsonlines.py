"""JSON lines: no value altered, every line accounted for, wherever blocks are cut."""

import gzip
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metacurate.pool import jsonlines
from metacurate.pool.blocks import Block, conform, unify
from metacurate.pool.jsonlines import read_json_lines
from metacurate.pool.streams import open_stream


@contextmanager
def small(**sizes: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(jsonlines, name.upper(), size)
        yield


def blocks(*lines: bytes | str) -> list[Block]:
    data = b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    return list(read_json_lines(pa.BufferReader(data)))


def whole(parts: list[Block]) -> pa.Table:
    schema = parts[0].rows.schema
    for part in parts[1:]:
        schema = unify(schema, part.rows.schema)
    assert schema == parts[-1].rows.schema  # so that converting ends with the last block
    for part in parts:
        part.rows.validate(full=True)
        nulls = [row for row in part.rows.to_pylist() if all(v is None for v in row.values())]
        assert len(nulls) >= len(part.errors)
    return pa.concat_tables(conform(part.rows, schema) for part in parts)


def read(*lines: bytes | str) -> pa.Table:
    parts = blocks(*lines)
    assert not any(part.errors for part in parts)
    return whole(parts)


def column(*values: str) -> list[Any]:
    return read(*(f'{{"a": {value}}}' for value in values))["a"].to_pylist()  # type: ignore[no-any-return]


# ---- an oracle: Python's json, line by line, and the rule for types in one go


def depth_and_leaf(value: Any) -> tuple[int, set[str]] | None:
    """Depth and kinds of leaves; None where it can only be JSON text."""
    if value is None:
        return 0, set()
    if isinstance(value, bool):
        return 0, {"bool"}
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            return None
        return 0, {"int"} if abs(value) <= 2**53 else {"wide"}
    if isinstance(value, dict):
        return None
    if not isinstance(value, list):
        return 0, {type(value).__name__}
    return listed([depth_and_leaf(item) for item in value])


def merged(parts: list[Any]) -> tuple[int, set[str]] | None:
    if None in parts:
        return None
    depth = max((depth for depth, _ in parts), default=0)
    leaves = set().union(*(leaves for _, leaves in parts))
    if any(depth_ != depth for depth_, leaves_ in parts if leaves_):
        return None
    if len(leaves) > 1 and leaves not in ({"int", "wide"}, {"int", "float"}):
        return None
    return depth, leaves


def listed(parts: list[Any]) -> tuple[int, set[str]] | None:
    inner = merged(parts)
    return None if inner is None or inner[0] >= 4 else (inner[0] + 1, inner[1])


def plain(value: Any) -> Any:
    if isinstance(value, list):
        return [plain(item) for item in value]
    return (
        int(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**63
        else value
    )


def expected(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    result = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if merged([depth_and_leaf(value) for value in values]) is None:
            values = [
                value if value is None or isinstance(value, str)
                else json.dumps(plain(value), ensure_ascii=False)
                for value in values
            ]  # fmt: skip
        result[name] = values
    return result


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-9, 9) | st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63, 10**40, 2**60])
STRINGS = st.text(max_size=5) | st.sampled_from(["2020-01-01", "2020-01-01 00:00:00", "1", "[]"])
SCALARS = st.none() | st.booleans() | WHOLE | FLOATS | STRINGS
VALUES = st.one_of(
    WHOLE, FLOATS, STRINGS, WHOLE | FLOATS, SCALARS,
    st.lists(WHOLE | st.none(), max_size=3), st.lists(STRINGS, max_size=3),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=6,
    ),
)  # fmt: skip
KEYS = st.sampled_from(["a", "b", "é"]) | st.text(max_size=2)


@st.composite
def objects(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows whose columns are often of one kind."""
    kinds = draw(
        st.dictionaries(
            KEYS,
            st.sampled_from([WHOLE, FLOATS, STRINGS, VALUES, WHOLE | FLOATS]),
            min_size=1,
            max_size=3,
        )
    )
    row = st.fixed_dictionaries({}, optional=dict(kinds))
    return draw(st.lists(row, min_size=1, max_size=8).filter(lambda rows: any(rows)))


@settings(max_examples=400, deadline=None)
@given(
    objects(),
    st.sampled_from([8, 9, 30, 64, 8 << 20]),
    st.booleans(),
    st.sampled_from([1, 20, 1 << 22]),
)
@example([{"a": 2**53 + 1}, {"a": 0.5}, {"a": 1}], 8, True, 1 << 22)
@example([{"a": 1}, {"a": 0.5}, {"a": 2**53 + 1}, {"a": 1.0}], 8, True, 1 << 22)
@example([{"a": []}, {"a": [[]]}, {"a": [[1]]}, {"a": [[0.5], None]}], 8, True, 1 << 22)
@example([{"a": 1.0}, {"a": [1.0, 2]}, {"a": {"b": [1.0]}}, {"a": "x"}], 8, True, 1 << 22)
@example([{"a": 1}, {"a": 0.5, "b": 1}, {"b": True}], 8, True, 1 << 22)
@example([{"a": [[[[[1]]]]]}, {"a": [[[[1]]]]}], 8, True, 1 << 22)
def test_as_python_reads_it(
    rows: list[dict[str, Any]], block: int, ascii_only: bool, cells: int
) -> None:
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    with small(block=block, cells=cells):
        table = read(*lines)
    assert table.to_pydict() == expected([json.loads(line) for line in lines])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=12) | st.sampled_from(
    [b'{"a":1}', b"null", b'{"a":Inf}', b'{"a":NaN}', b'{"a":1}{"a":2}', b'{"a":', b'1}',
     b'{"a":-0}', b'{"a":1e400}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":1,"a":1}', b"[1]",
     b"\xef\xbb\xbf{}",
     b'{"a":"\x00"}', b'{"a":[1]}', b'{"a":"x"}', b"", b" {}", b'{"a":1.5}\r', b"{}"]), max_size=8),
    st.sampled_from([8, 20, 8 << 20]))  # fmt: skip
def test_any_bytes(lines: list[bytes], block: int) -> None:
    """Whatever there is, each line is a row, an error or blank, the same for any blocks."""
    lines = [part for line in lines for part in line.split(b"\n")]
    results: list[Any] = []
    for size in (block, 8 << 20):
        with small(block=size):
            try:
                parts = blocks(b'{"a": null}', *lines)
            except ValueError as error:
                results.append(str(error))
                continue
        rows = whole(parts).to_pydict()
        results.append((rows, [error for part in parts for error in part.errors]))
        n_lines = 1 + sum(bool(line.strip(b" \t\r")) for line in lines)
        assert sum(len(part.rows) for part in parts) == n_lines
    assert results[0] == results[1]


# ---- types


@pytest.mark.parametrize(
    ("values", "result"),
    [
        (["1", "2.5"], [1.0, 2.5]),
        (["9007199254740993", "0.5"], ["9007199254740993", "0.5"]),
        (["9223372036854775808"], ["9223372036854775808"]),
        (["1", '"x"', "1.0", "true", "[1.0]"], ["1", "x", "1", "true", "[1]"]),
        (['{"b": 1.0, "a": null}', "{}", "null"], ['{"b": 1.0, "a": null}', "{}", None]),
        (["[]", "[1, null]"], [[], [1, None]]),
        (["[[0.5]]", "[[], [1]]"], [[[0.5]], [[], [1.0]]]),
        (['["a"]', "[1]"], ['["a"]', "[1]"]),
        (['[{"b": 1}]', "[]"], ['[{"b": 1}]', "[]"]),
        (['"2020-01-01"', '"2020-01-01T00:00:00Z"'], ["2020-01-01", "2020-01-01T00:00:00Z"]),
        (['["2020-01-01"]'], [["2020-01-01"]]),
        (['"\\u0000\\ud83d\\ude00"'], ["\0😀"]),
        (["true", "1"], ["true", "1"]),
        (["1e300", "9007199254740993.0"], [1e300, 9007199254740992.0]),
        (["null"], [None]),
    ],
)
@pytest.mark.parametrize("block", [16, 8 << 20])
def test_kinds(values: list[str], result: list[Any], block: int) -> None:
    with small(block=block):
        found = column(*values)
    assert found == result
    assert list(map(type, found)) == list(map(type, result))


def test_all_kinds_can_be_written(tmp_path: Path) -> None:
    values = ["null", "[]", "[[]]", "{}", '"x"', "1", "true", "[1.5]", "[null]"]
    table = read("{" + ", ".join(f'"{i}": {value}' for i, value in enumerate(values)) + "}")
    pq.write_table(table, tmp_path / "a.parquet")
    back = pq.ParquetFile(tmp_path / "a.parquet").read()
    assert conform(back, table.schema).to_pylist() == table.to_pylist()


def test_rounding_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        conform(pa.table({"a": [2**53 + 1]}), pa.schema([("a", pa.float64())]))


# ---- lines

BAD = [
    (b'{"a": 1', "is no JSON: Expecting ',' delimiter"),
    (b"x", "is no JSON: Expecting value (character 1)"),
    (b"[1]", "is no JSON object"),
    (b'"x"', "is no JSON object"),
    (b"3", "is no JSON object"),
    (b"null", "is no JSON object"),
    (b'{"a": 1} {"a": 2}', "is no JSON: Extra data"),
    (b'{"a": "\xff"}', "is no UTF-8 at byte 8"),
    (b'{"a": "\xed\xa0\x80"}', "is no UTF-8"),
    (b'{"a": "\x01"}', "is no JSON: Invalid control character"),
    (b'{"a": "\x00"}', "is no JSON: Invalid control character"),
    (b'{"a": 1, "a": 1}', "has the key 'a' twice"),
    (b'{"b": {"\x1b": 1}}', "is no JSON: Invalid control character"),
    (b'{"b": [{"\\u001b": 1, "\\u001b": 2}]}', "has the key '\\x1b' twice"),
    (b'{"a": "\\ud800"}', "has half of a surrogate pair"),
    (b'{"\\uDC00": 1}', "has half of a surrogate pair"),
    (b'{"a": 1e400}', "has a number beyond float64: 1e400"),
    (b'{"a": Infinity}', "has Infinity, which is no JSON"),
    (b'{"a": -Inf}', "is no JSON"),
    (b'{"a": -NaN}', "is no JSON"),
    (b'{"a": NaN}', "has NaN, which is no JSON"),
    (b'{"a": ' + b"1" * 5000 + b"}", "Exceeds the limit (4300 digits)"),
    (b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", "is nested more than 100 levels deep"),
    (b"[" * 100_000, "is nested more than 100 levels deep"),
    (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is nested more than 100 levels deep"),
    (b"\xef\xbb\xbf{}", "is no JSON"),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
@pytest.mark.parametrize("block", [8, 8 << 20])
def test_bad_lines(line: bytes, reason: str, block: int) -> None:
    with small(block=block):
        parts = blocks(b'{"a": 1, "b": "x"}', b"", line, b'{"a": 2}')
    assert [v for part in parts for v in part.rows["a"].to_pylist()] == [1, None, 2]
    (error,) = [error for part in parts for error in part.errors]
    assert error.startswith(f"line 3: {reason}")
    assert error.isprintable()


def test_nesting_that_is_not() -> None:
    assert column(json.dumps("[" * 500 + '"\\')) == ["[" * 500 + '"\\']
    assert column(json.dumps([{}] * 500)) == [json.dumps([{}] * 500)]


def test_lines_that_are_too_long() -> None:
    for block in (8, 16, 8 << 20):
        with small(block=block, row_limit=30):
            parts = blocks(
                '{"a": 1}', json.dumps({"a": "x" * 100}), '{"a": 2}', json.dumps({"a": "x" * 100})
            )
        assert [v for part in parts for v in part.rows["a"].to_pylist()] == [1, None, 2, None]
        assert [e.split(":")[0] for part in parts for e in part.errors] == ["line 2", "line 4"]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\n\n \n"])
def test_line_ends(ending: bytes) -> None:
    assert read(b'\xef\xbb\xbf{"a": 1}\r\n\r\n\t{"a": 2}\n' + ending)["a"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b'\n [{"a": 1},\n{"a": 2}]', "is a JSON array, not JSON lines"),
        (b"PAR1\x15\x04\x15", "Parquet"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        (b"x\ny\n", "is no JSON lines: line 1: is no JSON"),
        (b"{}\n", "is no JSON lines"),
    ],
)
def test_files_that_are_none(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        blocks(data)


def test_too_many_columns() -> None:
    with small(columns=10), pytest.raises(ValueError, match="has more than 10 different keys"):
        blocks(*(f'{{"{i}": 1}}' for i in range(11)))


def test_bad_lines_before_the_first_column() -> None:
    with small(block=8):
        parts = blocks("x", "{}", "y", '{"a": 1}')
    assert whole(parts)["a"].to_pylist() == [None, None, None, 1]
    assert [error.split(":")[0] for error in parts[0].errors] == ["line 1", "line 3"]


def test_compressed_and_cut_short(tmp_path: Path) -> None:
    data = gzip.compress(b'{"a": 1}\n' * 1000)
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    parts = read_json_lines(open_stream(str(tmp_path / "a.jsonl.gz")))
    assert sum(len(part.rows) for part in parts) == 1000
    (tmp_path / "a.jsonl.gz").write_bytes(data[:-9])
    with pytest.raises(OSError, match="cut short"):
        list(read_json_lines(open_stream(str(tmp_path / "a.jsonl.gz"))))


def test_no_rounding_of_fractions() -> None:
    assert column("0.1", "-1.5e-7", "1e-400") == [0.1, -1.5e-7, 0.0]
    assert math.isclose(column("3.141592653589793238")[0], math.pi)
