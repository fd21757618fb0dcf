"""`--where`: a condition on a pool's columns, turned into an Arrow expression.

The text is parsed as Python and its nodes are looked up in an allow-list; none is evaluated.
As in SQL, what is compared with a null is unknown, and unknown rows don't pass. The same goes
for NaN: the statistics by which row groups of a Parquet file are skipped don't tell of any, and
Arrow would skip some whose NaN pass `not x < 1`. So `not` is carried inwards to the comparisons,
and none of them is true of a NaN.
"""

import ast
import difflib
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from operator import add, and_, eq, ge, gt, le, lt, mul, ne, or_, sub, truediv
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from metacurate.errors import UsageError, first_line
from metacurate.schema import is_text

MAX_CHARACTERS: Final = 10_000
MAX_DEPTH: Final = 100  # levels of the syntax tree

_Comparison = Callable[[Any, Any], Any]
_COMPARISONS: Final[dict[type[ast.cmpop], _Comparison]] = {
    ast.Eq: eq, ast.NotEq: ne, ast.Lt: lt, ast.LtE: le, ast.Gt: gt, ast.GtE: ge,
}  # fmt: skip
_NEGATED: Final[dict[Any, Any]] = {eq: ne, ne: eq, lt: ge, ge: lt, gt: le, le: gt}
_MIRRORED: Final[dict[Any, Any]] = {eq: eq, ne: ne, lt: gt, gt: lt, le: ge, ge: le}
_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv,
}  # fmt: skip
_OF_TEXT: Final[dict[str, tuple[Callable[[Any], Any], pa.DataType | None]]] = {
    "length": (pc.utf8_length, pa.int32()),  # what it returns; None for the type of the text
    "lower": (pc.utf8_lower, None),
    "upper": (pc.utf8_upper, None),
}
_TESTS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "startswith": pc.starts_with,
    "endswith": pc.ends_with,
    "contains": pc.match_substring,
    "matches": pc.match_substring_regex,
}
_FUNCTIONS: Final = ("col", *_OF_TEXT, *_TESTS)
_CONSTANTS: Final = {"null": "None", "none": "None", "true": "True", "false": "False"}

_STRING: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_HABITS: Final = (  # of other languages, looked for in what is no Python
    (r"<>", "write !="),
    (r"===", "write =="),
    (r"&&", "write and"),
    (r"\|\|", "write or"),
    (r"!(?!=)", "write not"),
    (r"`", 'write col("name") where a column\'s name is no plain word'),
    (r"(?i)\bis\s+(?:not\s+)?null\b", "write is None, or is not None"),
    (r"(?i)\bi?like\b", 'write contains(x, "part"), startswith(x, "part") or matches(x, "regex")'),
    (r"(?i)\bbetween\b", "write low <= x <= high"),
    (r"\b(?!(?:and|or|not|in|is)\b)(?i:and|or|not|in|is)\b", "write it in small letters"),
    (r"(?<![=!<>:])=(?!=)", "compare with =="),
    (r"\n", "put a condition of several lines in parentheses"),
)


@dataclass(frozen=True)
class Where:
    """A condition that rows of a pool must meet.

    Attributes:
        text: as it was given, without space around it.
        columns: names of the columns that it reads, each once, in order of appearance.
    """

    text: str
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Where":
        """Read a condition, as `similarity > 0.28 and width >= 200`.

        Args:
            text: the condition.

        Raises:
            UsageError: when it is none: what can't be, where, and what to write instead.
        """
        compiler = _Compiler(text.strip(), None)
        compiler.compile()
        return cls(compiler.text, tuple(compiler.columns))

    def bind(self, schema: pa.Schema) -> pc.Expression:
        """Turn the condition into an expression on tables of a schema.

        It fits as well where the table's string views or dictionaries have become plain strings.

        Args:
            schema: of the table.

        Returns:
            Of type bool. Where strings are compared with numbers, evaluating it raises
            pa.ArrowInvalid at one that is no number.

        Raises:
            UsageError: when a column is missing or its name not unique, or its type doesn't fit.
        """
        expression = _Compiler(self.text, schema).compile()
        nulls = [pa.nulls(1, schema.field(name).type) for name in self.columns]
        try:  # on a row, as Arrow finds some types wrong only there
            row = ds.dataset(pa.table(nulls, names=self.columns))
            row.scanner(columns={"passes": expression}).to_table()
        except pa.ArrowException as error:
            raise UsageError(f"{_short(self.text)}: {first_line(error)}") from error
        return expression


