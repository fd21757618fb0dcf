"""Lists of words, or of pairs of words, that others have counted."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import pyarrow as pa

from metacurate.errors import InputError, UsageError, first_line
from metacurate.metadata.words import is_punctuation
from metacurate.pool.files import identity_of
from metacurate.pool.streams import open_stream, refuse_other_kinds
from metacurate.schema import NGRAMS

SEPARATORS = ("\t", ";", ",", " ")  # in the order in which they are preferred
BLOCK = 1 << 20  # bytes of lines that are parsed together
MOST_LINE = 1 << 16  # bytes
LOOKED_AT = 100  # first lines that tell the separator
MOST_COUNT = 2**63 - 1

Words: TypeAlias = Literal[1, 2]
Row: TypeAlias = tuple[str, str | None, int]
Fields: TypeAlias = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class CountedBlock:
    """Some lines of a counted list.

    Attributes:
        table: of `metacurate.schema.NGRAMS`; second is null in lists of single words.
        lines: that were read, but blank ones and the header.
        malformed: lines that can't be understood. empty, punctuation: with a word that is empty,
            or a single punctuation character. None of these are in the table.
        first_malformed: which line it is and why; None where there is none.
    """

    table: pa.Table
    lines: int
    malformed: int
    empty: int
    punctuation: int
    first_malformed: str | None


class _MalformedError(ValueError):
    """A line that can't be understood."""


def read_counted(path: str, words: Words) -> Iterator[CountedBlock]:
    """Read a list of words and their counts, one a line.

    Fields are separated by tabs, ``;``, ``,`` or spaces, whichever fits the first lines. The count
    is the last field, and the rest is the word, which may hold the separator; with ``,`` fields
    may be quoted as in CSV. Two words are two fields, or one with a space between them. A first
    line without a count is a header.

    Args:
        path: path or URI; plain, .gz, .xz, .bz2 or .zst.
        words: how many make an entry.

    Yields:
        Blocks of lines, in bounded memory.

    Raises:
        UsageError: when there is no such file.
        InputError: when it is damaged, its separator can't be told, or no line of it is good.
    """
    number = good = 0
    parse: Callable[[str], Row] | None = None
    malformed: str | None = None
    try:
        for lines in _blocks_of_lines(path):
            rows: list[Row] = []
            n_lines = n_malformed = n_empty = n_punctuation = 0
            first_malformed = None
            if parse is None:
                fields = _fields(path, [line for line in lines if line], words)
                parse = _parser(fields, words)
                header = _is_header(next(line for line in lines if line) or "", fields)
            for line in lines:
                number += 1
                if line is not None and not line.strip():
                    continue
                if header:
                    header = False
                    continue
                n_lines += 1
                try:
                    if line is None:
                        raise _MalformedError("no UTF-8, or too long")
                    row = parse(line)
                except _MalformedError as error:
                    n_malformed += 1
                    first_malformed = first_malformed or f"line {number}: {error}"
                    continue
                if not row[0] or row[1] == "":
                    n_empty += 1
                elif is_punctuation(row[0]) or (row[1] is not None and is_punctuation(row[1])):
                    n_punctuation += 1
                else:
                    rows.append(row)
            good += n_lines - n_malformed
            malformed = malformed or first_malformed
            columns = list(zip(*rows, strict=True)) or [(), (), ()]
            table = pa.table([list(column) for column in columns], schema=NGRAMS)
            yield CountedBlock(table, n_lines, n_malformed, n_empty, n_punctuation, first_malformed)
    except OSError as error:
        raise InputError(path, f"can't be read: {first_line(error)}") from error
    if not good:
        raise InputError(path, f"no line of it is a word and its count ({malformed or 'none'})")


