"""Counted lists of others: whatever separates their fields, each line is read or told of."""

import bz2
import csv
import gzip
import io
import lzma
import tracemalloc
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from metacurate.errors import InputError, UsageError
from metacurate.metadata import counted
from metacurate.metadata.counted import (
    LAYOUTS,
    MOST_LINE,
    CountedBlock,
    Layout,
    Words,
    parse_quickly,
    parse_slowly,
    read_counted,
)
from metacurate.metadata.words import is_punctuation
from metacurate.schema import NGRAMS

MOST = 2**63 - 1

Rows = list[tuple[str, int]] | list[tuple[str, str, int]]


def read(path: str | Path, words: Words = 1) -> tuple[Rows, CountedBlock]:
    """All rows, and the blocks' counters added up."""
    blocks = list(read_counted(path, words))
    for block in blocks:
        assert block.table.schema == NGRAMS
        block.table.validate(full=True)
        out = block.malformed + block.empty + block.punctuation
        assert block.lines == len(block.table) + out
        assert (block.first_malformed is None) == (block.malformed == 0)
    table = pa.concat_tables([block.table for block in blocks])
    columns = table.to_pydict()
    if words == 1:
        assert table["second"].null_count == len(table)
        del columns["second"]
    total = CountedBlock(
        table,
        sum(block.lines for block in blocks),
        sum(block.malformed for block in blocks),
        sum(block.empty for block in blocks),
        sum(block.punctuation for block in blocks),
        next((block.first_malformed for block in blocks if block.first_malformed), None),
    )
    return list(zip(*columns.values(), strict=True)), total


def write(folder: Path, text: str | bytes, name: str = "words.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# ---- layouts


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("the\t20\nof\t10\n", [("the", 20), ("of", 10)], id="tab"),
        pytest.param("the;20\nof;10\n", [("the", 20), ("of", 10)], id="semicolon"),
        pytest.param("the,20\nof,10\n", [("the", 20), ("of", 10)], id="comma"),
        pytest.param("the 20\nof 10\n", [("the", 20), ("of", 10)], id="space"),
        pytest.param("the;20\nof;10", [("the", 20), ("of", 10)], id="no last line end"),
        pytest.param("the;20\r\nof;10\r\n", [("the", 20), ("of", 10)], id="CRLF"),
        pytest.param("the;20\r\nof;10\r", [("the", 20), ("of", 10)], id="CR at the end"),
        pytest.param("\ufeffthe;20\n", [("the", 20)], id="byte order mark"),
        pytest.param("word;count\nthe;20\n", [("the", 20)], id="header"),
        pytest.param('"word","count"\n"the","20"\n', [("the", 20)], id="header in CSV"),
        pytest.param("\n\nWords of Wikipedia\n\nthe 20\n", [("the", 20)], id="header, blanks"),
        pytest.param("the, 20\nof, 10\n", [("the", 20), ("of", 10)], id="space before a count"),
        pytest.param("a;b;20\nthe;5\n", [("a;b", 20), ("the", 5)], id="separator in a word"),
        pytest.param("a,b\t20\nc;d\t5\n", [("a,b", 20), ("c;d", 5)], id="others in a word"),
        pytest.param('"a,b",20\n"""hi""",5\n', [("a,b", 20), ('"hi"', 5)], id="quoted"),
        pytest.param('"a;b";20\n', [('"a;b"', 20)], id="quotes are CSV's only"),
        pytest.param("1984;20\n007;008\n", [("1984", 20), ("007", 8)], id="numbers"),
        pytest.param(f"the;{MOST}\nof;1\n", [("the", MOST), ("of", 1)], id="large and small"),
        pytest.param("Straße;3\n東京;2\n🌭🌭;1\n", [("Straße", 3), ("東京", 2), ("🌭🌭", 1)],
                     id="Unicode"),
        pytest.param("the;20\n\n \n\r\nof;10\n", [("the", 20), ("of", 10)], id="blank lines"),
        pytest.param("the;20\nthe;20\n", [("the", 20)] * 2, id="repeats stay"),
    ],
)  # fmt: skip
def test_words(text: str, rows: Rows, tmp_path: Path) -> None:
    found, total = read(write(tmp_path, text))
    assert found == rows
    assert (total.lines, total.malformed) == (len(rows), 0)


@pytest.mark.parametrize(
    "text",
    [
        "of\tthe\t20\nhot\tdog\t3\n", "of;the;20\nhot;dog;3\n", "of,the,20\nhot,dog,3\n",
        "of the 20\nhot dog 3\n", "of the\t20\nhot dog\t3\n", "of the;20\nhot dog;3\n",
        "of the,20\nhot dog,3\n", '"of the",20\n"hot dog",3\n', '"of","the",20\n"hot","dog",3\n',
        "first second count\nof the 20\r\nhot dog 3\r\n",
    ],
)  # fmt: skip
def test_pairs(text: str, tmp_path: Path) -> None:
    rows, total = read(write(tmp_path, text), 2)
    assert rows == [("of", "the", 20), ("hot", "dog", 3)]
    assert (total.lines, total.malformed, total.first_malformed) == (2, 0, None)