@dataclass(frozen=True)
class _Value:
    """What stands on one side of a comparison.

    Attributes:
        node: where it is written.
        type: of Arrow; null where it isn't known.
        expression: what computes it for each row.
        literal: or its value, where that is what is written.
    """

    node: ast.expr
    type: pa.DataType
    expression: Any = None
    literal: Any = None

    @property
    def kind(self) -> str:
        """Values of the same kind can be compared."""
        if is_text(self.type):
            return "text"
        if pa.types.is_integer(self.type) or pa.types.is_floating(self.type):
            return "number"
        if pa.types.is_boolean(self.type):
            return "truth"
        if pa.types.is_date(self.type) or pa.types.is_timestamp(self.type):
            return "time"
        return "unknown" if pa.types.is_null(self.type) else "other"

    def __str__(self) -> str:
        return f"type {self.type}" if self.literal is None else repr(self.literal)

    def as_type(self, kind: pa.DataType) -> Any:
        """An expression: a literal or what is unknown of the type given, others of their own."""
        if self.literal is not None:
            return pc.scalar(pa.scalar(self.literal, kind))
        return self.expression.cast(kind) if self.kind == "unknown" else self.expression

    def as_number(self) -> "_Value":
        """What is computed, as a number: texts are read as such, and empty ones are null."""
        if self.kind == "number":
            return self
        expression = self.expression
        if self.kind == "text":
            null = pc.scalar(pa.scalar(None, self.type))
            expression = pc.if_else(expression == "", null, expression)
        return replace(self, expression=expression.cast(pa.float64()), type=pa.float64())

    def as_double(self) -> Any:
        """An expression of type double; whole numbers are rounded where they must be."""
        if self.literal is not None:
            return pc.scalar(float(self.literal))
        return self.as_number().expression.cast(pa.float64(), safe=False)


