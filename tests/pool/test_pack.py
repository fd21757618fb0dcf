"""Packing: the same rows in the same order, in files of even size."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import metacurate as mc
from metacurate.engine.progress import Silent
from metacurate.errors import MetacurateError, UsageError
from metacurate.pool.files import find_files
from metacurate.pool.pack import pack

ROUND = {"metacurate.round": "0"}
CONCEPTS = mc.Metadata.from_entries(["fox", "dog", "red"])


def numbered(first: int, rows: int) -> pa.Table:
    """Rows that tell where they come from."""
    numbers = range(first, first + rows)
    texts = [f"a {'red' if i % 3 else 'fox'} dog {i}" for i in numbers]
    urls = pa.array([f"u/{i}" for i in numbers], pa.string())
    columns = [urls, pa.array(texts, pa.string()), pa.array(numbers, pa.int64())]
    return pa.table(columns, names=["url", "text", "number"])


def write_pool(folder: Path, tables: Sequence[pa.Table], **options: Any) -> Path:
    """Write one file for each table, the last one first: the order of names is what counts."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, table in reversed(list(enumerate(tables))):
        pq.write_table(table, folder / f"{i:03}.parquet", **options)
    return folder


def shards(out: Path) -> list[Path]:
    return [Path(file.path) for file in find_files(out)]


def read(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in shards(out)])


def sizes(out: Path) -> list[int]:
    return [pq.read_metadata(path).num_rows for path in shards(out)]


# ---- rows


@settings(max_examples=25)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 50), st.integers(1, 60))
@example([3, 0, 4, 5], 2, 4)  # shards that end within a row group, and where a file does
@example([10], 10, 10)
@example([1] * 8, 1, 3)
def test_rows(rows: list[int], row_group: int, per_shard: int) -> None:
    tables = [numbered(sum(rows[:i]), count) for i, count in enumerate(rows)]
    with tempfile.TemporaryDirectory() as name:
        pool = write_pool(Path(name, "pool"), tables, row_group_size=row_group)
        out = Path(name, "out")
        summary = pack(pool, out, rows_per_shard=per_shard, workers=2)
        full, rest = divmod(sum(rows), per_shard)
        expected = [per_shard] * full + [rest] * (rest > 0) or [0]
        assert (summary["files_read"], summary["rows"]) == (len(rows), sum(rows))
        assert (summary["shards"], summary["resumed_shards"]) == (len(expected), 0)
        assert sizes(out) == expected
        assert read(out).equals(pa.concat_tables(tables))
        assert summary["bytes"] == sum(path.stat().st_size for path in shards(out))


def test_row_groups_are_neither_tiny_nor_huge(tmp_path: Path) -> None:
    rows = 300_000
    pool = write_pool(tmp_path / "pool", [numbered(0, rows)], row_group_size=1_000)
    pack(pool, tmp_path / "out", rows_per_shard=rows)
    (path,) = shards(tmp_path / "out")
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert len(groups) == 3
    assert max(groups) < 170_000


def test_a_pool_without_rows_stays_a_pool(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 0)] * 2)
    pack(pool, tmp_path / "out")
    assert read(tmp_path / "out").equals(numbered(0, 0))


