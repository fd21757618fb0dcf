"""CSV and TSV: every field as it stands, every row accounted for, held equal to Python's csv."""

import csv
import gzip
import io
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.pool import delimited
from metacurate.pool.blocks import Block
from metacurate.pool.delimited import count_quoted, read_delimited
from metacurate.pool.streams import open_stream

Row = tuple[bytes, ...] | None


@contextmanager
def small(block: int = 8 << 20, rows: int = 1 << 14, row: int = 64 << 20) -> Iterator[None]:
    """Patch the sizes: bytes of a block, rows of a block, bytes of a row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", block)
        patch.setattr(delimited, "BLOCK_ROWS", rows)
        patch.setattr(delimited, "ROW_LIMIT", row)
        before = csv.field_size_limit(row)
        yield
        csv.field_size_limit(before)


def blocks(
    data: bytes | str, columns: Sequence[str] | None = None, delimiter: str = ","
) -> list[Block]:
    stream = pa.BufferReader(data if isinstance(data, bytes) else data.encode())
    return list(read_delimited(stream, delimiter, columns))


def read(
    data: bytes | str, columns: Sequence[str] | None = None, delimiter: str = ","
) -> tuple[list[str], list[Row], list[str]]:
    """Names of columns, rows as bytes with None for one of nulls, errors."""
    parts = blocks(data, columns, delimiter)
    table = pa.concat_tables(part.rows for part in parts)
    table.validate()
    assert set(table.schema.types) == {pa.string()}
    rows: list[Row] = []
    for row in zip(
        *(column.cast(pa.binary()).to_pylist() for column in table.columns), strict=True
    ):
        assert None not in row or set(row) == {None}
        rows.append(None if None in row else row)
    errors = [error for part in parts for error in part.errors]
    assert len(errors) == rows.count(None)
    return table.column_names, rows, errors


def encoded(rows: Sequence[Sequence[str]]) -> list[Row]:
    return [tuple(field.encode() for field in row) for row in rows]


# ---- against Python's own reader

FIELD = st.text(st.sampled_from('",\n\r\t\0 aé😀\ufeff'), max_size=6) | st.text(max_size=4)
SIZES = st.sampled_from([4, 5, 6, 7, 16, 64, 8 << 20])


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(FIELD, min_size=width, max_size=width), min_size=1, max_size=8))


@given(tables(), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans(), SIZES)
def test_csv_comes_back(
    table: list[list[str]], quote_all: bool, ending: str, last: bool, block: int
) -> None:
    written = io.StringIO(newline="")
    # Python 3.11 leaves a carriage return bare where it ends no lines.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if quote_all or ending == "\n" else csv.QUOTE_MINIMAL
    csv.writer(written, quoting=quoting, lineterminator=ending).writerows(table)
    text = written.getvalue() if last else written.getvalue().removesuffix(ending)
    names = [f"column {i}" for i in range(len(table[0]))]
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == table
    header = ",".join(names) + ending
    with small(block, rows=3):
        marked = "\ufeff" + text  # only the first one is a mark
        assert read(marked, names) == (names, encoded(table), [])
        assert read(header + text) == (names, encoded(table), [])
        assert read("\ufeff" + header + text) == (names, encoded(table), [])
        if not text.startswith("\ufeff"):
            assert read(text, names) == (names, encoded(table), [])


@given(st.text(st.sampled_from('",\na '), min_size=1, max_size=30), st.integers(1, 3), SIZES)
@example('a,"b\n"c",d\n', 2, 4)
@example('"a""b" c,d\n"e","f"\n', 2, 4)
@example('a,"b"', 2, 4)
@example('a,"b""', 2, 4)
@example("a,", 2, 8 << 20)
@example("\n\n", 1, 4)
def test_any_text_is_read_as_python_does(text: str, width: int, block: int) -> None:
    names = [f"column {i}" for i in range(width)]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    expected: list[Row] = []
    lost = False
    while not lost:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            expected.append(None)
            lost = "unexpected end of data" in str(error)
            continue
        if fields or width == 1:
            fields = fields or [""]
            expected.append(encoded([fields])[0] if len(fields) == width else None)
    with small(block, rows=3):
        if lost:
            with pytest.raises(ValueError, match=r"^line \d+: a quote is never closed$"):
                read(text, names)
        else:
            assert read(text, names)[1] == expected


@given(
    st.lists(st.lists(st.text(st.sampled_from('"," \0a\ré'), max_size=5), min_size=2, max_size=3)),
    st.sampled_from([b"\n", b"\r\n"]),
    SIZES,
)
def test_tsv_has_no_quotes(table: list[list[str]], ending: bytes, block: int) -> None:
    lines = ["\t".join([*fields[:-1], fields[-1].rstrip("\r")]).encode() for fields in table]
    expected = [
        tuple(line.split(b"\t")) if line.count(b"\t") == 1 else None for line in lines
    ]  # fmt: skip
    with small(block, rows=3):
        data = ending.join([b"url\ttext", *lines, b""])
        assert read(data, delimiter="\t")[:2] == (["url", "text"], expected)


def test_many_blocks() -> None:
    table = [[f"https://a.b/{i}", f'a "cat", {i}\n' * (i % 50)] for i in range(20_000)]
    written = io.StringIO(newline="")
    csv.writer(written).writerows([["url", "text"], *table])
    with small(block=10_000):
        parts = blocks(written.getvalue())
        assert len(parts) > 100
        assert all(5_000 < part.rows.nbytes < 20_000 for part in parts[:-1])
        assert read(written.getvalue()) == (["url", "text"], encoded(table), [])
    with small(rows=32):
        assert all(len(part.rows) <= 32 for part in blocks(written.getvalue()))
        assert read(written.getvalue())[1] == encoded(table)


# ---- characters


@pytest.mark.parametrize("columns", [None, ["a", "b"]])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_bytes_that_are_no_utf8_pass(delimiter: str, columns: list[str] | None) -> None:
    row = (b"\x80 caf\xe9 \0 \xff\xfe", b"\xed\xa0\x80")
    header = b"" if columns else b"a%cb\n" % ord(delimiter)
    data = header + delimiter.encode().join(row) + b"\n"
    assert read(data, columns, delimiter) == (["a", "b"], [row], [])


def test_nothing_is_taken_for_null_or_number() -> None:
    rows = [["NULL", "null"], ["NA", ""], ["", "nan"], ["007", "1e5"], ["true", " 2024-01-01 "]]
    text = "\n".join(",".join(row) for row in [["a", "b"], *rows])
    assert read(text)[1] == encoded(rows)
    assert read("a,b\n,\n")[1] == [(b"", b"")]


def test_carriage_returns() -> None:
    assert read('a,b\r\nx\ry,z\r\n"x\r\n",z\r\n1,2\r')[1:] == (
        [None, (b"x\r\n", b"z"), (b"1", b"2")],
        ["row 0: a carriage return outside quotes"],
    )
    assert read("a\tb\r\nx\ry\tz\r\n", delimiter="\t")[1] == [(b"x\ry", b"z")]
    with pytest.raises(ValueError, match=r"^the header: a carriage return outside quotes$"):
        read("a,b\r1,2\r3,4\r")


def test_quote_amid_a_field_is_a_character() -> None:
    assert read('a,b\n27" screen,"5"" pipe"\n')[1] == [(b'27" screen', b'5" pipe')]


# ---- headers


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("url,text\n", ["url", "text"], id="alone"),
        pytest.param("url,text", ["url", "text"], id="alone, without a newline"),
        pytest.param("\ufeffurl,text\r\n", ["url", "text"], id="byte order mark"),
        pytest.param('\ufeff"url","a ""text"",\n"', ["url", 'a "text",\n'], id="quoted"),
        pytest.param("\n\r\nurl,text\n\n\n", ["url", "text"], id="blank lines"),
        pytest.param(",url,text\n", ["", "url", "text"], id="unnamed index"),
        pytest.param(",".join(map(str, range(1000))), list(map(str, range(1000))), id="1,000"),
    ],
)
@pytest.mark.parametrize("block", [4, 5, 8 << 20])
def test_header_alone(text: str, names: list[str], block: int) -> None:
    with small(block):
        (only,) = blocks(text)
    assert only.rows.schema == pa.schema([(name, pa.string()) for name in names])
    assert (only.rows.num_rows, only.errors) == (0, ())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"\xef\xbb\xbf", "the file is empty", id="only a mark"),
        pytest.param(b"\n\r\n\n", "the file is empty", id="blank lines only"),
        pytest.param(b"url,text,url\n", "two columns share the name 'url'", id="doubled"),
        pytest.param(b"url,,\n", "two columns share the name ''", id="two unnamed"),
        pytest.param("url,text\n".encode("utf-16"), "is UTF-16, not UTF-8", id="UTF-16"),
        pytest.param(
            b"\xfe\xff" + "url".encode("utf-16-be"), "is UTF-16, not UTF-8", id="UTF-16 BE"
        ),
        pytest.param(b"PAR1\x15\x04", "is Parquet by its content", id="Parquet"),
        pytest.param(gzip.compress(b"url,text\n"), "is gzip by its content", id="gzip"),
        pytest.param(b"PK\x03\x04\x14", "is zip by its content", id="zip"),
        pytest.param(b"url,t\xe9xt\n", "the header is not UTF-8", id="Latin-1"),
        pytest.param(b'url,"text\na,b\n', "line 1: a quote is never closed", id="open quote"),
        pytest.param(b'url,"a"b\n', "the header: text behind a closing quote", id="malformed"),
    ],
)
def test_headers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(data)
    assert str(caught.value) == message


# ---- without a header


def test_columns_are_named() -> None:
    assert read("a,b\nc,d\n", ["url", "text"])[:2] == (
        ["url", "text"], [(b"a", b"b"), (b"c", b"d")],
    )  # fmt: skip
    (block,) = blocks("\n\n", ["url", "text"])
    assert block.rows.schema.names == ["url", "text"]
    assert block.rows.num_rows == 0


@pytest.mark.parametrize("text", ["url,text\na,b\n", '\ufeff"url","text"\n', "\nurl,text"])
def test_header_where_none_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^its first row is a header: leave --columns out$"):
        read(text, ["url", "text"])
    assert len(read("a,b\n" + text.removeprefix("\ufeff"), ["url", "text"])[1]) > 1


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (b"", ["url", "text"], "the file is empty"),
        (b"a,b", ["url", "url"], "two columns share the name 'url'"),
        (b"a,b", [], "no column is named"),
    ],
)
def test_columns_are_refused(data: bytes, columns: list[str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(data, columns)
    assert str(caught.value) == message


# ---- bad rows


@pytest.mark.parametrize("block", [4, 10, 8 << 20])
def test_bad_rows_become_nulls_in_their_place(block: int) -> None:
    text = 'url,text\na,b\n\nc\nd,e,f\ng,h\n"i" j,k\n"l""m","n\n" o\np,q\n'
    with small(block):
        _, rows, errors = read(text)
    good = [(b"a", b"b"), None, None, (b"g", b"h"), None, None, (b"p", b"q")]
    assert rows == good
    assert errors == [
        "row 1: 1 field, not 2",
        "row 2: 3 fields, not 2",
        "row 4: text behind a closing quote",
        "row 5: text behind a closing quote",
    ]


def test_bad_row_far_in_the_file() -> None:
    with small(block=1000):
        _, rows, errors = read("url,text\n" + "a,b\n" * 10_000 + "c\n" + "a,b\n" * 100)
    assert errors == ["row 10000: 1 field, not 2"]
    assert [i for i, row in enumerate(rows) if row is None] == [10_000]


def test_only_bad_rows() -> None:
    _, rows, errors = read("a\nb\nc", ["url", "text"])
    assert rows == [None] * 3
    assert len(errors) == 3


def test_blank_lines() -> None:
    assert read("a,b\n\n1,2\r\n\r\n\n3,4\n\n")[1] == [(b"1", b"2"), (b"3", b"4")]
    assert read('a\n1\n\n2\n""\n')[1] == [(b"1",), (b"",), (b"2",), (b"",)]
    assert read("a,b\n  \n")[2] == ["row 0: 1 field, not 2"]
    assert read('a,b\n""\n')[2] == ["row 0: 1 field, not 2"]


def test_1000_columns() -> None:
    table = [[f"{row} {i}" for i in range(1000)] for row in range(300)]
    names = [f"column {i}" for i in range(1000)]
    text = "\n".join(",".join(row) for row in [names, *table])
    with small(block=100_000):
        assert read(text) == (names, encoded(table), [])


# ---- quotes that stay open, long rows


@pytest.mark.parametrize("block", [4, 64, 8 << 20])
def test_open_quote(block: int) -> None:
    with (
        small(block),
        pytest.raises(ValueError, match=r"^line 6: a quote is never closed$"),
    ):
        read('url,text\na,b\n\nc,d\ne,f\ng,"h\ni,j\nk,l\n')


@pytest.mark.parametrize("text", ['url,text\na,"b', 'url,text\n"', 'url,text\na,"b""', '"'])
def test_open_quote_at_the_end(text: str) -> None:
    with pytest.raises(ValueError, match=r": a quote is never closed$"):
        read(text)


def test_row_beyond_the_limit() -> None:
    with small(block=1000, row=1 << 20):
        long = "x" * 1_000_000
        assert read(f"url,text\na,{long}\nb,c\n")[1] == [(b"a", long.encode()), (b"b", b"c")]
        for row, reason in [
            ("y" * (1 << 21), "longer than 1 MB"),
            ('"' + "y,\n" * (1 << 20), "its row is longer than 1 MB or .*: is a quote not closed"),
        ]:
            stream = pa.BufferReader(f"url,text\na,b\nc,{row}{long}".encode())
            with pytest.raises(ValueError, match=f"^line 3: {reason}"):
                list(read_delimited(stream, ",", None))
            assert stream.tell() < 1 << 21  # the rest is not read


# ---- streams


def test_first_block_does_not_read_the_file() -> None:
    stream = pa.BufferReader(b"url,text\n" + b"a,b\n" * 100_000)
    with small(rows=100):
        block = next(read_delimited(stream, ",", None))
    assert len(block.rows) == 100
    assert stream.tell() < 50_000


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_cut_short_file_is_never_read_silently(ending: str, tmp_path: Path) -> None:
    some = random.Random(2)
    text = "".join(f"{some.random()},{some.random()}\n" for _ in range(500)).encode()
    codec = {"gz": "gzip", "zst": "zstd"}[ending]
    whole = bytes(pa.compress(text, codec=codec, asbytes=True))
    path = tmp_path / f"a.csv.{ending}"
    with small(block=1000):
        for place in [*range(0, len(whole), 100), len(whole) - 1]:
            path.write_bytes(whole[:place])
            with pytest.raises(OSError, match=r"cut short$|^the file is empty$"):
                list(read_delimited(open_stream(str(path)), ",", ["url", "text"]))
        path.write_bytes(whole + whole)
        parts = list(read_delimited(open_stream(str(path)), ",", ["url", "text"]))
    assert sum(len(part.rows) for part in parts) == 1000


# ---- quotes in TSV


@pytest.mark.parametrize(
    ("field", "quoted"),
    [
        ('"a cat"', True),
        ('""', True),
        ('"a ""fat"" cat"', True),
        ('"""a"""', True),
        ('"a\xff cat"', True),
        ('"', False),
        ('"""', False),
        ('"a" cat', False),
        ('a "cat"', False),
        ('"a" and "b"', False),
        ("a cat", False),
        ("", False),
    ],
)
def test_count_quoted(field: str, quoted: bool) -> None:
    data = b"x\t" + field.encode("latin-1") + b"\ny\tz\nbad\n"
    (block,) = blocks(data, ["url", "text"], "\t")
    assert count_quoted(block) == quoted
    assert block.rows["text"].cast(pa.binary())[0].as_py() == field.encode("latin-1")


def test_count_quoted_of_all_columns() -> None:
    (block,) = blocks('"a"\t"b"\nc\t"d"\n', ["url", "text"], "\t")
    assert count_quoted(block) == 3
    (empty,) = blocks("url\ttext\n", None, "\t")
    assert count_quoted(empty) == 0
