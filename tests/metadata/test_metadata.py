"""Metadata files: what is written is read again, and what is broken is named in one line."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.metadata.metadata import Metadata
from metacurate.schema import METADATA

ENTRIES = ["dog", "hot dog", "st. louis", " ", "a\tb", "Straße", "🌭", '"quoted"', "\\", "a\0"]
FULL: dict[str, Any] = {
    "entry": ["dog", "hot dog", "New York"],
    "source": ["wordnet", "bigram", "title"],
    "score": [None, 32.5, 1e6],
    "language": ["en", None, "en"],
}


def parquet(columns: dict[str, Any]) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path)


def content(raw: bytes | str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(raw.encode() if isinstance(raw, str) else raw)

    return write


# ---- reading and writing


@pytest.mark.parametrize("name", ["m.parquet", "m.json", "m.txt", "m"])
def test_written_is_read_again(name: str, tmp_path: Path) -> None:
    metadata = Metadata.from_entries(ENTRIES)
    metadata.write(tmp_path / name)
    again = Metadata.read(str(tmp_path / name))
    assert again.entries.to_pylist() == ENTRIES
    assert again.digest == metadata.digest
    assert again.table.equals(metadata.table)


@pytest.mark.parametrize("name", ["m.parquet", "m.json"])
@given(entries=st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_any_entries_are_read_again(
    name: str, tmp_path_factory: pytest.TempPathFactory, entries: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    Metadata.from_entries(entries).write(path)
    assert Metadata.read(path).entries.to_pylist() == entries


def test_parquet_keeps_all_columns(tmp_path: Path) -> None:
    parquet(FULL)(tmp_path / "m.parquet")
    metadata = Metadata.read(tmp_path / "m.parquet")
    assert metadata.table.schema == METADATA
    assert metadata.table.to_pydict() == FULL
    assert metadata.sources.to_pylist() == FULL["source"]
    assert metadata.per_source() == {"wordnet": 1, "bigram": 1, "title": 1}
    metadata.write(tmp_path / "again.parquet")
    assert Metadata.read(tmp_path / "again.parquet").table.equals(metadata.table)


def test_parquet_holds_the_digest(tmp_path: Path) -> None:
    metadata = Metadata.from_entries(ENTRIES)
    metadata.write(tmp_path / "m.parquet")
    stored = pq.read_schema(tmp_path / "m.parquet").metadata
    assert stored[b"metacurate.digest"] == metadata.digest.encode()


def test_json_is_the_papers_format(tmp_path: Path) -> None:
    Metadata.from_entries(ENTRIES).write(tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_bytes()) == ENTRIES


@pytest.mark.parametrize(
    ("name", "write", "entries"),
    [
        pytest.param("m.txt", content("dog\nhot dog\n"), ["dog", "hot dog"], id="lines"),
        pytest.param("m.txt", content("dog\nhot dog"), ["dog", "hot dog"], id="no last line end"),
        pytest.param("m.txt", content("dog\r\nhot dog\r\n"), ["dog", "hot dog"], id="CRLF"),
        pytest.param("m.txt", content("dog\r\nhot dog"), ["dog", "hot dog"], id="CRLF, no last"),
        pytest.param("m.txt", content(" dog \n \n"), [" dog ", " "], id="spaces stay"),
        pytest.param("m.txt", content("a\vb\u2028c"), ["a\vb\u2028c"], id="other line ends"),
        pytest.param("m.json", content('["dog", "\\u00e9\\n"]'), ["dog", "é\n"], id="JSON escapes"),
        pytest.param(
            "m.parquet",
            parquet({"entry": pa.array(["dog", "cat"]).dictionary_encode(), "views": [1, 2]}),
            ["dog", "cat"],
            id="dictionary and foreign column",
        ),
        pytest.param(
            "m.parquet",
            parquet({"entry": pa.chunked_array([["dog"], [], ["cat"]], pa.large_string())}),
            ["dog", "cat"],
            id="large_string in chunks",
        ),
    ],
)  # fmt: skip
def test_read(name: str, write: Callable[[Path], None], entries: list[str], tmp_path: Path) -> None:
    write(tmp_path / name)
    metadata = Metadata.read(tmp_path / name)
    assert metadata.entries.to_pylist() == entries
    assert metadata.per_source() == {"user": len(entries)}
    assert len(metadata) == len(entries)


def test_source_is_named_by_the_caller_or_filled() -> None:
    assert Metadata.from_entries(["dog", "cat"], source="mine").per_source() == {"mine": 2}


def test_missing_sources_are_the_users(tmp_path: Path) -> None:
    parquet({"entry": ["dog", "cat"], "source": ["wordnet", None]})(tmp_path / "m.parquet")
    assert Metadata.read(tmp_path / "m.parquet").sources.to_pylist() == ["wordnet", "user"]


@pytest.mark.parametrize("entry", ["hot\ndog", "hot\r\ndog", "dog\r", "\n"])
def test_entry_with_a_line_break(entry: str, tmp_path: Path) -> None:
    metadata = Metadata.from_entries(["cat", entry])
    with pytest.raises(UsageError, match=r"^entry 1 \(.*\) has a line break: write \.json"):
        metadata.write(tmp_path / "m.txt")
    assert not (tmp_path / "m.txt").exists()
    for name in ("m.json", "m.parquet"):
        metadata.write(tmp_path / name)
        assert Metadata.read(tmp_path / name).entries.to_pylist() == ["cat", entry]


def test_real_metadata(data: Path) -> None:
    metadata = Metadata.read(data / "metadata.parquet")
    assert len(metadata) == 450_364
    assert metadata.repeats == 0
    assert sum(metadata.per_source().values()) == len(metadata)


# ---- digest


def test_digest_by_hand() -> None:
    digest = hashlib.sha256(
        b"\x03\0\0\0\0\0\0\0dog"
        b"\x07\0\0\0\0\0\0\0hot dog"
        b"\x07\0\0\0\0\0\0\0Stra\xc3\x9fe"
    )  # fmt: skip
    assert Metadata.from_entries(["dog", "hot dog", "Straße"]).digest == digest.hexdigest()


def test_digest_depends_on_order_and_borders_only(tmp_path: Path) -> None:
    lists = [["a", "b", "c"], ["b", "a", "c"], ["a", "bc"], ["ab", "c"], ["abc"]]
    assert len({Metadata.from_entries(entries).digest for entries in lists}) == len(lists)
    parquet(FULL)(tmp_path / "m.parquet")
    plain = Metadata.from_entries(FULL["entry"])
    assert Metadata.read(tmp_path / "m.parquet").digest == plain.digest


# ---- repeats


@pytest.mark.parametrize(
    ("entries", "repeats", "message"),
    [
        pytest.param(["a", "b", "a"], 1, "1 repeated entry was dropped", id="one"),
        pytest.param(["a", "b", "a", "b", "a"], 3, "3 repeated entries were dropped", id="more"),
    ],
)
def test_repeats_are_dropped_and_reported(
    entries: list[str], repeats: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = Metadata.from_entries(entries)
    assert metadata.entries.to_pylist() == ["a", "b"]
    assert metadata.repeats == repeats
    assert message in caplog.text
    assert metadata.digest == Metadata.from_entries(["a", "b"]).digest


def test_first_of_repeated_rows_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = {"entry": ["a", "b", "a"], "source": ["x", "y", "z"], "score": [1, 2, 3]}
    path = tmp_path / "m.parquet"
    parquet(rows)(path)
    metadata = Metadata.read(path)
    assert metadata.table["source"].to_pylist() == ["x", "y"]
    assert metadata.table["score"].to_pylist() == [1.0, 2.0]
    assert f"{path}: 1 repeated entry was dropped" in caplog.text


def test_entries_that_only_look_alike_stay(caplog: pytest.LogCaptureFixture) -> None:
    entries = ["a", "A", "a ", "é", "e\u0301", "a\0"]
    assert Metadata.from_entries(entries).entries.to_pylist() == entries
    assert caplog.text == ""


# ---- bad input


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        pytest.param([], "the list of entries is empty", id="no entries"),
        pytest.param(["dog", ""], r"entry 1 \(counted from 0\) is empty", id="empty entry"),
        pytest.param(["dog", 7], "entry 1 is int, not a string", id="number"),
        pytest.param(["dog", None], "entry 1 is NoneType, not a string", id="None"),
        pytest.param([b"dog"], "entry 0 is bytes, not a string", id="bytes"),
        pytest.param(["dog", "\ud800"], "an entry is no valid Unicode", id="lone surrogate"),
    ],
)
def test_entries_that_are_refused(entries: list[Any], reason: str) -> None:
    with pytest.raises(UsageError, match=f"^{reason}") as caught:
        Metadata.from_entries(entries)
    assert "\n" not in str(caught.value)


def invalid_utf8(column: str) -> Callable[[Path], None]:
    offsets, values = pa.array([0, 3, 5], pa.int32()).buffers()[1], pa.py_buffer(b"dog\xff\xfe")
    invalid = pa.Array.from_buffers(pa.string(), 2, [None, offsets, values])
    return parquet({"entry": ["a", "b"], column: invalid})


def truncated(path: Path) -> None:
    parquet(FULL)(path)
    path.write_bytes(path.read_bytes()[:-100])


def page_destroyed(path: Path) -> None:
    pq.write_table(pa.table({"entry": ["some dog"] * 100}), path, compression="zstd")
    sound = path.read_bytes()
    path.write_bytes(sound[:4] + b"\xff" * 60 + sound[64:])


BAD_FILES = [
    pytest.param("m.parquet", parquet({"entry": pa.array([], pa.string())}), "empty", id="no rows"),
    pytest.param("m.parquet", parquet({"entry": ["a", ""]}), "entry 1 .* empty", id="empty entry"),
    pytest.param("m.parquet", parquet({"entry": ["a", None]}), "entry 1 .* empty", id="null entry"),
    pytest.param("m.parquet", parquet({"entry": [1, 2]}), "'entry' is of type int64", id="ints"),
    pytest.param("m.parquet", parquet({"entry": [0.5]}), "'entry' is of type double", id="floats"),
    pytest.param("m.parquet", parquet({"entry": [True]}), "'entry' is of type bool", id="booleans"),
    pytest.param("m.parquet", parquet({"entry": [["a"]]}), "column 'entry'", id="lists"),
    pytest.param(
        "m.parquet", parquet({"word": ["a"], "n": [1]}), "no column 'entry'.* word, n",
        id="no column",
    ),
    pytest.param(
        "m.parquet", parquet({"entry": ["a"], "score": ["high"]}), "column 'score'.*high",
        id="score is no number",
    ),
    pytest.param("m.parquet", invalid_utf8("entry"), "UTF.?8", id="invalid UTF-8 in entry"),
    pytest.param("m.parquet", invalid_utf8("source"), "UTF.?8", id="invalid UTF-8 in source"),
    pytest.param("m.parquet", truncated, "can't be read", id="truncated Parquet"),
    pytest.param("m.parquet", page_destroyed, "can't be read", id="destroyed Parquet"),
    pytest.param("m.parquet", content("entry\ndog\n"), "can't be read", id="no Parquet"),
    pytest.param("m.parquet", content(""), "can't be read", id="empty Parquet"),
    pytest.param("m.json", content('["a", "b"'), "can't be read: .*line 1", id="broken JSON"),
    pytest.param("m.json", content(""), "can't be read", id="empty JSON"),
    pytest.param("m.json", content(b'["\xff"]'), "can't be read", id="invalid UTF-8 in JSON"),
    pytest.param("m.json", content('["\\ud800"]'), "can't be read", id="lone surrogate in JSON"),
    pytest.param("m.json", content("[" * 200_000), "can't be read", id="JSON nested too deep"),
    pytest.param("m.json", content('["a", 1]'), "not a JSON list of strings", id="JSON numbers"),
    pytest.param("m.json", content('{"a": 1}'), "not a JSON list of strings", id="JSON object"),
    pytest.param("m.json", content('"abc"'), "not a JSON list of strings", id="JSON string"),
    pytest.param("m.json", content("[]"), "empty", id="JSON list of nothing"),
    pytest.param("m.json", content('["a", ""]'), "entry 1 .* empty", id="JSON empty entry"),
    pytest.param("m.txt", content(b"dog\n\xff\xfe\n"), "can't be read: .*utf-8", id="no UTF-8"),
    pytest.param("m.txt", content(""), "empty", id="empty text file"),
    pytest.param("m.txt", content("dog\n\ncat\n"), "entry 1 .* empty", id="empty line"),
    pytest.param("m.txt", content("dog\r\n\r\ncat"), "entry 1 .* empty", id="empty CRLF line"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "write", "reason"), BAD_FILES)
def test_bad_file_is_named_with_the_cause(
    name: str, write: Callable[[Path], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(InputError, match=reason) as caught:
        Metadata.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.source == str(path)


@pytest.mark.parametrize("name", ["none.parquet", "none.json", "none.txt", "folder"])
def test_no_such_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="no such metadata file") as caught:
        Metadata.read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_all_errors_are_caught_by_one_class() -> None:
    for error in (UsageError("x"), InputError("file", "reason")):
        assert isinstance(error, MetacurateError)


def test_one_string_is_no_list() -> None:
    with pytest.raises(UsageError, match="one string"):
        Metadata.from_entries("hot dog")


def test_byte_order_mark_and_capital_ending(tmp_path: Path) -> None:
    marked = tmp_path / "marked.txt"
    marked.write_bytes("\ufeffdog\ncat\n".encode())
    assert Metadata.read(marked).entries.to_pylist() == ["dog", "cat"]
    capital = tmp_path / "M.JSON"
    capital.write_text('["dog", "cat"]')
    assert Metadata.read(capital).entries.to_pylist() == ["dog", "cat"]
