"""Conditions: that rows pass as plain Python says they should, and that errors help."""

import ast
import math
import operator
import pickle
import struct
import sys
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.pool.where import MAX_CHARACTERS, Where

NAN = math.nan


def passing(text: str, table: pa.Table) -> list[int]:
    """Positions of the rows that pass."""
    return [
        i for i, found in enumerate(evaluate(Where.parse(text).bind(table.schema), table)) if found
    ]


def evaluate(expression: pc.Expression, table: pa.Table) -> list[bool | None]:
    """What an expression says of each row; tables with string views can't be filtered."""
    scanner = ds.dataset(table).scanner(columns={"passes": expression})
    return list(scanner.to_table()["passes"].to_pylist())


def refusal(text: str, schema: pa.Schema | None = None) -> str:
    """What is said of a condition that can't be: by parse, or else by bind."""
    if schema is None:
        with pytest.raises(UsageError) as caught:
            Where.parse(text)
    else:
        where = Where.parse(text)
        with pytest.raises(UsageError) as caught:
            where.bind(schema)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- against an oracle: random conditions, each a text and a function of a row

Row = dict[str, Any]
Oracle = Callable[[Row], Any]
Part = tuple[str, Oracle]
SYMBOLS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
COLUMNS = pa.schema(
    [
        ("i8", pa.int8()), ("u8", pa.uint8()), ("i", pa.int32()), ("u64", pa.uint64()),
        ("i64", pa.int64()), ("f", pa.float32()), ("d", pa.float64()), ("digits", pa.string()),
        ("s", pa.string()), ("large", pa.large_string()), ("view", pa.string_view()),
        ("codes", pa.dictionary(pa.int32(), pa.string())), ("b", pa.bool_()), ("void", pa.null()),
        ("day", pa.date32()), ("time", pa.timestamp("us", "UTC")),
        ("odd name", pa.int32()), ("m", pa.struct([("score", pa.float32()), ("k", pa.string())])),
    ]
)  # fmt: skip
WHOLE = {"i8": (-128, 127), "u8": (0, 255), "i": (-(2**31), 2**31 - 1), "u64": (0, 2**64 - 1),
         "i64": (-(2**63), 2**63 - 1), 'col("odd name")': (-(2**31), 2**31 - 1)}  # fmt: skip
