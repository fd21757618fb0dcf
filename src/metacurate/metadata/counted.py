"""Lists of words, or of pairs of words, that others have counted."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.errors import InputError, UsageError, first_line
from metacurate.metadata.words import is_punctuation
from metacurate.pool.streams import open_stream, refuse_other_kinds
from metacurate.schema import NGRAMS

BLOCK = 1 << 20  # bytes of lines that are parsed together: some 80,000 words
MOST_LINE = 1 << 16  # bytes
MOST_COUNT = 2**63 - 1
LOOKED_AT = 100  # first lines that tell the layout
MOST_LOOKED_AT = 8 << 20  # bytes of them
SHOWN = 60  # characters of a line in a message
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NUMBER = re.compile(r"[-+]?[0-9]*[.,]?[0-9]+")
SPACES = [chr(code) for code in range(0x3001) if chr(code).isspace()]  # none are beyond

Words: TypeAlias = Literal[1, 2]
Row: TypeAlias = tuple[str, str | None, int]


@dataclass(frozen=True)
class CountedBlock:
    """Some lines of a counted list; lines = rows of the table + malformed + empty + punctuation.

    Attributes:
        table: of `metacurate.schema.NGRAMS`; second is null in lists of single words.
        lines: how many were read, without blank ones and the header.
        malformed: lines that can't be understood.
        empty, punctuation: lines with a word that is empty, or a single punctuation character.
        first_malformed: which line is the first of these and why; None where there is none.
    """

    table: pa.Table
    lines: int
    malformed: int
    empty: int
    punctuation: int
    first_malformed: str | None


@dataclass(frozen=True)
class Layout:
    """How the lines of a list are written.

    Attributes:
        words: of an entry. separator: what stands before the count.
        in_one_field: whether a space is between two words, and not the separator.
    """

    words: Words
    separator: str
    in_one_field: bool = False


# In the order in which they are preferred.
LAYOUTS: dict[Words, list[Layout]] = {
    1: [Layout(1, separator) for separator in "\t;, "],
    2: [
        Layout(2, separator, in_one_field)
        for separator in "\t;, "
        for in_one_field in (False, True)
        if not (separator == " " and in_one_field)
    ],
}


class MalformedError(ValueError):
    """A line that can't be understood."""


def read_counted(path: str | Path, words: Words) -> Iterator[CountedBlock]:
    """Read a list of words and their counts, one a line.

    Fields are separated by tabs, ``;``, ``,`` or spaces, whichever fits the first lines best. The
    count is the last field, and what is before it the word, which may hold a ``;``; with ``,``
    fields may be quoted, as in CSV. Two words are two fields, or one with a space in it. A first
    line that does not end in a number is a header.

    Args:
        path: path or URI; plain, or compressed by gzip, xz, bzip2 or zstd.
        words: how many make an entry.

    Yields:
        Blocks of lines, in bounded memory.

    Raises:
        UsageError: when there is no such file.
        InputError: when it is damaged, its layout can't be told, or no line of it is good.
    """
    path = str(path)
    layout: Layout | None = None
    number, good = 1, 0  # of the next line; rows
    try:
        for block in _blocks(path):
            header = False
            if layout is None:
                sample = _first_lines(block)
                if not sample:  # blank so far
                    number += block.count(b"\n") + 1
                    continue
                layout = find_layout(path, sample, words)
                header = is_header(sample[0], layout)
            counted = parse_quickly(block, layout) if not header else None
            if counted is None:
                counted = parse_slowly(block, layout, number, has_header=header)
            number += block.count(b"\n") + 1
            good += len(counted.table)
            yield counted
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file of counts") from error
    except OSError as error:
        raise InputError(path, f"can't be read: {first_line(error)}") from error
    if not good:
        raise InputError(path, f"no line of it holds {_expected(words)}")


def _expected(words: Words) -> str:
    return "a word and its count" if words == 1 else "two words and their count"