def test_other_formats(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a fox\tu/0\na dog\tu/1\n")
    (tmp_path / "b.tsv").write_text("a cat\tu/2\n")
    sources = [tmp_path / "b.tsv", tmp_path / "a.tsv"]
    pack(sources, tmp_path / "out", rows_per_shard=2, columns=["text", "url"])
    assert sizes(tmp_path / "out") == [2, 1]
    assert read(tmp_path / "out").to_pydict() == {
        "text": ["a fox", "a dog", "a cat"],
        "url": ["u/0", "u/1", "u/2"],
    }


# ---- columns

VIEWS = pa.array(["a", None, "a text that is longer than twelve bytes"], pa.string_view())

COLUMNS = [
    pytest.param(pa.array([[1, 2], None, []]), id="lists"),
    pytest.param(
        pa.array([{"a": 1, "b": ["x", None]}, None, {"a": None, "b": None}]), id="structs"
    ),
    pytest.param(
        pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int32())), id="maps"
    ),
    pytest.param(pa.array(["a", "b", None]).dictionary_encode(), id="dictionary"),
    pytest.param(VIEWS, id="views"),
    pytest.param(pa.array([["x"], None, []], pa.list_(pa.string_view())), id="lists of views"),
    pytest.param(pa.array([b"\xff", b"", None]), id="binary"),
    pytest.param(pa.array([1, 2, None], pa.timestamp("us", "UTC")), id="times"),
    pytest.param(pa.nulls(3), id="nulls"),
]  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
def test_columns_of_any_type(column: pa.Array, tmp_path: Path) -> None:
    table = pa.table({"n": [0, 1, 2], "column": column})
    other = table.slice(1)  # another dictionary, other offsets
    pack(write_pool(tmp_path / "pool", [table, other]), tmp_path / "out", rows_per_shard=2)
    packed = read(tmp_path / "out")
    assert packed.schema == table.schema
    assert packed.to_pylist() == [*table.to_pylist(), *other.to_pylist()]


def test_a_thousand_columns(tmp_path: Path) -> None:
    tables = [pa.table({f"c{i}": [i, n] for i in range(1_000)}) for n in range(3)]
    pack(write_pool(tmp_path / "pool", tables), tmp_path / "out", rows_per_shard=4)
    assert read(tmp_path / "out").equals(pa.concat_tables(tables))


def test_columns_in_another_order(tmp_path: Path) -> None:
    table = numbered(0, 5)
    tables = [table, numbered(5, 5).select(["number", "url", "text"])]
    pack(write_pool(tmp_path / "pool", tables), tmp_path / "out")
    assert read(tmp_path / "out").equals(numbered(0, 10))


@pytest.mark.parametrize(
    ("first", "second", "joined"),
    [
        pytest.param(pa.int32(), pa.int64(), pa.int64(), id="integers"),
        pytest.param(pa.int64(), pa.int32(), pa.int64(), id="integers, the wide one first"),
        pytest.param(pa.string(), pa.large_string(), pa.large_string(), id="strings"),
        pytest.param(pa.null(), pa.string(), pa.string(), id="all null in one file"),
        pytest.param(pa.float32(), pa.float64(), pa.float64(), id="floats"),
    ],
)
def test_types_that_are_joined(
    first: pa.DataType, second: pa.DataType, joined: pa.DataType, tmp_path: Path
) -> None:
    values = [None, None] if pa.types.is_null(first) else ["1", "2"]
    tables = [
        pa.table({"x": pa.array(values).cast(first)}),
        pa.table({"x": pa.array(["3", "4"]).cast(second)}),
    ]
    pack(write_pool(tmp_path / "pool", tables), tmp_path / "out", rows_per_shard=3)
    packed = read(tmp_path / "out")
    assert packed.schema.field("x").type == joined
    assert pc.cast(packed["x"], pa.string()).to_pylist() == [*values, "3", "4"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        pytest.param({"url": ["u"], "alt": ["x"], "more": [1]}, "alt, more, text", id="names"),
        pytest.param({"url": ["u"]}, "differ in columns: text", id="one is missing"),
        pytest.param({"url": ["u"], "text": [1]}, "text", id="types"),
    ],
)
def test_columns_that_differ(second: dict[str, Any], message: str, tmp_path: Path) -> None:
    tables = [pa.table({"url": ["u"], "text": ["x"]}), pa.table(second)]
    pool = write_pool(tmp_path / "pool", tables)
    with pytest.raises(UsageError, match=message) as caught:
        pack(pool, tmp_path / "out")
    assert str(pool / "001.parquet") in str(caught.value)
    assert not (tmp_path / "out").exists()


# ---- what the files' metadata say