FLOATS = ("f", "d", "m.score", "digits", "void")
TEXTS = ("s", "large", "view", "codes", "m.k", "void")
words = st.sampled_from(["", "a", "b", "ab", "aB", "é", "日本", 'a"b', "\\", "'"]) | st.text("aB.é")
floats32 = st.sampled_from([0.0, -0.0, 0.25, 0.28, 1.5, NAN, math.inf, -math.inf]) | st.floats(
    width=32, allow_subnormal=False
)
moments = st.datetimes(datetime(1960, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
days = st.dates(date(1960, 1, 1), date(2040, 1, 1))


def single(number: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return number


def whole(name: str) -> st.SearchStrategy[int]:
    low, high = WHOLE[name]
    return st.integers(max(low, -3), 3) | st.integers(low, high)


def numeral(number: float) -> str:
    return "-inf" if number == -math.inf else repr(number)


cells: dict[str, st.SearchStrategy[Any]] = {
    **{name: whole(name) for name in ("i8", "u8", "i", "u64", "i64")},
    "odd name": whole('col("odd name")'),
    "f": floats32.map(single),
    "d": floats32,
    "digits": st.just("") | st.integers(-9, 9).map(str) | floats32.map(numeral),
    **dict.fromkeys(("s", "large", "view", "codes"), words),
    "b": st.booleans(),
    "void": st.none(),
    "day": days,
    "time": moments,
}
cells["m"] = st.fixed_dictionaries({"score": st.none() | cells["f"], "k": st.none() | words})
rows = st.fixed_dictionaries({name: st.none() | cell for name, cell in cells.items()})


def raw(row: Row, name: str) -> Any:
    if name.startswith("m."):
        return (row["m"] or {}).get(name[2:])
    return row[name.removeprefix('col("').removesuffix('")')]


def get(name: str) -> Oracle:
    """The oracle of a column: NaN and the empty string for a number are unknown."""

    def value(row: Row) -> Any:
        cell = raw(row, name)
        if name == "digits":
            cell = float(cell) if cell else None
        return None if isinstance(cell, float) and math.isnan(cell) else cell

    return value


def lift(function: Callable[..., Any], *parts: Oracle) -> Oracle:
    """A function of what is known; unknown where any part is."""

    def value(row: Row) -> Any:
        values = [part(row) for part in parts]
        return None if None in values else function(*values)

    return value


def compute(symbol: str, a: float, b: float) -> float | None:
    a, b = float(a), float(b)
    if symbol == "/" and b == 0:
        return None
    call = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[symbol]
    result = float(call(a, b))
    return None if math.isnan(result) else result


def both(values: Sequence[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def all_of(parts: Sequence[Oracle], wanted: bool = True) -> Oracle:
    """And; or, of what is not wanted, by De Morgan."""

    def value(row: Row) -> Any:
        values = [part(row) for part in parts]
        return both(values) if wanted else negated(both([negated(v) for v in values]))

    return value


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Oracle, st.SearchStrategy[Any]]:
    """A number for each row, and literals to compare it with."""
    kind = draw(st.sampled_from(["whole", "float", "computed", "length"]))
    literal: st.SearchStrategy[Any] = st.integers(-9, 9) | st.floats(-9, 9)
    if kind == "whole":
        name = draw(st.sampled_from(sorted(WHOLE)))
        low, high = WHOLE[name]
        edges = st.sampled_from([low - 1, low, high, high + 1, low - 0.5, high + 0.5, 2.5, 1e30])
        return name, get(name), whole(name) | literal | edges
    if kind == "float":
        name = draw(st.sampled_from(FLOATS))
        return name, get(name), st.floats(allow_nan=False, allow_infinity=False) | literal
    if kind == "length":
        name = draw(st.sampled_from(TEXTS))
        return f"length({name})", lift(len, get(name)), literal
    a, b = (draw(st.sampled_from(["i8", "u8", "i", "f", "d", "digits"])) for _ in range(2))
    symbol = draw(st.sampled_from("+-*/"))
    c = draw(st.integers(0, 3))
    text, part = f"{a} {symbol} {b}", lift(lambda x, y: compute(symbol, x, y), get(a), get(b))
    if c:
        text, part = f"-({text}) * {c}", lift(lambda x: compute("*", -x, c), part)
    return text, part, literal


def fits(name: str, literal: float) -> float:
    """A literal as it is compared with a column: of float32, it is rounded."""
    rounded = single(literal) if name in ("f", "m.score") else literal
    return literal if math.isinf(rounded) else rounded


@st.composite
def comparisons(draw: st.DrawFn) -> Part:
    symbol = draw(st.sampled_from(sorted(SYMBOLS)))
    kind = draw(st.sampled_from(["number", "chain", "columns", "text", "time", "day", "truth"]))
    call = SYMBOLS[symbol]
    if kind in ("number", "chain"):
        name, part, literals = draw(numbers())
        low, high = draw(literals), draw(literals)
        right = lift(lambda x: call(x, fits(name, high)), part)
        if kind == "number":
            return f"{name} {symbol} {high!r}", right
        left = lift(lambda x: fits(name, low) <= x, part)
        return f"{low!r} <= {name} {symbol} {high!r}", all_of([left, right])
    if kind == "columns":
        names = draw(
            st.sampled_from([("i8", "u8"), ("i", "u64"), ("u64", "i64"), ("f", "d"), ("s", "void"),
                             ("i8", "digits"), ("f", "u8"), ("s", "view"), ("large", "codes"),
                             ("m.k", "s"), ("void", "void"), ("void", "i"), ("b", "void")])
        )  # fmt: skip
        return symbol.join(names), lift(call, get(names[0]), get(names[1]))
    if kind == "text":
        name, literal = draw(st.sampled_from(TEXTS)), draw(words)
        if draw(st.booleans()):
            return f"lower({name}) {symbol} {literal!r}", lift(
                lambda x: call(x.lower(), literal), get(name)
            )
        return f"{name} {symbol} {literal!r}", lift(lambda x: call(x, literal), get(name))
    if kind == "truth":
        wanted = draw(st.booleans())
        return f"b {symbol} {wanted}", lift(lambda x: call(x, wanted), get("b"))
    name, moment = ("day", draw(days)) if kind == "day" else ("time", draw(moments))
    return f"{name} {symbol} {moment.isoformat()!r}", lift(lambda x: call(x, moment), get(name))


@st.composite
def conditions_of_one(draw: st.DrawFn) -> Part:
    kind = draw(st.sampled_from(["function", "in", "texts", "none", "column"]))
    if kind == "function":
        name, literal = draw(st.sampled_from(TEXTS)), draw(words)
        function, call = draw(
            st.sampled_from([("startswith", str.startswith), ("endswith", str.endswith),
                             ("contains", str.__contains__)])
        )  # fmt: skip
        return f"{function}({name}, {literal!r})", lift(lambda x: call(x, literal), get(name))
    inside = draw(st.booleans())
    if kind == "in":
        name, part, literals = draw(numbers())
        items = draw(st.lists(literals, min_size=1, max_size=5))
        values = [fits(name, item) for item in items]
    elif kind == "texts":
        name = draw(st.sampled_from(TEXTS))
        part, items = get(name), draw(st.lists(words, min_size=1, max_size=5))
        values = items
    elif kind == "none":
        name = draw(st.sampled_from(sorted(set(COLUMNS.names) - {"odd name"}) + ["m.score"]))
        text = f"{name} is None" if inside else f"{name} is not None"
        return text, lambda row: (raw(row, name) is None) is inside
    else:
        return "b", get("b")
    text = f"{name} {'in' if inside else 'not in'} [{', '.join(map(repr, items))}]"
    return text, lift(lambda x: (x in values) is inside, part)


def combined(parts: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    several = st.lists(parts, min_size=2, max_size=3)

    def join(word: str) -> Callable[[list[Part]], Part]:
        return lambda found: (
            f" {word} ".join(f"({text})" for text, _ in found),
            all_of([part for _, part in found], word == "and"),
        )

    def refused(part: Part) -> Part:
        return f"not ({part[0]})", lambda row: negated(part[1](row))

    return several.map(join("and")) | several.map(join("or")) | parts.map(refused)


conditions = st.recursive(comparisons() | conditions_of_one(), combined, max_leaves=6)


def table_of(found: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(found, schema=COLUMNS)


@settings(max_examples=400, deadline=None)
@given(st.lists(rows, max_size=6), conditions)
def test_rows_pass_as_plain_python_says(found: list[Row], condition: Part) -> None:
    text, oracle = condition
    expected = [i for i, row in enumerate(found) if oracle(row) is True]
    assert passing(text, table_of(found)) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=12), conditions)
def test_skipping_row_groups_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, found: list[Row], condition: Part
) -> None:
    text, oracle = condition
    path = tmp_path_factory.mktemp("where") / "p.parquet"
    pq.write_table(table_of(found), path, row_group_size=2)
    expression = Where.parse(text).bind(pq.read_schema(path))
    (fragment,) = ds.dataset(path).get_fragments()
    kept = [group.id for group in fragment.subset(filter=expression).row_groups]
    scanned = evaluate(expression, pq.ParquetFile(path).read_row_groups(kept))
    assert scanned.count(True) == sum(oracle(row) is True for row in found)


# ---- row groups are skipped


def kept_groups(path: Path, text: str) -> list[int]:
    (fragment,) = ds.dataset(path).get_fragments()
    expression = Where.parse(text).bind(fragment.physical_schema)
    return [group.id for group in fragment.subset(filter=expression).row_groups]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        pytest.param("similarity > 0.28", [2, 3], id="float32"),
        pytest.param("similarity >= 0.28", [1, 2, 3], id="float32, rounded as the column is"),
        pytest.param("not similarity <= 0.28", [2, 3], id="not"),
        pytest.param("score > 0.28", [2, 3], id="float64"),
        pytest.param("score >= 1", [3], id="float64 and a whole number"),
        pytest.param("width >= 200", [2, 3], id="int32"),
        pytest.param("200 <= width", [2, 3], id="int32, mirrored"),
        pytest.param("width > 200.5", [3], id="int32 and a fraction"),
        pytest.param("width >= 2 * 100", [2, 3], id="computed from literals"),
        pytest.param("width < 1e30", [0, 1, 2, 3], id="always"),
        pytest.param("width > 1e30", [], id="never"),
        pytest.param("100 < width < 300", [2], id="chain"),
        pytest.param("width in [50, 300]", [0, 3], id="list"),
        pytest.param('text < "c"', [0, 1], id="text"),
        pytest.param('large in ["c", "d"]', [2, 3], id="large_string"),
        pytest.param('day >= "1970-01-04"', [3], id="date"),
        pytest.param('time < "1970-01-01 00:00:01"', [0], id="timestamp"),
        pytest.param("meta.width >= 200", [2, 3], id="field of a struct"),
        pytest.param("width >= 200 and score < 0.6", [2], id="and"),
        pytest.param("width == 50 or score == 1", [0, 3], id="or"),
        pytest.param("width is None", [], id="no nulls"),
    ],
)
def test_row_groups_are_skipped(text: str, groups: list[int], tmp_path: Path) -> None:
    similarity = [0.1, 0.1, 0.2, 0.28, 0.29, 0.5, 0.9, 1.0]
    width = [50, 60, 70, 90, 100, 200, 300, 400]
    table = pa.table(
        {
            "similarity": pa.array(similarity, pa.float32()),
            "score": similarity,
            "width": pa.array(width, pa.int32()),
            "text": list("aabbccdd"),
            "large": pa.array(list("aabbccdd"), pa.large_string()),
            "day": pa.array([0, 0, 1, 1, 2, 2, 3, 3], pa.date32()),
            "time": pa.array([0, 0, 1, 1, 2, 2, 3, 3], pa.timestamp("s", "UTC")),
            "meta": [{"width": w} for w in width],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=2)
    kept = kept_groups(tmp_path / "p.parquet", text)
    assert kept == groups
    assert {row // 2 for row in passing(text, table)} <= set(kept)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
@pytest.mark.parametrize(
    "text",
    ["x != 0.5", "not x < 0.7", "not (x == 0.5 or x > 3)", "x not in [0.5]", "x - 1 != -0.5",
     "not (x is None)", "x is not None and not x == 0.5", "not 0 < x < 1"],
)  # fmt: skip
def test_no_statistics_tell_of_nan(text: str, kind: pa.DataType, tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([0.5, NAN, NAN, NAN, 0.5, None, 0.9, NAN], kind)})
    pq.write_table(table, tmp_path / "p.parquet", row_group_size=2)
    expression = Where.parse(text).bind(table.schema)
    found = ds.dataset(tmp_path / "p.parquet").to_table(filter=expression)
    assert len(found) == len(table.filter(expression)) == len(passing(text, table))


# ---- the language

PEOPLE = pa.table(
    {
        "text": ["A dog", "a Cat", "", None, "été"],
        "width": pa.array([199, 200, 201, None, -5], pa.int32()),
        "similarity": pa.array([0.28, 0.3, NAN, None, 0.1], pa.float32()),
        "number": ["1", "2", "", None, "1e3"],
        "ok": [True, False, None, True, False],
        "original width": [1, 2, 3, 4, 5],
        "a.b": [1, 2, 3, 4, 5],
        "class": [1, 2, 3, 4, 5],
        "": [1, 2, 3, 4, 5],
        "größe": [1, 2, 3, 4, 5],
        "length": [1, 2, 3, 4, 5],
        "big": pa.array([0, 2**63, 2**64 - 1, None, 1], pa.uint64()),
        "price": pa.array([None, "1.50", "2.25", "3.00", "-1.00"]).cast(pa.decimal128(9, 2)),
        "endless": pa.array([0, math.inf, -math.inf, None, NAN], pa.float32()),
        "half": pa.array([0.25, 0.5, 1, None, NAN], pa.float16()),
        "taken": pa.array(["2019-12-31", "2020-01-01", "2020-06-01", None, "1969-01-01"]).cast(
            pa.date32()
        ),
        "seen": pa.array([0, 1_577_836_800, 1_577_836_801, None, -1], pa.timestamp("s")),
        "zoned": pa.array([0, 1_577_836_800, 1, None, -1], pa.timestamp("s", "America/New_York")),
        "meta": [{"score": 1, "in": {"k": "x"}}, {"score": None}, None, {"score": 4}, {"score": 5}],
        "tags": [["a"], [], None, ["b"], ["c"]],
        "coded": pa.array([1, 2, 3, None, 5]).dictionary_encode(),
        "raw": [b"a", b"b", b"c", None, b"e"],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("similarity > 0.25 and width >= 200", [1], id="the usual"),
        pytest.param("similarity > 0.28", [1], id="rounded to float32"),
        pytest.param("similarity == 0.28", [0], id="equal after rounding"),
        pytest.param("similarity < 1e300", [0, 1, 4], id="beyond float32"),
        pytest.param("1 / length > 1e300 or endless > 1e300", [1], id="endless beyond float32"),
        pytest.param("endless < 1e300", [0, 2], id="not endless"),
        pytest.param("width >= 200.5", [2], id="fraction"),
        pytest.param("width == 200.0", [1], id="whole float"),
        pytest.param("width == 200.5", [], id="never equal"),
        pytest.param("width != 200.5", [0, 1, 2, 4], id="always unequal, but for null"),
        pytest.param("width > 9999999999", [], id="beyond int32"),
        pytest.param("-5 <= width < 200", [0, 4], id="chain"),
        pytest.param("width == -5", [4], id="negative"),
        pytest.param("width == +200", [1], id="positive"),
        pytest.param("big >= 9223372036854775808", [1, 2], id="uint64"),
        pytest.param("big > -1", [0, 1, 2, 4], id="uint64 and a negative"),
        pytest.param("big > endless", [2], id="uint64 and float32"),
        pytest.param("big > width", [1, 2, 4], id="uint64 and int32"),
        pytest.param("not width == 200", [0, 2, 4], id="null stays unknown"),
        pytest.param("width is None", [3], id="is None"),
        pytest.param("width is not None", [0, 1, 2, 4], id="is not None"),
        pytest.param("not width is None", [0, 1, 2, 4], id="not is None"),
        pytest.param("similarity is None", [3], id="NaN is not None"),
        pytest.param("tags is not None and raw is not None", [0, 1, 4], id="None of any type"),
        pytest.param("width in [200, 201.0, 0.5]", [1, 2], id="in"),
        pytest.param("width not in (200, 201)", [0, 4], id="not in"),
        pytest.param("ok", [0, 3], id="column of truth values"),
        pytest.param("not ok", [1, 4], id="not column"),
        pytest.param("ok == False", [1, 4], id="truth value"),
        pytest.param("ok in [True, False]", [0, 1, 3, 4], id="truth values"),
        pytest.param("width / 2 > 99.6", [1, 2], id="true division"),
        pytest.param("length / (length - 2) > 0 and 1 / (length - 1) < 1", [2, 3, 4], id="by zero"),
        pytest.param("not (1 / (length - 1) > 0)", [], id="by zero is unknown"),
        pytest.param("width * width * width * width > 0", [0, 1, 2, 4], id="nothing overflows"),
        pytest.param("-width > 0", [4], id="minus"),
        pytest.param("length(text) == 5", [0, 1], id="length"),
        pytest.param("length(text) == 3", [4], id="length in characters"),
        pytest.param('lower(text) == "a cat"', [1], id="lower"),
        pytest.param('upper(text) == "ÉTÉ"', [4], id="upper"),
        pytest.param('startswith(text, "a")', [1], id="startswith"),
        pytest.param('endswith(text, "g")', [0], id="endswith"),
        pytest.param('contains(text, " ")', [0, 1], id="contains"),
        pytest.param('contains(text, "")', [0, 1, 2, 4], id="contains nothing"),
        pytest.param('not contains(text, "dog")', [1, 2, 4], id="not contains"),
        pytest.param('startswith(lower(text), "a ")', [0, 1], id="nested"),
        pytest.param(r'matches(text, "^\w \w+$")', [0, 1], id="matches"),
        pytest.param(r'matches(text, r"(?i)CAT|é$")', [1, 4], id="matches anywhere"),
        pytest.param('text in ["A dog", ""]', [0, 2], id="texts"),
        pytest.param('text == "A " "dog"', [0], id="joined literals"),
        pytest.param("number >= 1", [0, 1, 4], id="strings as numbers"),
        pytest.param("number == 1000", [4], id="strings as floats"),
        pytest.param("number in [1, 2]", [0, 1], id="strings in numbers"),
        pytest.param("number * 2 == 4", [1], id="strings computed with"),
        pytest.param("number == length", [0, 1], id="strings and numbers"),
        pytest.param('number == "1"', [0], id="strings as strings"),
        pytest.param("number is None", [3], id="an empty string is not None"),
        pytest.param('col("original width") > 4', [4], id="column with a space"),
        pytest.param('col("a.b") > 4', [4], id="column with a dot"),
        pytest.param('col("class") > 4', [4], id="column with a keyword's name"),
        pytest.param('col("") > 4', [4], id="column without a name"),
        pytest.param("größe > 4", [4], id="column beyond ASCII"),
        pytest.param("length > 4", [4], id="column with a function's name"),
        pytest.param("meta.score >= 1", [0, 3, 4], id="field"),
        pytest.param('col("meta").score >= 1', [0, 3, 4], id="field of col"),
        pytest.param("meta.score is None", [1, 2], id="field of null"),
        pytest.param("price > 1.5", [2, 3], id="decimal"),
        pytest.param("half >= 0.5", [1, 2], id="float16"),
        pytest.param("coded >= 3", [2, 4], id="dictionary of numbers"),
        pytest.param('taken >= "2020-01-01"', [1, 2], id="date"),
        pytest.param('taken in ["2020-01-01", "1969-01-01"]', [1, 4], id="dates"),
        pytest.param('"2020-01-01" > taken', [0, 4], id="date, mirrored"),
        pytest.param('seen >= "2020-01-01"', [1, 2], id="timestamp and date"),
        pytest.param('seen > "2020-01-01T00:00:00"', [2], id="timestamp"),
        pytest.param("seen > taken", [4], id="timestamp and date columns"),
        pytest.param('zoned >= "2020-01-01"', [1], id="in UTC without a zone"),
        pytest.param('zoned >= "2020-01-01 02:00+02:00"', [1], id="with a zone"),
        pytest.param("(\n  width >= 200  # wide\n  and ok is None\n)", [2], id="several lines"),
        pytest.param("  width > 200 ", [2], id="space around"),
    ],
)  # fmt: skip
def test_language(text: str, expected: list[int]) -> None:
    assert passing(text, PEOPLE) == expected


def test_columns_in_order_of_appearance() -> None:
    text = ' b > 1 and col("a b") < b or not meta.x in [1] and length(c.d.e) > a / meta.y '
    where = Where.parse(text)
    assert where.columns == ("b", "a b", "meta", "c", "a")
    assert where.text == text.strip()
    assert pickle.loads(pickle.dumps(where)) == where
    assert hash(where) == hash(Where.parse(text))


@pytest.mark.parametrize("column", ["x", "s", "d", "m"])
def test_columns_of_nulls(column: str) -> None:
    table = pa.table({column: pa.nulls(3)})
    for text in ("{0} > 1", '{0} == "a"', "{0}", "not {0}", "{0}.a > 1", "length({0}) > 1",
                 'contains({0}, "a")', "{0} + 1 > 0", "{0} in [1]", "{0} == {0}"):  # fmt: skip
        assert passing(text.format(column), table) == []
    assert passing(f"{column} is None", table) == [0, 1, 2]
    table = pa.table({column: pa.array([{"a": None}, None])})
    assert passing(f"{column}.a.b is None and not {column}.a > 1", table) == []
    assert passing(f"{column}.a.b is None", table) == [0, 1]


def test_text_layouts_that_become_plain() -> None:
    table = pa.table(
        {
            "view": pa.array(["a", "b", None], pa.string_view()),
            "code": pa.array(["a", "b", None]).dictionary_encode(),
        }
    )
    plain = table.cast(pa.schema([("view", pa.string()), ("code", pa.string())]))
    for text in ('view == "a"', 'code in ["a"]', 'startswith(view, "a")', 'view == code < "b"'):
        expression = Where.parse(text).bind(table.schema)
        assert plain.filter(expression).num_rows == 1
        assert passing(text, table) == [0]


def test_a_string_that_is_no_number() -> None:
    table = pa.table({"width": ["1", "wide"]})
    expression = Where.parse("width > 1").bind(table.schema)
    with pytest.raises(pa.ArrowInvalid, match="Failed to parse string: 'wide'"):
        table.filter(expression)


def test_many_items() -> None:
    table = pa.table({"x": pa.array(range(5000), pa.int32())})
    items = list(range(0, 4000, 2))
    text = f"x in {items}".replace(" ", "").replace("in", " in ")
    assert len(text) < MAX_CHARACTERS
    assert passing(text, table) == items
    either = " or ".join(f"x=={item}" for item in items[:900])
    assert passing(either, table) == items[:900]


# ---- what is refused

X = pa.schema([("x", pa.int32())])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the condition is empty"),
        (" \n", "the condition is empty"),
        ("x = 3", "'=' at character 3: compare with =="),
        ('x = "a == b"', "'=' at character 3: compare with =="),
        ("x <> 3", "'<>' at character 3: write !="),
        ("x === 3", "'===' at character 3: write =="),
        ("x > 1 && y > 2", "'&&' at character 7: write and"),
        ("x > 1 || y > 2", "'||' at character 7: write or"),
        ("!x", "'!' at character 1: write not"),
        ("`x y` > 1", "'`' at character 1: write col("),
        ("x is null", "'null' at character 6: write None"),
        ("x IS NULL", "'IS NULL' at character 3: write is None, or is not None"),
        ("x is not null", "write None"),
        ("x IS NOT NULL", "'IS NOT NULL' at character 3: write is None"),
        ("x == NULL", "'NULL' at character 6: write None; a column of that name is col(\"NULL\")"),
        ("x == None", "'None' at character 6: write x is None, or x is not None"),
        ("x in [None, 1]", "'None' at character 7: write x is None"),
        ("ok == true", "'true' at character 7: write True"),
        ("x > 1 AND y > 2", "'AND' at character 7: write it in small letters"),
        ("x > 1 Or y > 2", "'Or' at character 7: write it in small letters"),
        ("NOT x > 1", "'NOT' at character 1: write it in small letters"),
        ("x IN [1]", "'IN' at character 3: write it in small letters"),
        ("x LIKE 'a%'", "'LIKE' at character 3: write contains("),
        ("x not like 'a%'", "'like' at character 7: write contains("),
        ("x between 1 and 2", "'between' at character 3: write low <= x <= high"),
        ("x > 1\nand y > 2", "put a condition of several lines in parentheses"),
        ("x > 1 & y > 2", "'1 & y' at character 5: write and, with comparisons on both sides"),
        ("(x > 1) | (y > 2)", "at character 1: write or, with comparisons on both sides"),
        ("~(x > 1)", "'~(x > 1)' at character 1: write not"),
        ("x is 3", "'3' at character 6: is goes with None or not None only"),
        ("x + 1 is None", "'x + 1' at character 1: only a column"),
        ('x in "abc"', "'\"abc\"' at character 6: write a list"),
        ('"dog" in text', "'text' at character 10: write a list, as in [\"a\"]; for a part"),
        ("x in []", "'[]' at character 6: write a list"),
        ("x in {1, 2}", "'{1, 2}' at character 6: write a list"),
        ("x in [1, 'a']", "write a list of numbers, or one of texts"),
        ("x in [1, y]", "write a list of numbers, or one of texts"),
        ("x in [*y]", "'*y' at character 7: not allowed in a condition"),
        ("1 < 2", "'1' at character 1: no column is compared"),
        ('"width" > 3', "write one without quotes, or as col("),
        ("3", "'3' at character 1: 3 is no condition"),
        ("True", "'True' at character 1: True is no condition"),
        ("x or 'y'", "'y' is no condition"),
        ("x + 1", "'x + 1' at character 1: type double is no condition"),
        ("lower(x)", "type string is no condition: compare it"),
        ("(x > 1) == True", "'x > 1' at character 2: a condition is no value"),
        ("(x > 1) + 1 > 0", "a condition is no value"),
        ("(not x) == y", "a condition is no value"),
        ('contains(x, "a") == True', "write contains(column, \"text\"), as a condition of its own"),
        ("contains(x)", "write contains(column, \"text\")"),
        ("contains(x, y)", "write contains(column, \"text\")"),
        ('contains("a", x)', "write contains(column, \"text\")"),
        ('contains("a", "b")', "contains() takes a column of strings, not 'a'"),
        ('contains(x, pattern="b")', "write contains(column, \"text\")"),
        ('startswith(x + 1, "b")', "startswith() takes a column of strings, not type double"),
        ("length() > 1", "write length(column)"),
        ("col(x) > 1", 'write col("name")'),
        ("col('a', 'b') > 1", 'write col("name")'),
        ('x.startswith("a")', "write startswith(column, ...)"),
        ("len(x) > 1", "no such function: there are col, length, lower, upper, startswith"),
        ('matches(x, "(")', "'\"(\"' at character 12: Invalid regular expression: missing ): ("),
        ('x == "\\ud800"', "half a character is no text"),
        ("x > 1e999", "'1e999' at character 5: too large a number"),
        ("x > 1e200 * 1e200", "'1e200 * 1e200' at character 5: too large a number"),
        (f"x > {10**400}", "too large a number"),
        (f"x * {10**400} > 1", "too large a number"),
        (f"x > {10**400} / 3", "too large"),
        ("x > 1 / 0", "'1 / 0' at character 5: division by zero"),
        ('x + "1" > 2', "'\"1\"' at character 5: '1' is nothing to compute with"),
        ("x + True > 2", "True is nothing to compute with"),
        ("-'a' > x", "'a' is nothing to compute with"),
        ("x % 2 == 0", "'x % 2' at character 1: not allowed in a condition"),
        ("x ** 2 > 1", "not allowed in a condition"),
        ("x // 2 > 1", "not allowed in a condition"),
        ("x > 1j", "'1j' at character 5: not allowed in a condition"),
        ("x == b'a'", "not allowed in a condition"),
        ("x == ...", "not allowed in a condition"),
        ("x[0] > 1", "'x[0]' at character 1: not allowed in a condition"),
        ("x > (1", "at character 5: '(' was never closed"),
        ("x >", "'x >' at character 4: invalid syntax"),
        ("'x", "unterminated string literal"),
        ("größe > 1 and ß ** 2 > 1", "'ß ** 2' at character 15: not allowed"),
        ("(größe > 1 and\n ß ** 2 > 1)", "'ß ** 2' at line 2, character 2: not allowed"),
    ],
)  # fmt: skip
def test_refused(text: str, message: str) -> None:
    assert message in refusal(text)


