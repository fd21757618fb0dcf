"""CSV and TSV as blocks of rows, each field exactly as it stands.

CSV goes through Python's own reader in its strict form. Arrow's is quicker, but without a word it
drops the quotes of `"a"b`, ends a row at a carriage return amid a field, and lets an unclosed quote
swallow the rest of a file.
"""

import csv
import io
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import pyarrow as pa
import pyarrow.compute as pc

from metacurate.pool.blocks import BLOCK_BYTES, BLOCK_ROWS, Block
from metacurate.pool.streams import refuse_other_kinds

ROW_LIMIT = 64 << 20  # bytes of a row
FIELDS_LIMIT = 1 << 22  # of a row, by its delimiters, those in quotes among them
BYTES = "latin-1"  # a character for each byte: the text is cut at ASCII only, and not altered

BOM = "\xef\xbb\xbf"

csv.field_size_limit(ROW_LIMIT)  # of all readers in this process: 128 kB are too few for a text

Row = list[str] | str  # fields, or what is wrong with them


def read_delimited(
    stream: pa.NativeFile, delimiter: str, columns: Sequence[str] | None
) -> Iterator[Block]:
    r"""Read a table of strings; nothing is altered, no field becomes null, number or date.

    A row ends at a newline, with or without a carriage return before it; the last one may lack
    it. NUL is an ordinary character. Bytes that are no UTF-8 pass through into the strings. A
    byte order mark at the beginning is dropped. Blank lines are skipped, except in a file of one
    column, where such a line is a row of one empty field.

    CSV follows RFC 4180: a field that begins with a quote ends at the next one that is not
    doubled, and may hold delimiters and line breaks. A quote amid a field that began without one
    is an ordinary character. TSV, by its definition, has no quotes at all.

    A row of too many or too few fields, or with text behind a closing quote, becomes a row of
    nulls in its place, and an error line. Rows are counted from 0, without the header.

    Args:
        stream: the text, decompressed; it is read as blocks are asked for.
        delimiter: "," for CSV or a tab for TSV.
        columns: names of the columns of a file without a header; None where its first line is
            the header.

    Yields:
        Blocks of about 8 MB of text, at least one.

    Raises:
        ValueError: when the file is empty or of another format, its header repeats a name or is
            a row where none is expected, a quote is never closed, or a row exceeds 64 MB.
        OSError: when the stream can't be read.
    """
    rows = _rows(stream, delimiter)
    names = list(columns) if columns is not None else _read_header(rows)
    _check_names(names)
    pending: list[list[str] | None] = []
    errors: list[str] = []
    size = 0
    is_first = True
    for number, row in enumerate(_rows_of(rows, len(names))):
        if isinstance(row, str):
            errors.append(f"row {number}: {row}")
            pending.append(None)
        else:
            if number == 0 and columns is not None and row == [_to_bytes(n) for n in names]:
                raise ValueError("its first row is a header: leave --columns out")
            pending.append(row)
            size += sum(map(len, row))
        if len(pending) == BLOCK_ROWS or size >= BLOCK_BYTES:
            yield _block(pending, names, errors)
            pending, errors, size, is_first = [], [], 0, False
    if pending or is_first:
        yield _block(pending, names, errors)


def read_header(stream: pa.NativeFile, delimiter: str) -> list[str]:
    """Read the names of the columns from a file's first line.

    Args:
        stream: the text, decompressed. delimiter: "," for CSV or a tab for TSV.

    Raises:
        ValueError: when there is no header.
        OSError: when the stream can't be read.
    """
    with closing(_rows(stream, delimiter)) as rows:
        return _read_header(rows)


def count_quoted(block: Block) -> int:
    """Number of fields in quotes, as CSV would have them: in TSV these are part of the text.

    Args:
        block: rows of strings.

    Returns:
        How many fields begin and end with a quote and hold none within that is not doubled.
    """
    quoted = 0
    for column in block.rows.columns:
        begun = column.filter(pc.starts_with(column, '"')).cast(pa.binary())
        if len(begun):
            quoted += pc.sum(pc.match_substring_regex(begun, r'\A"([^"]|"")*"\z')).as_py()
    return quoted