def _blocks_of_lines(path: str) -> Iterator[list[str | None]]:
    """Lines without their ends; None for one that is no UTF-8 or too long."""
    try:
        identity_of(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file of counts") from error
    rest, first = b"", True
    with open_stream(path) as stream:
        while True:
            content = stream.read(BLOCK)
            block = rest + content
            if first:
                try:
                    refuse_other_kinds(block)
                except ValueError as error:
                    raise InputError(path, str(error)) from error
                block = block.removeprefix(b"\xef\xbb\xbf")
            first = False
            end = block.rfind(b"\n") + 1 if content else len(block)
            rest = block[end:]
            if len(rest) > MOST_LINE:
                rest = rest[: MOST_LINE + 1]  # enough to know that it is too long
            if end and (lines := _decoded(block[:end].removesuffix(b"\n"))):
                yield lines
            if not content:
                return


def _decoded(block: bytes) -> list[str | None]:
    lines: list[str | None]
    try:
        lines = list(block.decode().split("\n"))
    except UnicodeDecodeError:
        lines = [_decode_line(line) for line in block.split(b"\n")]
    return [
        None if line is None or len(line) > MOST_LINE else line.removesuffix("\r") for line in lines
    ]


def _decode_line(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _splitter(separator: str, words: Words) -> Fields:
    """Cut a line into words and, last, their count."""
    if words == 1:
        cut: Fields = lambda line: line.rpartition(separator)[::2]  # noqa: E731
    elif separator == " ":
        cut = lambda line: line.rsplit(" ", 2)  # noqa: E731
    else:

        def cut(line: str) -> Sequence[str]:
            pair, _, count = line.rpartition(separator)
            two = pair.split(separator) if separator in pair else pair.split(" ")
            return [*two, count]

    if separator != ",":
        return cut

    def cut_csv(line: str) -> Sequence[str]:
        if '"' not in line:
            return cut(line)
        try:
            fields = next(csv.reader([line], strict=True), [])
        except csv.Error:  # a quotation mark that is part of a word
            return cut(line)
        return [*fields[0].split(" "), fields[1]] if words == 2 and len(fields) == 2 else fields

    return cut_csv


def _fields(path: str, lines: Sequence[str | None], words: Words) -> Fields:
    """Find the separator by which most of the first lines have the right fields."""
    sample = [line for line in lines[: LOOKED_AT + 1] if line is not None]
    if not sample:
        raise InputError(path, "no line of it is UTF-8")
    best, most = SEPARATORS[0], 0
    for separator in SEPARATORS:
        parse = _parser(_splitter(separator, words), words)
        fitting = sum(_fits(parse, line) for line in sample)
        if fitting > most:
            best, most = separator, fitting
    if 2 * most < len(sample) - 1:
        raise InputError(
            path,
            f"its lines are no {'word' if words == 1 else 'two words'} and a count, separated by "
            f"a tab, ;, , or a space: the first is {sample[0][:60]!r}",
        )
    return _splitter(best, words)


def _fits(parse: Callable[[str], Row], line: str) -> bool:
    try:
        parse(line)
    except _MalformedError:
        return False
    return True


def _is_header(line: str, fields: Fields) -> bool:
    last = fields(line)[-1].strip()
    return not any(char.isdigit() for char in last)


def _parser(fields: Fields, words: Words) -> Callable[[str], Row]:
    """Make a function that reads a line."""

    def parse(line: str) -> Row:
        found = fields(line)
        if len(found) != words + 1:
            raise _MalformedError(f"not {words} {'word' if words == 1 else 'words'} and a count")
        digits = found[-1].strip()
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise _MalformedError("its count is no whole number")
        count = int(digits)
        if not 0 < count <= MOST_COUNT:
            raise _MalformedError("its count is not between 1 and 2^63 - 1")
        first = found[0]
        if words == 1:
            if first.split() != [first] and first.strip():
                raise _MalformedError("more than one word")
            return first, None, count
        second = found[1]
        for word in (first, second):
            if word.split() != [word] and word.strip():
                raise _MalformedError("more than two words")
        return first, second, count

    return parse