class _Compiler:
    """Turns a text into an expression; without a schema, its columns may be of any type."""

    def __init__(self, text: str, schema: pa.Schema | None) -> None:
        self.text = text
        self.columns: dict[str, None] = {}
        self._schema = schema

    def compile(self) -> Any:
        """The expression, of type bool."""
        if not self.text:
            raise UsageError("the condition is empty: write one, as in width >= 200")
        if len(self.text) > MAX_CHARACTERS:
            raise UsageError(f"the condition is longer than {MAX_CHARACTERS:,} characters")
        try:
            tree = _tree(self.text)
        except (RecursionError, MemoryError) as error:
            raise UsageError(f"{_short(self.text)} is nested too deep") from error
        except (SyntaxError, ValueError) as error:
            raise self._syntax_error(error) from error
        level: list[ast.AST] = [tree]
        for _ in range(MAX_DEPTH):
            level = [child for node in level for child in ast.iter_child_nodes(node)]
        if level:
            raise UsageError(f"{_short(self.text)} is nested too deep")
        return self._condition(tree, True)

    def _syntax_error(self, error: SyntaxError | ValueError) -> UsageError:
        plain = _STRING.sub(lambda string: "_" * len(string[0]), self.text)
        for habit, instead in _HABITS:
            if found := re.search(habit, plain):
                return UsageError(f"{found[0]!r} at character {found.start() + 1}: {instead}")
        if isinstance(error, SyntaxError) and error.lineno is not None:
            place = _place(error.lineno, error.offset or len(self.text) + 1)
            return UsageError(f"{_short(self.text)} at {place}: {error.msg}")
        return UsageError(f"{_short(self.text)}: {error}")

    def _error(self, node: ast.expr, problem: str) -> UsageError:
        source = ast.get_source_segment(self.text, node) or self.text
        line = re.split("\r\n|\r|\n", self.text)[node.lineno - 1].encode()
        place = _place(node.lineno, len(line[: node.col_offset].decode()) + 1)
        return UsageError(f"{_short(source)} at {place}: {problem}")

    # ---- conditions: true, false or unknown

    def _condition(self, node: ast.expr, wanted: bool) -> Any:
        """An expression that is true where the condition is as wanted: true, or false."""
        match node:
            case ast.BoolOp(op, values):
                parts = [self._condition(value, wanted) for value in values]
                return _joined(parts, isinstance(op, ast.And) is wanted)
            case ast.UnaryOp(ast.Not(), operand):
                return self._condition(operand, not wanted)
            case ast.Compare(left, ops, rights):
                pairs = zip(pairwise([left, *rights]), ops, strict=True)
                return _joined([self._pair(a, op, b, wanted) for (a, b), op in pairs], wanted)
            case ast.Call(ast.Name(name), [text, ast.Constant(str(pattern)) as part], []) if (
                name in _TESTS
            ):
                value, _ = self._text(text, name), self._literal(part, pattern)
                try:
                    if name == "matches":
                        pc.match_substring_regex(pa.scalar(""), pattern)
                except pa.ArrowInvalid as error:
                    raise self._error(part, first_line(error)) from error
                test = _TESTS[name](value.expression, pattern)
            case _:
                value = self._value(node)
                if value.literal is not None or value.kind not in ("truth", "unknown"):
                    raise self._error(node, f"{value} is no condition: compare it, as in x > 1")
                test = value.as_type(pa.bool_())
        return test if wanted else ~test

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr, wanted: bool) -> Any:
        match op, right:
            case ast.Is() | ast.IsNot(), ast.Constant(None):
                if (column := self._column(left)) is None:
                    raise self._error(left, "only a column can be asked whether it is None")
                missing = isinstance(op, ast.Is) is wanted
                return column.expression.is_null() if missing else column.expression.is_valid()
            case ast.Is() | ast.IsNot(), _:
                self._path(right)  # has more to say of null
                raise self._error(right, "is goes with None or not None only: compare with ==")
            case ast.In() | ast.NotIn(), (
                ast.List([_, *_] as elements) | ast.Tuple([_, *_] as elements)
            ):
                value, items = self._value(left), [self._value(element) for element in elements]
                if None in [item.literal for item in items] or len({i.kind for i in items}) > 1:
                    raise self._error(right, "write a list of numbers, or one of texts")
                within = isinstance(op, ast.In) is wanted
                compare = eq if within else ne
                return _joined([self._compare(value, compare, i) for i in items], not within)
            case ast.In() | ast.NotIn(), _:
                hint = 'write a list, as in ["a"]; for a part of a text: contains(x, "part")'
                raise self._error(right, hint)
        compare = _COMPARISONS[type(op)]
        return self._compare(
            self._value(left), compare if wanted else _NEGATED[compare], self._value(right)
        )

    def _compare(self, left: _Value, compare: _Comparison, right: _Value) -> Any:
        if left.literal is not None:
            if right.literal is not None:
                hint = 'no column is compared: write one without quotes, or as col("name")'
                raise self._error(left.node, hint)
            left, compare, right = right, _MIRRORED[compare], left
        kinds = {left.kind, right.kind} - {"unknown"}
        if "number" in kinds and kinds <= {"number", "text"}:
            if right.literal is None:
                return _compare_numbers(left.as_number(), compare, right.as_number())
            if right.kind == "number":
                return self._compare_literal(left.as_number(), compare, right)
        if right.literal is not None and (left.kind, right.kind) == ("time", "text"):
            right, kinds = self._moment(right, left.type), {"time"}
        if len(kinds) > 1 or not kinds <= {"text", "truth", "time"}:
            raise self._error(left.node, f"{left} can't be compared with {right}")
        kind = right.type if left.kind == "unknown" else left.type
        kind = pa.bool_() if pa.types.is_null(kind) else kind
        return compare(left.as_type(kind), right.as_type(kind))

    def _compare_literal(self, left: _Value, compare: _Comparison, right: _Value) -> Any:
        # The number takes the column's type: only so can row groups be skipped.
        if pa.types.is_integer(left.type):
            compare, whole = _whole(compare, right.literal, left.type)
            return compare(left.expression, pc.scalar(pa.scalar(whole, left.type)))
        rounded = pa.scalar(self._float(right), left.type)
        if math.isinf(rounded.as_py()):
            return _compare_floats(left.as_double(), compare, right.as_double())
        return _compare_floats(left.expression, compare, pc.scalar(rounded))

    def _moment(self, text: _Value, kind: pa.DataType) -> _Value:
        """A date or time, in UTC where neither it nor the column names a zone."""
        zoned = pa.types.is_timestamp(kind) and kind.tz
        for read_as in [pa.timestamp(kind.unit), kind] if zoned else [kind]:
            try:
                moment = pa.scalar(text.literal).cast(read_as).value
                return _Value(text.node, kind, pc.scalar(pa.scalar(moment, kind)))
            except pa.ArrowException:
                continue
        exact = " or 2020-12-31T23:59:59" * pa.types.is_timestamp(kind)
        raise self._error(text.node, f"no {kind}: write it as 2020-12-31{exact}")

    # ---- values: columns, literals, and what is computed from them

    def _value(self, node: ast.expr) -> _Value:
        match node:
            case ast.Constant(bool() | int() | float() | str() as literal):
                return self._literal(node, literal)
            case ast.Constant(None):
                raise self._error(node, "write x is None, or x is not None")
            case ast.UnaryOp(ast.USub() | ast.UAdd() as op, operand):
                value = self._operand(operand)
                if isinstance(op, ast.UAdd):
                    return replace(value, node=node)
                if value.literal is not None:
                    return self._literal(node, -value.literal)
                return _Value(node, pa.float64(), pc.negate(value.as_double()))
            case ast.BinOp(left, op, right) if type(op) in _ARITHMETIC:
                return self._computed(node, self._operand(left), op, self._operand(right))
            case ast.Call(ast.Name(name), [argument], []) if name in _OF_TEXT:
                value, (function, kind) = self._text(argument, name), _OF_TEXT[name]
                return _Value(node, kind or value.type, function(value.expression))
        if (column := self._column(node)) is None:
            raise self._error(node, _instead(node))
        return column

    def _literal(self, node: ast.expr, literal: bool | float | str) -> _Value:
        if isinstance(literal, str):
            if re.search("[\ud800-\udfff]", literal):
                raise self._error(node, "half a character is no text")
            return _Value(node, pa.string(), literal=literal)
        if isinstance(literal, float) and not math.isfinite(literal):
            raise self._error(node, "too large a number")
        kind = pa.bool_() if isinstance(literal, bool) else pa.float64()
        return _Value(node, kind, literal=literal)

    def _float(self, value: _Value) -> float:
        try:
            return float(value.literal)
        except OverflowError as error:
            raise self._error(value.node, "too large a number") from error

    def _operand(self, node: ast.expr) -> _Value:
        value = self._value(node)
        texts = value.kind == "text" and value.literal is None
        if not (texts or value.kind in ("number", "unknown")):
            raise self._error(node, f"{value} is nothing to compute with")
        return value

    def _computed(self, node: ast.expr, left: _Value, op: ast.operator, right: _Value) -> _Value:
        compute = _ARITHMETIC[type(op)]
        if left.literal is not None and right.literal is not None:
            try:
                return self._literal(node, compute(left.literal, right.literal))
            except ArithmeticError as error:
                raise self._error(node, str(error)) from error
        for literal in (value for value in (left, right) if value.literal is not None):
            self._float(literal)
        second = right.as_double()
        if isinstance(op, ast.Div):
            second = pc.if_else(second == 0.0, pc.scalar(pa.scalar(None, pa.float64())), second)
        return _Value(node, pa.float64(), compute(left.as_double(), second))

    def _text(self, node: ast.expr, function: str) -> _Value:
        value = self._value(node)
        if value.literal is not None or value.kind not in ("text", "unknown"):
            raise self._error(node, f"{function}() takes a column of strings, not {value}")
        kind = pa.string() if value.kind == "unknown" else value.type
        return replace(value, expression=value.as_type(kind), type=kind)

    def _column(self, node: ast.expr) -> _Value | None:
        """A column, or a field of structs in it; None where the node is something else."""
        if not (path := self._path(node)):
            return None
        self.columns[path[0]] = None
        kind = pa.null() if self._schema is None else pa.struct(list(self._schema))
        for depth, name in enumerate(path):
            if pa.types.is_null(kind):
                path = path[: max(depth, 1)]
                break
            if not pa.types.is_struct(kind):
                raise self._error(node, f"{path[depth - 1]!r} is of type {kind}, without fields")
            found = kind.get_all_field_indices(name)
            if len(found) != 1:
                raise self._error(node, _missing(kind, path, depth, len(found)))
            kind = kind.field(found[0]).type
        expression, plain = pc.field(*path), _plain(kind)
        return _Value(node, plain, expression if plain == kind else expression.cast(plain))

    def _path(self, node: ast.expr) -> list[str]:
        match node:
            case ast.Name(name):
                if constant := _CONSTANTS.get(name.lower()):
                    hint = f'write {constant}; a column of that name is col("{name}")'
                    raise self._error(node, hint)
                return [name]
            case ast.Call(ast.Name("col"), [ast.Constant(str(name)) as written], []):
                self._literal(written, name)
                return [name]
            case ast.Attribute(inner, name) if path := self._path(inner):
                return [*path, name]
        return []