def _rows(stream: pa.NativeFile, delimiter: str) -> Generator[Row]:
    with closing(_lines(stream)) as lines:
        split = _split_rows if delimiter == "\t" else _parse_rows
        yield from split(lines, delimiter)


def _lines(stream: pa.NativeFile) -> Generator[str]:
    text = io.TextIOWrapper(stream, encoding=BYTES, newline="\n")
    try:
        line = text.readline(ROW_LIMIT + 1)
        refuse_other_kinds(line[:8].encode(BYTES))
        line, number = line.removeprefix(BOM), 1
        if not line:
            raise ValueError("the file is empty")
        while line:
            if len(line) > ROW_LIMIT:
                raise ValueError(f"line {number}: longer than {ROW_LIMIT >> 20} MB")
            yield line
            number += 1
            line = text.readline(ROW_LIMIT + 1)
    finally:
        if not stream.closed:
            text.detach()  # else it would close the caller's stream


def _split_rows(lines: Iterator[str], delimiter: str) -> Iterator[Row]:
    for line in lines:
        line = line.removesuffix("\n").removesuffix("\r")
        if line.count(delimiter) > FIELDS_LIMIT:
            yield f"more than {FIELDS_LIMIT:,} fields"
        else:
            yield line.split(delimiter) if line else []


def _parse_rows(lines: Iterator[str], delimiter: str) -> Iterator[Row]:
    size = fields = start = 0

    def limited() -> Iterator[str]:
        nonlocal size, fields
        for line in lines:
            size += len(line)
            fields += line.count(delimiter)
            if size > ROW_LIMIT or fields > FIELDS_LIMIT:
                raise ValueError(
                    f"line {start}: its row is longer than {ROW_LIMIT >> 20} MB or "
                    f"{FIELDS_LIMIT:,} fields: is a quote not closed?"
                )
            yield line

    reader = csv.reader(limited(), delimiter=delimiter, strict=True)
    while True:
        size, fields, start = 0, 0, reader.line_num + 1
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _explain(str(error), start)


def _explain(message: str, line: int) -> str:
    """What Python's reader finds wrong with a row, in words that fit a file.

    Raises:
        ValueError: when the rest of the file is lost with it.
    """
    if "unexpected end of data" in message:
        raise ValueError(f"line {line}: a quote is never closed")
    if "expected after" in message:
        return "text behind a closing quote"
    return "a carriage return outside quotes" if "new-line" in message else message


def _read_header(rows: Iterator[Row]) -> list[str]:
    for row in rows:
        if isinstance(row, str):
            raise ValueError(f"the header: {row}")
        if row:
            try:
                return [field.encode(BYTES).decode() for field in row]
            except UnicodeDecodeError as error:
                raise ValueError("the header is not UTF-8") from error
    raise ValueError("the file is empty")


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise ValueError("no column is named")
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise ValueError(f"two columns share the name '{name}'")


def _rows_of(rows: Iterator[Row], width: int) -> Iterator[Row]:
    """Rows of the right width, or what is wrong with them; blank lines are passed over."""
    for row in rows:
        if isinstance(row, str) or len(row) == width:
            yield row
        elif width == 1 and not row:
            yield [""]
        elif row:
            yield f"{len(row)} field{'s' if len(row) > 1 else ''}, not {width}"


def _block(rows: list[list[str] | None], names: Sequence[str], errors: list[str]) -> Block:
    columns = {
        name: pa.array([None if row is None else row[i].encode(BYTES) for row in rows], pa.binary())
        for i, name in enumerate(names)
    }
    table = pa.table({name: column.view(pa.string()) for name, column in columns.items()})
    return Block(table, tuple(errors))


def _to_bytes(name: str) -> str:
    return name.encode().decode(BYTES)