def test_metadata_that_all_files_share_are_kept(tmp_path: Path) -> None:
    tables = [
        numbered(0, 2).replace_schema_metadata({**ROUND, "author": "me", "part": "0"}),
        numbered(2, 2).replace_schema_metadata({**ROUND, "author": "me", "part": "1"}),
    ]
    pack(write_pool(tmp_path / "pool", tables), tmp_path / "out", rows_per_shard=3)
    for path in shards(tmp_path / "out"):
        kept = pq.read_schema(path).metadata
        assert kept == {b"metacurate.round": b"0", b"author": b"me"}


@pytest.mark.parametrize("other", [{"metacurate.round": "1"}, {"author": "me"}, None])
def test_rounds_are_not_mixed(other: dict[str, str] | None, tmp_path: Path) -> None:
    tables = [
        numbered(0, 2).replace_schema_metadata(ROUND),
        numbered(2, 2).replace_schema_metadata(other),
    ]
    with pytest.raises(UsageError, match="several rounds of balancing"):
        pack(write_pool(tmp_path / "pool", tables), tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("named", ["curated", "."])
def test_a_curated_set_goes_on_to_the_next_round(named: str, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 300), numbered(300, 300)])
    first = mc.curate(pool, CONCEPTS, threshold=50, out=tmp_path / "first").summary
    pack(tmp_path / "first" / named, tmp_path / "packed", rows_per_shard=40)
    assert sum(sizes(tmp_path / "packed")) == first["kept"]
    again = [
        mc.curate(tmp_path / source, CONCEPTS, threshold=20, out=tmp_path / f"of {source}")
        for source in ("first", "packed")
    ]
    assert [one.summary["round"] for one in again] == [1, 1]
    loose, packed = (
        pq.read_table(one.out / "curated").select(["number", "min_threshold"]).sort_by("number")
        for one in again
    )
    assert packed.equals(loose)


# ---- broken inputs


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def damage(path: Path) -> None:
    """Flip the bytes of the last column's pages; the footer stays."""
    group = pq.read_metadata(path).row_group(0)
    pages = group.column(group.num_columns - 1)
    begin = pages.dictionary_page_offset or pages.data_page_offset
    end = begin + pages.total_compressed_size
    raw = path.read_bytes()
    path.write_bytes(raw[:begin] + bytes(b ^ 0xFF for b in raw[begin:end]) + raw[end:])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [truncate, damage, empty])
def test_a_broken_file_is_named(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    pool, out = tmp_path / "pool", tmp_path / "out"
    tables = [numbered(10 * i, 10) for i in range(4)]
    write_pool(pool, tables)
    good = (pool / "002.parquet").read_bytes()
    spoil(pool / "002.parquet")
    with pytest.raises(MetacurateError) as caught:
        pack(pool, out, rows_per_shard=8)
    assert str(caught.value).startswith(f"{pool / '002.parquet'}: ")
    assert not (out / "manifest.json").exists()

    (pool / "002.parquet").write_bytes(good)
    pack(pool, out, rows_per_shard=8)
    assert (out / "manifest.json").exists()
    assert read(out).equals(pa.concat_tables(tables))


class Changing(Silent):
    """Changes a file when the work begins: after it was planned."""

    def __init__(self, path: Path, table: pa.Table) -> None:
        self._path, self._table = path, table

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        pq.write_table(self._table, self._path)


@pytest.mark.parametrize("rows", [9, 10, 11])
def test_a_file_that_changes_meanwhile(rows: int, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(10 * i, 10) for i in range(3)])
    changing = Changing(pool / "001.parquet", numbered(500, rows))
    with pytest.raises(MetacurateError) as caught:
        pack(pool, tmp_path / "out", rows_per_shard=8, progress=changing)
    assert str(pool / "001.parquet") in str(caught.value)
    assert not (tmp_path / "out/manifest.json").exists()


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("pool", "pool/out"),
        ("pool", "pool"),
        ("pool/*", "pool/out"),
        ("pool/000.parquet", "pool"),
        ("done", "done"),
    ],
)
def test_outputs_among_the_inputs(source: str, out: str, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 3)])
    pack(pool, tmp_path / "done")
    with pytest.raises(UsageError, match=r"the output folder .* (lies in|holds files of) the pool"):
        pack(tmp_path / source, tmp_path / out)