@lru_cache  # filters of warnings are of all threads: only the first of them changes any
def _tree(text: str) -> ast.expr:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "\d" is what a regex looks like
        return ast.parse(text, mode="eval").body


def _joined(parts: Sequence[Any], all_of: bool) -> Any:
    """And, or or. Joined as a balanced tree: Arrow recurses, and there may be thousands."""
    join = and_ if all_of else or_
    while len(parts) > 1:
        pairs = [join(*parts[i : i + 2]) for i in range(0, len(parts) - 1, 2)]
        parts = [*pairs, *parts[2 * len(pairs) :]]
    return parts[0]


def _compare_floats(left: Any, compare: _Comparison, right: Any) -> Any:
    return (left < right) | (left > right) if compare is ne else compare(left, right)


def _compare_numbers(left: _Value, compare: _Comparison, right: _Value) -> Any:
    kinds = {left.type, right.type}
    if not all(pa.types.is_integer(kind) for kind in kinds):
        return _compare_floats(left.as_double(), compare, right.as_double())
    if pa.uint64() in kinds and len(kinds) > 1:  # no integer type holds both
        wide = pa.decimal128(20)
        return compare(left.expression.cast(wide), right.expression.cast(wide))
    return compare(left.expression, right.expression)


def _whole(compare: _Comparison, number: float, kind: pa.DataType) -> tuple[_Comparison, int]:
    """The comparison of whole numbers with one of their type that amounts to one with any number.

    Args:
        compare: which comparison. number: finite, of any size. kind: the integer type.
    """
    bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    floor = math.floor(number)
    if low <= floor <= high and floor == number:
        return compare, floor
    if low <= floor <= high and compare not in (eq, ne):
        return (le if compare in (lt, le) else gt), floor
    below = floor >= low  # whether all of the type, or those that matter, are below the number
    always = compare is ne or (compare in (lt, le) if below else compare in (gt, ge))
    return (ge if always else lt), low


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that a column is cast to, where Arrow can't compare its own."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.float64() if pa.types.is_decimal(kind) else kind