def test_pairs_with_separators_in_them(tmp_path: Path) -> None:
    path = write(tmp_path, "of the;20\na;b c;5\n")
    assert read(path, 2)[0] == [("of", "the", 20), ("a;b", "c", 5)]


def written(rows: Sequence[tuple[str | int, ...]], separator: str) -> str:
    buffer = io.StringIO()
    if separator == ",":
        csv.writer(buffer, lineterminator="\n").writerows(rows)
    else:
        buffer.writelines(separator.join(map(str, row)) + "\n" for row in rows)
    return buffer.getvalue()


WORD = st.text(
    st.one_of(
        st.sampled_from(",;\"'5a"),
        st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), codec="utf-8"),
    ),
    min_size=1,
    max_size=8,
)
COUNT = st.integers(1, 99) | st.integers(1, MOST)


@pytest.mark.parametrize("separator", ["\t", ";", ",", " "])
@given(rows=st.lists(st.tuples(WORD, COUNT), min_size=1, max_size=20))
@example(rows=[(";", 1), (",", 2), (";;", 3), ('"', 4), (",1", 5), ("a", MOST)])
def test_written_words_are_read(
    separator: str, rows: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(not rows[0][0].startswith("\ufeff"))
    assume(separator != " " or not any(word.endswith((",", ";")) for word, _ in rows))
    kept = [(word, count) for word, count in rows if not is_punctuation(word)]
    assume(kept)
    path = write(tmp_path_factory.mktemp("words"), written(rows, separator))
    found, total = read(path)
    assert found == kept
    assert (total.malformed, total.punctuation) == (0, len(rows) - len(kept))


@pytest.mark.parametrize("layout", LAYOUTS[2], ids=repr)
@given(rows=st.lists(st.tuples(WORD, WORD, COUNT), min_size=1, max_size=20))
def test_written_pairs_are_read(
    layout: Layout, rows: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    separator = layout.separator
    assume(not rows[0][0].startswith("\ufeff"))
    words = [word for *pair, _ in rows for word in pair]
    if separator == ";" and not layout.in_one_field:
        assume(not any(";" in word for word in words))
    if separator == " ":
        assume(not any(word.endswith((",", ";")) for word in words))
    kept = [row for row in rows if not (is_punctuation(row[0]) or is_punctuation(row[1]))]
    assume(kept)
    as_written = [(f"{a} {b}", n) for a, b, n in rows] if layout.in_one_field else rows
    path = write(tmp_path_factory.mktemp("pairs"), written(as_written, separator))
    found, total = read(path, 2)
    assert found == kept
    assert (total.malformed, total.punctuation) == (0, len(rows) - len(kept))


# ---- lines that make no row


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"five;many", "its count is no whole number", id="word for a count"),
        pytest.param(b"five;", "its count is no whole number", id="no count"),
        pytest.param(b"five;5.5", "its count is no whole number", id="fraction"),
        pytest.param(b"five;-5", "its count is no whole number", id="negative"),
        pytest.param(b"five;+5", "its count is no whole number", id="sign"),
        pytest.param("five;\u0665".encode(), "its count is no whole number", id="Arabic digit"),
        pytest.param("five;\u00b2".encode(), "its count is no whole number", id="superscript"),
        pytest.param(b"five;0x5", "its count is no whole number", id="hexadecimal"),
        pytest.param(b"five;0", "its count is not between 1 and", id="zero"),
        pytest.param(b"five;000", "its count is not between 1 and", id="zeros"),
        pytest.param(b"five;%d" % (MOST + 1), "its count is not between 1 and", id="too large"),
        pytest.param(b"five;" + b"9" * 5000, "its count is not between 1 and", id="much too large"),
        pytest.param(b"five", "not a word and its count", id="one field"),
        pytest.param(b"hot dog;5", "a word with white space in it", id="two words"),
        pytest.param(b" five;5", "a word with white space in it", id="space in front"),
        pytest.param(b" ;5", "a word with white space in it", id="a space"),
        pytest.param("a\u00a0b;5".encode(), "a word with white space in it", id="no-break space"),
        pytest.param("a\u3000b;5".encode(), "a word with white space in it", id="wide space"),
        pytest.param("a\u2028b;5".encode(), "a word with white space in it", id="line separator"),
        pytest.param(b"a\rb;5", "a word with white space in it", id="carriage return"),
        pytest.param(b"f\xffve;5", "no UTF-8", id="no UTF-8"),
        pytest.param(b"a" * MOST_LINE + b";5", f"longer than {MOST_LINE} bytes", id="long"),
        pytest.param("ß".encode() * 40_000 + b";5", "longer than", id="long in bytes"),
        pytest.param(b"a" * (5 << 20) + b";5", "longer than", id="very long"),
    ],
)
def test_malformed_lines_are_counted(line: bytes, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path, b"\nword;count\nthe;20\nof;10\n%b\nand;9\n%b" % (line, line))
    rows, total = read(path)
    assert rows == [("the", 20), ("of", 10), ("and", 9)]
    assert (total.lines, total.malformed) == (5, 2)
    assert total.first_malformed is not None
    assert total.first_malformed.startswith(f"line 5: {reason}")
    assert "\n" not in total.first_malformed