@pytest.mark.parametrize("rows", [0, -1])
def test_shards_of_no_rows(rows: int, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 3)])
    with pytest.raises(UsageError, match=f"{rows} rows per shard are too few"):
        pack(pool, tmp_path / "out", rows_per_shard=rows)
    assert not (tmp_path / "out").exists()


# ---- runs that follow


def snapshot(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in shards(out)}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Three files of ten rows in shards of eight, in `out`."""
    pool = write_pool(tmp_path / "pool", [numbered(10 * i, 10) for i in range(3)])
    pack(pool, tmp_path / "out", rows_per_shard=8)
    return tmp_path


def test_a_second_run_does_nothing(packed: Path) -> None:
    before = snapshot(packed / "out")
    summary = pack(packed / "pool", packed / "out", rows_per_shard=8)
    assert (summary["shards"], summary["resumed_shards"]) == (4, 4)
    assert snapshot(packed / "out") == before


def changed(pool: Path) -> None:
    pq.write_table(numbered(500, 12), pool / "001.parquet")


def added(pool: Path) -> None:
    pq.write_table(numbered(500, 4), pool / "0005.parquet")


def removed(pool: Path) -> None:
    (pool / "000.parquet").unlink()


@pytest.mark.parametrize("change", [changed, added, removed])
def test_changed_inputs_make_new_shards(change: Callable[[Path], None], packed: Path) -> None:
    change(packed / "pool")
    summary = pack(packed / "pool", packed / "out", rows_per_shard=8)
    inputs = [pq.read_table(path) for path in sorted((packed / "pool").iterdir())]
    assert read(packed / "out").equals(pa.concat_tables(inputs))
    assert len(shards(packed / "out")) == summary["shards"]


def test_another_size_makes_new_shards(packed: Path) -> None:
    pack(packed / "pool", packed / "out", rows_per_shard=11)
    assert sizes(packed / "out") == [11, 11, 8]
    assert read(packed / "out").equals(numbered(0, 30))


def test_a_run_that_is_refused_leaves_the_earlier_one(packed: Path) -> None:
    before = snapshot(packed / "out")
    pq.write_table(numbered(0, 3).drop_columns("text"), packed / "pool/003.parquet")
    with pytest.raises(UsageError, match="differ in columns: text"):
        pack(packed / "pool", packed / "out", rows_per_shard=7)
    assert (packed / "out/manifest.json").exists()
    assert snapshot(packed / "out") == before


def test_a_kill_after_the_first_shards(tmp_path: Path) -> None:
    tables = [numbered(20_000 * i, 20_000) for i in range(6)]
    pool = write_pool(tmp_path / "pool", tables, row_group_size=1_000)
    out = tmp_path / "out"
    command = ["pack", pool, "-o", out, "--rows-per-shard", 1_000, "--workers", 1]
    with subprocess.Popen(
        [sys.executable, "-m", "metacurate", *map(str, command)], stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not list(out.glob(".metacurate/pack-*/*.json")):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    before = {path: path.stat().st_mtime_ns for path in out.glob("packed-*")}
    assert 0 < len(before) < 120
    with pytest.raises(UsageError, match="its run is not complete"):
        find_files(out)

    summary = pack(pool, out, rows_per_shard=1_000)
    assert 0 < summary["resumed_shards"] <= len(before)
    same = [path for path, written in before.items() if path.stat().st_mtime_ns == written]
    assert len(same) == summary["resumed_shards"]
    assert sizes(out) == [1_000] * 120
    assert read(out)["number"].to_pylist() == list(range(120_000))
    assert not list(out.glob(".*.tmp"))
