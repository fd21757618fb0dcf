"""Each row of a unit is read once, in its place, and texts that are none are named."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.engine.stage import StoppedError, Unit, Watch
from metacurate.errors import InputError
from metacurate.pool import reader as reader_module
from metacurate.pool import tables
from metacurate.pool.reader import BATCH_ROWS, Reader, valid_texts, without_views
from metacurate.pool.tables import UNIT_ROWS, Pool

from .opened import ROWS, ignoring, open_pool, read, write

# ---- reading


SCHEMA = pa.schema({"url": pa.string(), "text": pa.string(), "n": pa.int64()})


def values(reader: Reader, unit: Unit) -> list[int]:
    pieces = list(reader.batches(unit))
    assert all(0 < rows.batch.num_rows <= BATCH_ROWS for rows in pieces)
    positions = [position for rows in pieces for position in rows.positions.tolist()]
    assert positions == list(range(unit.first_row, unit.first_row + unit.rows))
    return [n for rows in pieces for n in rows.batch["n"].to_pylist()]


@given(data=st.data(), sizes=st.lists(st.lists(st.integers(0, 40), max_size=6), max_size=3))
def test_rows_are_read_once_in_any_order_of_units(
    data: st.DataObject, sizes: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("pool")
    write(folder / "last.parquet", {"url": ["u"], "text": ["t"], "n": [-1]})
    first = 0
    for i, row_groups in enumerate(sizes):
        with pq.ParquetWriter(folder / f"{i}.parquet", SCHEMA) as writer:
            for rows in row_groups:
                ns = list(range(first, first + rows))
                names = list(map(str, ns))
                writer.write_table(pa.table([names, names, ns], schema=SCHEMA))
                first += rows
    with pytest.MonkeyPatch.context() as patch:  # the same in small
        patch.setattr(tables, "UNIT_ROWS", 10)
        patch.setattr(reader_module, "BATCH_ROWS", 4)
        pool = open_pool(folder)
        units = pool.units
        reader = Reader(pool, data.draw(st.sampled_from([None, ["n"]])), ignoring())
        asked = data.draw(st.permutations(units))
        found = {unit: values(reader, unit) for unit in asked}
    read = [n for unit in units for n in found[unit]]
    assert read == [*range(first), -1]
    assert all(len(found[unit]) == unit.rows for unit in units)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    rows = 2 * UNIT_ROWS + 50_001
    texts = pa.array(["x"] * rows)
    path = write(
        tmp_path_factory.mktemp("big") / "p.parquet",
        {"url": texts, "text": texts, "n": range(rows)},
        row_group_size=rows,
    )
    return open_pool(path)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 1, 0, 0]])
def test_parts_of_a_large_row_group(big: Pool, order: list[int]) -> None:
    reader = Reader(big, ["n"], ignoring())
    for unit in (big.units[i] for i in order):
        assert values(reader, unit) == list(range(unit.first_row, unit.first_row + unit.rows))


def test_a_unit_left_half_way_is_read_whole_again(big: Pool) -> None:
    reader = Reader(big, ["n"], ignoring())
    first, second, _ = big.units
    values(reader, first)
    next(reader.batches(second))
    assert len(values(reader, second)) == second.rows


def test_a_file_that_became_shorter_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", {name: ["1"] * 100 for name in ("url", "text")})
    pool = open_pool(path)
    write(path, ROWS)
    with pytest.raises(InputError, match="can't be read: it ends before its last row"):
        read(pool, pool.units[0])


def test_a_file_that_changes_while_it_is_read_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", ROWS)
    pool = open_pool(path)
    write(path, {**ROWS, "text": ["a cow", "a pig"]})
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match=r"p\.parquet: it changed while it was read"):
        read(pool, pool.units[0])


def test_a_reader_stops_when_it_is_asked_to(big: Pool) -> None:
    stop = Event()
    reader = Reader(big, ["n"], Watch(stop, lambda work: None))
    batches = reader.batches(big.units[0])
    next(batches)
    stop.set()
    with pytest.raises(StoppedError):
        next(batches)


VIEW = pa.string_view()
NESTED = [
    (pa.int8(), [1, None]),
    (pa.string(), ["a", None]),
    (VIEW, ["a", "longer than what fits inside a view"]),
    (pa.binary_view(), [b"\xff", None]),
    (pa.list_(VIEW), [["a", None], None]),
    (pa.large_list(pa.list_(VIEW)), [[["a"], []], None]),
    (pa.struct({"x": VIEW, "y": pa.int8()}), [{"x": "a", "y": 1}, None]),
    (pa.map_(pa.string(), VIEW), [[("k", "v")], None]),
    (pa.list_(VIEW, 2), [["a", "b"], ["c", "d"]]),
]


@pytest.mark.parametrize(("kind", "rows"), NESTED, ids=[str(kind) for kind, _ in NESTED])
def test_columns_of_views_can_be_filtered(kind: pa.DataType, rows: list[Any]) -> None:
    batch = pa.record_batch({"column": pa.array(rows, kind)})
    plain = without_views(batch)
    assert plain.to_pydict() == batch.to_pydict() == {"column": rows}
    assert plain.filter(pa.array([False, True]))["column"].to_pylist() == rows[1:]
    if "view" not in str(kind):
        assert plain is batch


# ---- texts that are no UTF-8


def strings(raw: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    """Strings of any bytes, as a file may hold them."""
    binary = pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
    array = pa.array(raw, binary)
    plain = pa.large_string() if pa.types.is_large_string(kind) else pa.string()
    made = pa.Array.from_buffers(plain, len(array), array.buffers())
    if pa.types.is_dictionary(kind):
        return made.dictionary_encode()
    return pc.cast(made, kind, safe=False)


def decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


KINDS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()),
]  # fmt: skip
BROKEN = [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80", b"\x80"]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(raw=st.lists(st.none() | st.text().map(str.encode) | st.sampled_from(BROKEN)))
@example([None, *BROKEN, b"", "Straße 🌭".encode()])
def test_invalid_texts_are_taken_out_and_named(kind: pa.DataType, raw: list[bytes | None]) -> None:
    expected = [decoded(value) for value in raw]
    bad = [i for i, value in enumerate(raw) if value is not None and expected[i] is None]
    texts, named = valid_texts(strings([b"\xff", *raw], kind).slice(1))
    assert texts.to_pylist() == expected
    assert named == bad
    assert texts.type in (pa.string(), pa.large_string())


def test_invalid_texts_of_a_file(tmp_path: Path) -> None:
    texts = strings([b"a dog", b"\xff\xfe", None, b"a cat"], pa.string())
    path = write(tmp_path / "p.parquet", {"url": list("wxyz"), "text": texts})
    pool = open_pool(path)
    (rows,) = Reader(pool, ["text"], ignoring()).batches(pool.units[0])
    valid, named = valid_texts(rows.batch["text"])
    assert valid.to_pylist() == ["a dog", None, None, "a cat"]
    assert named == [1]