@pytest.mark.parametrize(
    ("good", "line", "reason"),
    [
        ("the,20", "a,b,5", "not a word and its count"),
        ("the,20", '"a,5', "its quotation marks are not those of CSV"),
        ("the,20", '"a"b,5', "its quotation marks are not those of CSV"),
        ("the\t20", "a\tb\t5", "not a word and its count"),
        ("the 20", "a  5", "not a word and its count"),
    ],
)
def test_malformed_in_other_layouts(good: str, line: str, reason: str, tmp_path: Path) -> None:
    rows, total = read(write(tmp_path, f"{good}\n{line}\n{good}\n"))
    assert rows == [("the", 20)] * 2
    assert (total.malformed, total.first_malformed) == (1, f"line 2: {reason}")


@pytest.mark.parametrize(
    "line", ["a;5", "a;b;c;5", "a b;c;5", "a;b", "a;b;0", "a;b;c", "hot dog;5"]
)
def test_malformed_pairs(line: str, tmp_path: Path) -> None:
    rows, total = read(write(tmp_path, f"of;the;20\n{line}\nhot;dog;3\n"), 2)
    assert rows == [("of", "the", 20), ("hot", "dog", 3)]
    assert (total.lines, total.malformed) == (3, 1)


def test_empty_and_punctuation_are_counted(tmp_path: Path) -> None:
    text = (
        "the;20\n;19\n.;18\n;;17\n_;16\n+;15\nI;14\n5;13\n東;12\n!!;11\n\U0001f32d;10\n\u2013;9\n"
    )
    rows, total = read(write(tmp_path, text))
    assert rows == [("the", 20), ("I", 14), ("5", 13), ("東", 12), ("!!", 11)]
    assert (total.lines, total.malformed, total.empty, total.punctuation) == (12, 0, 1, 6)


def test_pairs_with_empty_and_punctuation(tmp_path: Path) -> None:
    text = "of\tthe\t20\n\tthe\t19\nthe\t\t18\n\t\t17\n.\tA\t16\nA\t.\t15\n\t.\t14\n"
    rows, total = read(write(tmp_path, text), 2)
    assert rows == [("of", "the", 20)]
    assert (total.lines, total.malformed, total.empty, total.punctuation) == (7, 0, 4, 2)


def test_punctuation_is_that_of_unicode() -> None:
    for code in range(0x110000):
        category = unicodedata.ucd_3_2_0.category(chr(code))
        if category[0] in "PS":
            assert is_punctuation(chr(code)), hex(code)
        elif category[0] in "LNM":
            assert not is_punctuation(chr(code)), hex(code)


# ---- blocks


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"the;20", b"the\t20", b"of the\t3", b"a;b;5", b"a,b,5", b"a b 5", b";5", b"", b" ",
             b"\r", b"a;5\r", b'"a",5', b"a,5", b"a 5", b",,5", b"a;0", b"a;x", b"\xff;5",
             b"a b,5", b"a b;7", b";;8", "ß;3".encode(), "\u3000;3".encode(), b"a; 5", b"a;0005",
             b"a;9223372036854775807", b"a;9223372036854775808", b"\x85;1", b"a\x1c;1"]
        ),
        st.text("ab;,\t 5\r\".é", max_size=8).map(str.encode),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@pytest.mark.parametrize("layout", [*LAYOUTS[1], *LAYOUTS[2]], ids=repr)
@given(lines=LINES)
def test_quick_is_as_slow(layout: Layout, lines: list[bytes]) -> None:
    block = b"\n".join(lines)
    quick = parse_quickly(block, layout)
    assert quick is None or quick == parse_slowly(block, layout)