def _blocks(path: str) -> Iterator[bytes]:
    """Lines with line feeds between them; of one that is too long, as much as tells that it is."""
    rest, is_first = b"", True
    with open_stream(path, by_content=True) as stream:
        while True:
            content = stream.read(BLOCK)
            block = rest + content
            if is_first:
                while content and block.count(b"\n") < LOOKED_AT and len(block) < MOST_LOOKED_AT:
                    content = stream.read(BLOCK)
                    block += content
                try:
                    refuse_other_kinds(block)
                except ValueError as error:
                    raise InputError(path, str(error)) from error
                block = block.removeprefix(BYTE_ORDER_MARK)
                is_first = False
            if not content:
                if block:
                    yield block
                return
            end = block.rfind(b"\n")
            rest = block[end + 1 :][: MOST_LINE + 2]
            if end >= 0:
                yield block[:end]


def _first_lines(block: bytes) -> list[bytes]:
    """The first lines that are not blank."""
    found: list[bytes] = []
    start = 0
    while start <= len(block) and len(found) < LOOKED_AT:
        end = block.find(b"\n", start)
        end = len(block) if end < 0 else end
        line = block[start:end]
        if line.strip():
            found.append(line)
        start = end + 1
    return found


def find_layout(path: str, sample: Sequence[bytes], words: Words) -> Layout:
    """Find the layout that most lines have.

    Args:
        path: of the list, for messages. sample: some of its lines. words: of an entry.

    Raises:
        InputError: when fewer than half of the lines have any.
    """
    fitting = {layout: sum(_fits(line, layout) for line in sample) for layout in LAYOUTS[words]}
    best = max(fitting, key=lambda layout: fitting[layout])  # the first of equals
    if 2 * fitting[best] < len(sample):
        odd = next(line for line in sample if not _fits(line, best))
        shown = odd[: 4 * SHOWN].decode(errors="replace")[:SHOWN]
        raise InputError(
            path,
            f"its lines are not {_expected(words)}, separated by tabs, semicolons, commas or "
            f"spaces, one of them for all: {shown!r}",
        )
    return best


def _fits(line: bytes, layout: Layout) -> bool:
    try:
        parse_line(line, layout)
    except MalformedError:
        return False
    return True


def is_header(line: bytes, layout: Layout) -> bool:
    """Whether a list's first line names its columns: the last field is no number.

    Args:
        line: without its end. layout: of the list.
    """
    try:
        last = line.decode().rpartition(layout.separator)[2]
    except UnicodeDecodeError:
        return False
    return NUMBER.fullmatch(last.strip().strip('"')) is None


# ---- line by line


def parse_line(line: bytes, layout: Layout) -> Row:
    """Read a line.

    Args:
        line: without its line feed. layout: of the list.

    Returns:
        The first word, the second, if there is one, and their count. Words may be empty.

    Raises:
        MalformedError: when it can't be understood.
    """
    line = line.removesuffix(b"\r")
    if len(line) > MOST_LINE:
        raise MalformedError(f"longer than {MOST_LINE} bytes")
    try:
        fields = _split(line.decode(), layout)
    except UnicodeDecodeError as error:
        raise MalformedError("no UTF-8") from error
    if len(fields) != layout.words + 1:
        raise MalformedError(f"not {_expected(layout.words)}")
    *words, last = fields
    digits = last.strip(" ")
    if not (digits.isascii() and digits.isdigit()):
        raise MalformedError("its count is no whole number")
    if len(digits) > 19 or not 0 < int(digits) <= MOST_COUNT:
        raise MalformedError("its count is not between 1 and 2^63 - 1")
    if any(char.isspace() for word in words for char in word):
        raise MalformedError("a word with white space in it")
    return words[0], words[1] if layout.words == 2 else None, int(digits)


def _split(line: str, layout: Layout) -> list[str]:
    """The words and, last, their count."""
    separator = layout.separator
    if separator == "," and '"' in line:
        try:
            fields = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise MalformedError("its quotation marks are not those of CSV") from error
    elif separator == ";" and (layout.words == 1 or layout.in_one_field):
        fields = line.rsplit(separator, 1)
    else:
        fields = line.split(separator)
    if layout.in_one_field and len(fields) == 2:
        return [*fields[0].split(" "), fields[1]]
    return fields