def _missing(kind: pa.StructType, path: Sequence[str], depth: int, found: int) -> str:
    name, names = path[depth], [field.name for field in kind]
    what = "field" if depth else "column"
    if found:
        return f"{found} {what}s have the name {name!r}"
    if ".".join(path) in names:
        return f'the column of this name is col("{".".join(path)}")'
    folded = [other for other in names if other.lower() == name.lower()]
    near = (
        folded
        or difflib.get_close_matches(name, names)
        or [*names[:20], *["..."][: len(names[20:])]]
    )
    return f"no {what} {name!r} (there is {', '.join(near)})"


def _instead(node: ast.expr) -> str:
    """What to write in place of a node that is not allowed."""
    match node:
        case ast.Call(ast.Name(name)) if name in _TESTS:
            return f'write {name}(column, "text"), as a condition of its own'
        case ast.Call(ast.Name(name)) if name in _FUNCTIONS:
            return 'write col("name")' if name == "col" else f"write {name}(column)"
        case ast.Call(ast.Attribute(_, name)) if name in _FUNCTIONS:
            return f"write {name}(column, ...)"
        case ast.Call():
            return f"no such function: there are {', '.join(_FUNCTIONS)}"
        case ast.Compare() | ast.BoolOp() | ast.UnaryOp(ast.Not()):
            return "a condition is no value: use and, or, not to combine conditions"
        case ast.BinOp(_, ast.BitAnd()):
            return "write and, with comparisons on both sides"
        case ast.BinOp(_, ast.BitOr()):
            return "write or, with comparisons on both sides"
        case ast.UnaryOp(ast.Invert()):
            return "write not"
    return "not allowed in a condition"


def _place(line: int, column: int) -> str:
    return f"character {column}" if line == 1 else f"line {line}, character {column}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