@pytest.mark.parametrize(
    "text",
    ['__import__("os")', '__import__("os").system("true")', "().__class__.__bases__[0]",
     "(lambda: x)() > 1", "lambda x: x", "[y for y in x] == 1", "x in [y for y in z]",
     "{y: 1 for y in x} == 1", "(y for y in x)", 'f"{x}" == "a"', "(x := 1) > 0", "*x",
     "x in [*y]", "await x", "(yield)", "x; import os", "import os", "x > 1 if y else z",
     "exec('x')", "open('x')", "x.__class__()", "''.join(x) == 'a'", "(1).real == x", "x @ y > 1",
     "'{0.__class__}'.format(x) == x", "x[1:2] == 'a'", "x << 99999 > 1", "9 ** 9 ** 9 > x",
     "col(col('x')) > 1", "col(f'x') > 1", "length(*x) > 1", "length(**x) > 1", "print(x) > 1",
     "x > 1\0", "\0", "\ud800 > 1", "x == '\udcff'", "x > " + "9" * 5000],
)  # fmt: skip
def test_hostile(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize("text", ["x.__class__ > 1", "__builtins__ > 1", "x.__class__.mro > 1"])
def test_attributes_are_fields(text: str) -> None:
    assert "no column" in refusal(text, X) or "without fields" in refusal(text, X)


@pytest.mark.parametrize(
    "text",
    ["(" * 4000 + "x" + ")" * 4000, "not " * 2000 + "x", "-" * 9000 + "x > 1", "x" + ".a" * 4000,
     "x" + "+1" * 4000 + "> 1", "length(" * 1000 + "x" + ")" * 1000, "[" * 9000,
     "x in " + "[" * 150 + "]" * 150, "x < 1 and (" * 150 + "x < 1" + ")" * 150],
)  # fmt: skip
def test_huge_nesting(text: str) -> None:
    assert "nest" in refusal(text)


def test_deep_in_the_callers_stack() -> None:
    def descend(depth: int) -> str:
        return descend(depth - 1) if depth else refusal("not " * 2000 + "x")

    assert "nested too deep" in descend(sys.getrecursionlimit() // 2)


def test_length_is_limited() -> None:
    text = "x > 1" + " " * MAX_CHARACTERS
    assert Where.parse(text).text == "x > 1"
    assert "longer than 10,000 characters" in refusal(text + "or x > 1")


def test_long_messages_are_cut() -> None:
    assert len(refusal("x ** 2 > 1 + " + "y" * 9000)) < 200


def test_no_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Where.parse('matches(x, "\\d") and x is not None and 3<x')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("widht > 1", "'widht' at character 1: no column 'widht' (there is width)"),
        ("WIDTH > 1", "no column 'WIDTH' (there is width)"),
        ("zzz > 1", "no column 'zzz' (there is text, width, similarity,"),
        ("a.b > 1", "the column of this name is col(\"a.b\")"),
        ("meta.scor > 1", "no field 'scor' (there is score)"),
        ("width.x > 1", "'width' is of type int32, without fields"),
        ('width > "a"', "'width' at character 1: type int32 can't be compared with 'a'"),
        ('width in ["a"]', "'width' at character 1: type int32"),
        ("width == True", "type int32 can't be compared with True"),
        ("ok == 1", "'ok' at character 1: type bool can't be compared with 1"),
        ("ok == width", "type bool can't be compared with type int32"),
        ('ok == "yes"', "type bool can't be compared with 'yes'"),
        ("text == True", "type string can't be compared with True"),
        ("taken > 2020", "type date32[day] can't be compared with 2020"),
        ("taken > text", "type date32[day] can't be compared with type string"),
        ('taken > "2020"', "'\"2020\"' at character 9: no date32[day]: write it as 2020-12-31"),
        ('seen > "noon"', "no timestamp[s]: write it as 2020-12-31 or 2020-12-31T23:59:59"),
        ("seen > zoned", "'seen > zoned': Cannot compare timestamp with timezone to"),
        ("taken + 1 > 2", "'taken' at character 1: type date32[day] is nothing to compute with"),
        ("ok + 1 > 2", "type bool is nothing to compute with"),
        ("tags == 1", "'tags' at character 1: type list<"),
        ("meta == meta", "type struct<"),
        ('raw == "a"', "'raw' at character 1: type binary can't be compared with 'a'"),
        ("width", "'width' at character 1: type int32 is no condition: compare it"),
        ("not text", "'text' at character 5: type string is no condition"),
        ("ok and width", "'width' at character 8: type int32 is no condition"),
        ("length(width) > 1", "length() takes a column of strings, not type int32"),
        ('contains(tags, "a")', "contains() takes a column of strings, not type list<"),
    ],
)  # fmt: skip
def test_refused_by_a_schema(text: str, message: str) -> None:
    assert message in refusal(text, PEOPLE.schema)


def test_columns_of_one_name() -> None:
    twice = pa.schema([("x", pa.int32()), ("x", pa.int32()), ("y", pa.int32())])
    assert "2 columns have the name 'x'" in refusal("x > 1", twice)
    Where.parse("y > 1").bind(twice)
    inner = pa.schema([("m", pa.struct([("x", pa.int32()), ("x", pa.int32())]))])
    assert "2 fields have the name 'x'" in refusal("m.x > 1", inner)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | st.text("xy01 <>=()[]'\".,andornti\\\n-+*/&|~", max_size=40))
@example("x\\\n")
@example("(x\r\n> 1 @)")
@example("x > '\\\n'")
def test_any_text_is_read_or_refused(text: str) -> None:
    schema = pa.schema([("x", pa.int32()), ("y", pa.string())])
    try:
        expression = Where.parse(text).bind(schema)
    except UsageError:
        return
    ast.parse(text.strip(), mode="eval")
    assert isinstance(expression, pc.Expression)