def parse_slowly(
    block: bytes, layout: Layout, number: int = 1, *, has_header: bool = False
) -> CountedBlock:
    """Read lines one by one, whatever they are.

    Args:
        block: lines with line feeds between them. layout: theirs.
        number: of the first line, for messages. has_header: whether the first is no entry.
    """
    rows: list[Row] = []
    malformed = 0
    first_malformed = None
    for position, line in enumerate(block.split(b"\n"), number):
        if not line.strip():
            continue
        if has_header:
            has_header = False
            continue
        try:
            rows.append(parse_line(line, layout))
        except MalformedError as error:
            malformed += 1
            first_malformed = first_malformed or f"line {position}: {error}"
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    return _counted(pa.table(columns, schema=NGRAMS), malformed, first_malformed)


# ---- block by block


def parse_quickly(block: bytes, layout: Layout) -> CountedBlock | None:
    """Read lines all at once, or not at all: None, where there may be anything unusual.

    Args:
        block: lines with line feeds between them. layout: theirs.
    """
    try:
        text = block.decode()
    except UnicodeDecodeError:
        return None
    if "\r" in text:
        block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
        text = block.decode()
    expected = f"\n{layout.separator} " if layout.in_one_field else f"\n{layout.separator}"
    if any(space in text for space in SPACES if space not in expected):
        return None
    if layout.separator == "," and '"' in text:
        return None
    one = pa.StringArray.from_buffers(
        1, pa.py_buffer(np.array([0, len(block)], np.int32)), pa.py_buffer(block)
    )
    lines = pc.split_pattern(one, "\n").flatten()
    if pc.max(pc.binary_length(lines)).as_py() > MOST_LINE:
        return None
    with_rest = layout.separator == ";" and (layout.words == 1 or layout.in_one_field)
    fields = _columns(
        lines, layout.separator, layout.words + 1 - layout.in_one_field, with_rest=with_rest
    )
    if fields is not None and layout.in_one_field:
        words = _columns(fields[0], " ", 2)
        fields = None if words is None else [*words, fields[1]]
    if fields is None:
        return None
    if not pc.all(pc.match_substring_regex(fields[-1], "^[0-9]{1,18}$")).as_py():
        return None
    counts = fields[-1].cast(pa.int64())
    if pc.min(counts).as_py() == 0:
        return None
    second = fields[1] if layout.words == 2 else pa.nulls(len(counts), pa.string())
    return _counted(pa.table([fields[0], second, counts], schema=NGRAMS), 0, None)


def _columns(
    strings: pa.StringArray, separator: str, n: int, *, with_rest: bool = False
) -> list[pa.StringArray] | None:
    """Split strings into columns; None where one has not as many fields."""
    parts = pc.split_pattern(
        strings, separator, max_splits=n - 1 if with_rest else None, reverse=True
    )
    if not np.array_equal(parts.offsets.to_numpy(), np.arange(len(strings) + 1) * n):
        return None
    return [pc.list_element(parts, position) for position in range(n)]


def _counted(table: pa.Table, malformed: int, first_malformed: str | None) -> CountedBlock:
    """Drop rows with words that are empty or punctuation."""
    lines = len(table) + malformed
    names = [name for name in ("first", "second") if table[name].null_count < len(table)]
    table, empty = _without(table, names, [""])
    singles: set[str] = set()
    for name in names:
        column = table[name]
        singles.update(column.filter(pc.equal(pc.utf8_length(column), 1)).unique().to_pylist())
    table, punctuation = _without(table, names, [char for char in singles if is_punctuation(char)])
    return CountedBlock(table, lines, malformed, empty, punctuation, first_malformed)


def _without(table: pa.Table, names: list[str], words: list[str]) -> tuple[pa.Table, int]:
    """Drop rows in which a column has one of some words; also give how many they were."""
    kept = table
    for name in names if words else ():
        kept = kept.filter(pc.invert(pc.is_in(kept[name], pa.array(words, pa.string()))))
    return kept, len(table) - len(kept)