@pytest.mark.parametrize(
    ("layout", "block"),
    [
        (Layout(1, "\t"), "the\t20\n.\t5\nß\t1"), (Layout(1, ";"), "the;20\r\n;;5\r\n;1\r"),
        (Layout(1, ","), "the,20"), (Layout(1, " "), "the 20\nof 1"),
        (Layout(2, "\t"), "of\tthe\t20"), (Layout(2, "\t", True), "of the\t20"),
        (Layout(2, ";"), "of;the;20"), (Layout(2, ";", True), "of the;20\na;b c;2"),
        (Layout(2, ","), "of,the,20"), (Layout(2, ",", True), "of the,20"),
        (Layout(2, " "), "of the 20"),
    ],
)  # fmt: skip
def test_usual_blocks_are_quick(layout: Layout, block: str) -> None:
    quick = parse_quickly(block.encode(), layout)
    assert quick is not None
    assert quick == parse_slowly(block.encode(), layout)


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_blocks_of_any_size(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"word{number}", number) for number in range(1, 300)]
    text = "\ufeff\nword;count\n" + "".join(f"{word};{n}\n" for word, n in rows) + "bad;bad"
    monkeypatch.setattr(counted, "BLOCK", size)
    found, total = read(write(tmp_path, text))
    assert found == rows
    assert (total.lines, total.malformed) == (300, 1)
    assert total.first_malformed == "line 302: its count is no whole number"


def test_memory_is_bounded(tmp_path: Path) -> None:
    line = b"a" * 60_000_000
    path = write(tmp_path, gzip.compress(b"the 20\n" + line + b"\nof 10\n" * 2), "w.gz")
    tracemalloc.start()
    arrow = 0
    for block in read_counted(path, 1):
        arrow = max(arrow, block.table.nbytes)
        assert len(block.table) < 100
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak + arrow < 24 << 20


# ---- files


@pytest.mark.parametrize(
    ("name", "compress"),
    [("w.gz", gzip.compress), ("w.bz2", bz2.compress), ("w.xz", lzma.compress),
     ("w.zst", lambda data: pa.compress(data, codec="zstd", asbytes=True)),
     ("w", gzip.compress), ("w.txt", bz2.compress), ("w.csv", lzma.compress)],
)  # fmt: skip
def test_compressed(name: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    text = "".join(f"word{number};{number}\n" for number in range(1, 5000)).encode()
    path = write(tmp_path, compress(text) + compress(b"last;1\n"), name)
    rows, _ = read(path)
    assert len(rows) == 5000
    assert rows[-1] == ("last", 1)
    path.write_bytes(compress(text)[:-30])
    with pytest.raises(InputError, match=r"can't be read: the \w+ stream is cut short$") as caught:
        read(path)
    assert caught.value.source == str(path)


def test_uri() -> None:
    with fsspec.open("memory://lists/words.csv.gz", "wb") as file:
        file.write(gzip.compress(b"the,20\n"))
    assert read("memory://lists/words.csv.gz")[0] == [("the", 20)]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("w", b"", "no line of it holds a word and its count", id="empty"),
        pytest.param("w", b"\n \n\r\n", "no line of it holds", id="blank"),
        pytest.param("w.gz", b"", "can't be read: the file is empty", id="empty gz"),
        pytest.param("w.gz", b"the;20\n", "can't be read: is not gzip", id="no gz"),
        pytest.param("w", b"word;count\n", "its lines are not a word and its count.*'word;count'",
                     id="header only"),
        pytest.param("w", b"A list of words\nand of others\n", "for all: 'A list of words'",
                     id="prose"),
        pytest.param("w", b"a" * 100_000, f"for all: '{'a' * 60}'$", id="one long line"),
        pytest.param("w", b"\x00\xff\n" * 3, "for all: '.*'", id="bytes"),
        pytest.param("w", b"the\n20\nof;1\n", "for all: 'the'", id="fewer than half"),
        pytest.param("w", b".;5\n;6\n", "no line of it holds", id="punctuation only"),
        pytest.param("w", "the;20\n".encode("utf-16"), "is UTF-16, not UTF-8", id="UTF-16"),
        pytest.param("w", b"PAR1\x15\0", "is Parquet by its content", id="Parquet"),
        pytest.param("w", b"PK\x03\x04aaaa", "is zip by its content", id="zip"),
    ],
)  # fmt: skip
def test_files_that_are_no_list(name: str, data: bytes, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path, data, name)
    with pytest.raises(InputError, match=reason) as caught:
        read(path)
    assert caught.value.source == str(path)
    assert "\n" not in str(caught.value)


def test_words_are_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not two words and their count, separated by"):
        read(write(tmp_path, "the;20\nof;10\n"), 2)
    with pytest.raises(InputError, match="not a word and its count, separated by"):
        read(write(tmp_path, "of the 20\nhot dog 3\n"), 1)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.txt: no such file of counts"):
        read(tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"can't be read: .*directory"):
        read(tmp_path)
