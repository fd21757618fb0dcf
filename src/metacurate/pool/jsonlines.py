"""JSON lines as blocks of rows: no value is altered, each bad line is told of.

Python's parser reads them. Arrow's is three times as quick, but takes strings for timestamps,
rounds large whole numbers among floats, and lets a lone `null` or deep nesting crash the process.
"""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from metacurate.pool.blocks import BLOCK_BYTES, NULL, Block, Kind, join, json_text, kind_of
from metacurate.pool.streams import refuse_other_kinds

BLOCK = BLOCK_BYTES  # that are read at a time; 8 or more, to tell formats
ROW_LIMIT = 16 << 20  # bytes of a line: as objects of Python, they take many times the room
ROWS = 1 << 14  # of a block, at most
CELLS = 1 << 22  # rows times columns of a block, at most, for files of many sparse columns
COLUMNS = 2000
NESTING = 100  # lists and objects within one another; Python itself allows about 900

BLANKS = b" \t\r\n"  # what JSON calls whitespace
BOM = b"\xef\xbb\xbf"
TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)  # strings and brackets

Row = dict[str, Any]


def read_json_lines(stream: pa.NativeFile) -> Iterator[Block]:
    r"""Read a file of JSON objects, one a line.

    A column holds bools, int64, float64, strings, or lists of these, up to four deep. Whole
    numbers and floats share a column of float64 where that is exact. Columns of anything else
    (objects, kinds that differ, whole numbers beyond int64) hold strings: strings as they stand,
    other values as JSON text. Numbers with a fraction or an exponent are float64, as JSON's
    readers commonly take them; a missing key is null. Nothing depends on where blocks are cut;
    a later block may have more columns, or wider ones, which `unify` and `conform` settle.

    Blank lines are skipped, and a byte order mark at the beginning. A line that is no JSON object
    in valid UTF-8, gives a key twice, exceeds 16 MB, is nested more than 100 deep, or has half of
    a surrogate pair or a number beyond float64 becomes a row of nulls and an error, with lines
    counted from 1.

    Args:
        stream: the text, decompressed; it is read as blocks are asked for.

    Yields:
        Blocks of about 8 MB of text, at least one.

    Raises:
        ValueError: when the file is empty, of another format or without any column, or has more
            than 2,000 columns.
        OSError: when the stream can't be read.
    """
    reader = _Reader()
    for chunk in _cut(stream):
        yield from reader.read(chunk)
    reader.finish()


class Columns:
    """The columns of a file, as far as they are known; their kinds widen as rows are seen."""

    def __init__(self, kinds: Mapping[str, Kind] | None = None) -> None:
        """Begin with no columns, or with some that stand first."""
        self._kinds = dict(kinds or {})

    def __len__(self) -> int:
        return len(self._kinds)

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        return pa.schema([(name, kind.type) for name, kind in self._kinds.items()])

    def note(self, row: Row) -> None:
        """Add the columns that a row has more.

        Raises:
            ValueError: when there are too many.
        """
        if not row.keys() <= self._kinds.keys():
            for name in row:
                self._kinds.setdefault(name, NULL)
            if len(self._kinds) > COLUMNS:
                raise ValueError(f"has more than {COLUMNS} different keys")

    def table(self, rows: Sequence[Row | None]) -> pa.Table:
        """Make a table of rows that have been noted.

        Args:
            rows: JSON objects, or None for rows of nulls.
        """
        nothing: Row = {}
        objects = [nothing if row is None else row for row in rows]
        arrays = []
        for name, known in self._kinds.items():
            values = [row.get(name) for row in objects]
            kind = join(known, kind_of(values))
            if kind.leaf == "text":
                values = [None if value is None else json_text(value) for value in values]
            self._kinds[name] = kind
            arrays.append(pa.array(values, kind.type))
        return pa.table(arrays, schema=self.schema)


def parse_object(text: bytes) -> Row:
    """Parse a JSON object.

    Args:
        text: UTF-8.

    Raises:
        ValueError: when it is none, or can't be held exactly, with the reason.
    """
    if len(text) > ROW_LIMIT:
        raise ValueError(f"is longer than {ROW_LIMIT >> 20} MB")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is no UTF-8 at byte {error.start + 1}") from error
    if decoded.count("[") + decoded.count("{") > NESTING and _depth(decoded) > NESTING:
        raise ValueError(f"is nested more than {NESTING} levels deep")
    try:
        value = DECODER.decode(decoded)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} (character {error.pos + 1})") from error
    except ValueError as error:  # also Python's own limit on the digits of a whole number
        raise ValueError(str(error).split("; ")[0]) from error
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    if "\\ud" in decoded or "\\uD" in decoded:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("has half of a surrogate pair in a string") from error
    return value


def quoted(name: str) -> str:
    """A name for an error line: short, in quotes, without characters that steer a terminal."""
    return repr(name if len(name) <= 100 else f"{name[:99]}…")


def _pairs(pairs: list[tuple[str, Any]]) -> Row:
    result = dict(pairs)
    if len(result) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"has the key {quoted(twice)} twice")
    return result


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"has a number beyond float64: {text[:20]}")
    return value


def _constant(name: str) -> None:
    raise ValueError(f"has {name}, which is no JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _cut(stream: pa.NativeFile) -> Iterator[bytes]:
    """Whole lines, some at a time; of a line beyond the limit only a beginning beyond it."""
    rest, is_first, is_skipping = b"", True, False
    while data := stream.read(BLOCK):
        if is_first:
            refuse_other_kinds(data[:8])
            data, is_first = data.removeprefix(BOM), False
        if is_skipping:
            end = data.find(b"\n") + 1
            data, is_skipping = data[end:] if end else b"", end == 0
        end = data.rfind(b"\n") + 1
        if end:
            yield rest + data[:end]
            rest = b""
        rest += data[end:]
        if len(rest) > ROW_LIMIT:
            yield rest + b"\n"
            rest, is_skipping = b"", True
    if rest:
        yield rest


class _Reader:
    """Parses whole lines; holds rows back only until the first column is known."""

    def __init__(self) -> None:
        self._columns = Columns()
        self._rows: list[Row | None] = []
        self._errors: list[str] = []
        self._line = 0
        self._is_empty = True

    def read(self, chunk: bytes) -> Iterator[Block]:
        """The rows of some lines."""
        for line in io.BytesIO(chunk):
            self._line += 1
            if line.strip(BLANKS):
                self._parse_line(line)
                width = len(self._columns)
                if len(self._rows) >= min(ROWS, CELLS // width if width else ROWS):
                    yield self._flush()
        if self._rows and len(self._columns):
            yield self._flush()

    def finish(self) -> None:
        """Check that there was something.

        Raises:
            ValueError: when there was no column.
        """
        if self._rows:
            self._flush()
        if self._is_empty:
            raise ValueError("the file is empty")

    def _parse_line(self, line: bytes) -> None:
        if self._is_empty and not self._rows and line.lstrip(BLANKS).startswith(b"["):
            raise ValueError("is a JSON array, not JSON lines: write one object a line")
        try:
            row = parse_object(line)
        except ValueError as error:
            self._rows.append(None)
            self._errors.append(f"line {self._line}: {error}")
        else:
            self._columns.note(row)
            self._rows.append(row)

    def _flush(self) -> Block:
        if not len(self._columns):
            why = f": {self._errors[0]}" if self._errors else ""
            raise ValueError(f"is no JSON lines{why}")
        block = Block(self._columns.table(self._rows), tuple(self._errors))
        self._rows, self._errors, self._is_empty = [], [], False
        return block
