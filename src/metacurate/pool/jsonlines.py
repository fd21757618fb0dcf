"""JSON lines as blocks of rows: one object a line, a column for each of its keys."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from metacurate.pool.blocks import BLOCK_BYTES, BLOCK_ROWS, Block, make_table
from metacurate.pool.streams import refuse_other_kinds

LINE_LIMIT = 64 << 20  # bytes
BOM = b"\xef\xbb\xbf"


def read_json_lines(stream: pa.NativeFile) -> Iterator[Block]:
    """Read a table of JSON objects.

    Values are of JSON's types (see `metacurate.pool.blocks.make_table`). Blank lines are skipped;
    a byte order mark at the beginning is dropped. A line that is no object, by RFC 8259, or
    that holds a key twice, becomes a row of nulls in its place, and an error line. Lines are
    counted from 1.

    Args:
        stream: the text, decompressed; it is read as blocks are asked for.

    Yields:
        Blocks of about 8 MB of text, at least one.

    Raises:
        ValueError: when the file is empty or of another format.
        OSError: when the stream can't be read.
    """
    rows: list[dict[str, Any] | None] = []
    errors: list[str] = []
    size, is_first = 0, True
    for number, line in _lines(stream):
        size += len(line)
        try:
            rows.append(parse_object(line))
        except ValueError as error:
            rows.append(None)
            errors.append(f"line {number}: {error}")
        if len(rows) == BLOCK_ROWS or size >= BLOCK_BYTES:
            yield Block(make_table(rows), tuple(errors))
            rows, errors, size, is_first = [], [], 0, False
    if rows or is_first:
        yield Block(make_table(rows), tuple(errors))


def parse_object(text: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: of UTF-8.

    Raises:
        ValueError: when it is none, in one line.
    """
    try:
        value = _DECODER.decode(text.decode())
        if b"\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise ValueError("is no UTF-8") from error
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg} at character {error.colno}") from error
    except RecursionError as error:
        raise ValueError("is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    return value


def _lines(stream: pa.NativeFile) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers."""
    text = io.BufferedReader(stream, 1 << 18)
    try:
        line = text.readline(LINE_LIMIT + 1)
        refuse_other_kinds(line[:8])
        if line.removeprefix(BOM).lstrip().startswith(b"["):
            raise ValueError("is a JSON array, not JSON lines: write one object a line")
        line, number = line.removeprefix(BOM), 1
        if not line:
            raise ValueError("the file is empty")
        while line:
            if len(line) > LINE_LIMIT:
                raise ValueError(f"line {number}: longer than {LINE_LIMIT >> 20} MB")
            if not line.isspace():
                yield number, line
            number += 1
            line = text.readline(LINE_LIMIT + 1)
    finally:
        if not stream.closed:
            text.detach()  # else it would close the caller's stream


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("holds a key twice")
    return made


def _constant(name: str) -> None:
    raise ValueError(f"holds {name}, which is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
