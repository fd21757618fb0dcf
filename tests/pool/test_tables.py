"""Pools: which files and columns they are, and that each row is read once, in its place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.engine.stage import Unit
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.pool import tables
from metacurate.pool.tables import (
    BATCH_ROWS,
    UNIT_ROWS,
    Pool,
    PoolFile,
    Reader,
    find_files,
    id_texts,
    valid_texts,
    without_views,
)

ROWS = {"url": ["u/0", "u/1"], "text": ["a dog", "a cat"]}


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


# ---- files

TREE = (
    "a.parquet", "b.parquet", "sub/c.parquet", "sub/deep/d.parquet", "odd[1].parquet", "noending",
    "notes.txt", ".hidden.parquet", "_part.parquet", ".cache/e.parquet", "_temporary/f.parquet",
    "sub/_logs/g.parquet",
)  # fmt: skip
ALL = ["a.parquet", "b.parquet", "odd[1].parquet", "sub/c.parquet", "sub/deep/d.parquet"]

SOURCES = [
    pytest.param(["a.parquet"], ["a.parquet"], id="file"),
    pytest.param(["noending"], ["noending"], id="file without ending"),
    pytest.param(["_part.parquet"], ["_part.parquet"], id="a hidden file that is named"),
    pytest.param(["odd[1].parquet"], ["odd[1].parquet"], id="file with a glob's characters"),
    pytest.param([""], ALL, id="folder"),
    pytest.param(["sub/"], ["sub/c.parquet", "sub/deep/d.parquet"], id="nested folder"),
    pytest.param(["?.parquet"], ["a.parquet", "b.parquet"], id="glob"),
    pytest.param(["s*/*.parquet"], ["sub/c.parquet"], id="glob of folders"),
    pytest.param(["sub/**/[cd].parquet"], ["sub/c.parquet", "sub/deep/d.parquet"], id="deep glob"),
    pytest.param(["b.parquet", "a.parquet"], ["a.parquet", "b.parquet"], id="list"),
    pytest.param(["", "sub", "a.parquet", "?.parquet"], ALL, id="list that overlaps"),
]


@pytest.mark.parametrize(("sources", "found"), SOURCES)
def test_files(sources: Sequence[str], found: list[str], tmp_path: Path) -> None:
    root = tmp_path / ".x" / "_pool"  # what lies above the pool hides nothing
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    expected = [str(root / name) for name in found]
    assert find_files([f"{root}/{source}" for source in sources]) == expected
    assert find_files([f"file://{root}/{source}" for source in sources]) == expected


def test_a_glob_means_folders_too(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet/part-0.parquet", "b.parquet/_SUCCESS", "c/d.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for pattern in ("*.parquet", "*", "c*"):  # the same as where a shell expands it
        assert find_files(tmp_path / pattern) == find_files(list(tmp_path.glob(pattern)))


@pytest.mark.parametrize("source", ["", "one.parquet", "o*.parquet"])
def test_files_of_a_store(source: str) -> None:
    files = fsspec.filesystem("memory")
    for name in ("one.parquet", "_two.parquet", "notes.txt"):
        with files.open(f"/pool/{name}", "wb") as file:
            pq.write_table(pa.table(ROWS), file)
    try:
        pool = Pool.open(f"memory://pool/{source}")
        assert [file.path for file in pool.files] == ["memory:///pool/one.parquet"]
        (unit,) = pool.units
        (batch,) = Reader(None).batches(unit)
        assert batch.to_pydict() == ROWS
    finally:
        files.rm("/pool", recursive=True)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("none", "none: no such file or folder", id="missing"),
        pytest.param("none*.parquet", "no such file or folder", id="glob of nothing"),
        pytest.param("folder", "folder: the folder holds no .parquet file", id="nothing inside"),
    ],
)
def test_no_files(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        find_files(tmp_path / source)
    assert str(caught.value).startswith(str(tmp_path))


def test_empty_list() -> None:
    with pytest.raises(UsageError, match="no pool: the list of files is empty"):
        Pool.open([])


# ---- columns


@pytest.mark.parametrize(
    ("columns", "identity", "text"),
    [
        pytest.param("url text", "url", "text", id="ours"),
        pytest.param("SAMPLE_ID URL TEXT HEIGHT similarity", "URL", "TEXT", id="LAION"),
        pytest.param("image_url caption", "image_url", "caption", id="COCO and others"),
        pytest.param("Caption Image_Url", "Image_Url", "Caption", id="any case"),
        pytest.param("URL url Url TEXT text", "url", "text", id="exact name wins"),
        pytest.param("caption image_url text url", "url", "text", id="first choice wins"),
        pytest.param("URL image_url caption TEXT", "URL", "TEXT", id="first choice in any case"),
    ],
)
def test_columns_are_found(columns: str, identity: str, text: str, tmp_path: Path) -> None:
    pool = Pool.open(write(tmp_path / "p.parquet", {name: ["x"] for name in columns.split()}))
    assert (pool.id_column, pool.text_column) == (identity, text)
    assert pool.columns == tuple(columns.split())


@pytest.mark.parametrize(
    ("columns", "named", "message"),
    [
        pytest.param(
            {"text": ["x"], "n": [1]}, {},
            "no url column found: name it with --url-column or --id-column (it has text, n)",
            id="no url",
        ),
        pytest.param(
            {"url": ["x"], "alt": ["x"]}, {},
            "no text column found: name it with --text-column (it has url, alt)",
            id="no text",
        ),
        pytest.param(
            {"URL": ["x"], "Url": ["x"], "text": ["x"]}, {},
            "no url column found: name it with --url-column or --id-column (it has URL, Url, text)",
            id="two urls",
        ),
        pytest.param(
            ROWS, {"text_column": "alt"}, "no column 'alt' (it has url, text)", id="wrong name"
        ),
        pytest.param(
            {"url": ["x"], "text": [1]}, {}, "column 'text' is of type int64, not strings",
            id="numbers for texts",
        ),
        pytest.param(
            {"url": [1], "text": ["x"]}, {}, "column 'url' is of type int64, not strings",
            id="numbers for urls",
        ),
        pytest.param(
            {"url": ["x"], "text": [b"x"]}, {}, "column 'text' is of type binary, not strings",
            id="binary",
        ),
        pytest.param(
            {"key": [0.5], "text": ["x"]}, {"id_column": "key"},
            "column 'key' is of type double, not strings",
            id="floats for ids",
        ),
    ],
)  # fmt: skip
def test_columns_are_refused(
    columns: dict[str, Any], named: dict[str, str], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "p.parquet", columns)
    with pytest.raises(InputError) as caught:
        Pool.open(path, **named)
    assert str(caught.value) == f"{path}: {message}"


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    twice = pa.table([pa.array(["x"])] * 3, names=["url", "url", "text"])
    pq.write_table(twice, tmp_path / "p.parquet")
    with pytest.raises(InputError, match="no url column found"):
        Pool.open(tmp_path)


@pytest.mark.parametrize(
    "ids", [["k1", "k2"], pa.array([7, 2**64 - 1], pa.uint64()), pa.array([-1, 5], pa.int8())]
)
def test_id_column(ids: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", {"key": ids, "text": ["a", "b"]})
    pool = Pool.open(path, id_column="key")
    assert pool.id_column == "key"
    (batch,) = Reader(None).batches(pool.units[0])
    assert id_texts(batch["key"]).to_pylist() == [str(i) for i in batch["key"].to_pylist()]


def test_url_and_id_column_exclude_each_other(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", ROWS)
    with pytest.raises(UsageError, match="--url-column or --id-column, not both"):
        Pool.open(path, url_column="url", id_column="url")


def test_a_file_unlike_the_others_becomes_one_bad_unit(tmp_path: Path) -> None:
    for name, columns in [("a", ROWS), ("b", {"URL": ["x"], "text": ["x"]}), ("c", ROWS)]:
        write(tmp_path / f"{name}.parquet", columns)
    units = Pool.open(tmp_path).units
    assert [unit.problem for unit in units] == [None, "no column 'url' (it has URL, text)", None]


def test_rounds_are_not_mixed(tmp_path: Path) -> None:
    for round_ in (0, 3):
        table = pa.table(ROWS).replace_schema_metadata({"metacurate.round": str(round_)})
        pq.write_table(table, tmp_path / f"{round_}.parquet")
        assert Pool.open(tmp_path / f"{round_}.parquet").round == round_ + 1
    with pytest.raises(MetacurateError, match="several rounds of balancing: 0, 3"):
        Pool.open(tmp_path)


# ---- units


def plan(row_groups: Sequence[int]) -> tuple[Unit, ...]:
    file = PoolFile("pool/p.parquet", "1 1", tuple(row_groups), None, None)
    return Pool((file,), "url", "text", 0).units


@given(st.lists(st.integers(0, 5) | st.integers(0, 4 * UNIT_ROWS), max_size=12))
@example([UNIT_ROWS, UNIT_ROWS + 1, UNIT_ROWS - 1, 1, 0])
@example([0, 0])
def test_units_hold_every_row_once(row_groups: list[int]) -> None:
    starts = [sum(row_groups[:i]) for i in range(len(row_groups))]
    units = plan(row_groups)
    edges = [0, *(unit.first_row + unit.rows for unit in units)]
    assert [unit.first_row for unit in units] == edges[:-1]
    assert edges[-1] == sum(row_groups)
    assert all(0 < unit.rows <= UNIT_ROWS for unit in units)
    assert len({unit.name for unit in units}) == len(units)
    for unit in units:
        assert unit.anchor in starts
        assert unit.anchor <= unit.first_row
    for start, rows in zip(starts, row_groups, strict=True):
        parts = [unit.rows for unit in units if start <= unit.first_row < start + rows]
        if rows > UNIT_ROWS:  # cut evenly, and into no more parts than are needed
            assert sum(parts) == rows
            assert max(parts) - min(parts) <= 1
            assert len(parts) == -(-rows // UNIT_ROWS)
        else:  # whole
            assert not any(start < edge < start + rows for edge in edges)


@pytest.mark.parametrize(
    ("row_groups", "units"),
    [
        pytest.param([10] * 1000, [10_000], id="small ones share a unit"),
        pytest.param([100_000] * 3, [100_000] * 3, id="row groups stay whole"),
        pytest.param([60_000, 60_000, 60_000], [120_000, 60_000], id="as many as fit"),
        pytest.param([393_217], [98_304, 98_304, 98_304, 98_305], id="a large one is cut evenly"),
        pytest.param([5, 131_073, 7], [5, 65_536, 65_537, 7], id="a large one stands alone"),
        pytest.param([0, 3, 0], [3], id="empty row groups"),
        pytest.param([], [], id="no rows"),
    ],
)
def test_sizes_of_units(row_groups: list[int], units: list[int]) -> None:
    assert [unit.rows for unit in plan(row_groups)] == units


def test_names_are_stable_until_the_file_changes(tmp_path: Path) -> None:
    def names() -> list[str]:
        return [unit.name for unit in Pool.open(tmp_path).units]

    for path in ("a/p.parquet", "b/p.parquet"):
        write(tmp_path / path, ROWS)
    before, identity = names(), Pool.open(tmp_path).identity
    assert len(set(before)) == 2
    assert names() == before
    write(tmp_path / "b/p.parquet", {**ROWS, "more": [1, 2]})
    assert names()[0] == before[0]
    assert names()[1] != before[1]
    assert Pool.open(tmp_path).identity != identity


def test_names_suit_any_storage(tmp_path: Path) -> None:
    (unit,) = Pool.open(write(tmp_path / "ü ber:*'x.parquet", ROWS)).units
    assert unit.name.isascii()
    assert not set(unit.name) & set(" /:*'")


# ---- reading


SCHEMA = pa.schema({"url": pa.string(), "text": pa.string(), "n": pa.int64()})


def values(reader: Reader, unit: Unit) -> list[int]:
    batches = list(reader.batches(unit))
    assert all(0 < batch.num_rows <= BATCH_ROWS for batch in batches)
    return [n for batch in batches for n in batch["n"].to_pylist()]


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
        patch.setattr(tables, "BATCH_ROWS", 4)
        units = Pool.open(folder).units
        reader = Reader(data.draw(st.sampled_from([None, ["n"]])))
        asked = data.draw(st.permutations(units))
        found = {unit: values(reader, unit) for unit in asked}
    read = [n for unit in units for n in found[unit]]
    assert read == [*range(first), -1]
    assert all(len(found[unit]) == unit.rows for unit in units)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[Unit, ...]:
    rows = 2 * UNIT_ROWS + 50_001
    texts = pa.array(["x"] * rows)
    path = write(
        tmp_path_factory.mktemp("big") / "p.parquet",
        {"url": texts, "text": texts, "n": range(rows)},
        row_group_size=rows,
    )
    return Pool.open(path).units


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 1, 0, 0]])
def test_parts_of_a_large_row_group(big: tuple[Unit, ...], order: list[int]) -> None:
    reader = Reader(["n"])
    for unit in (big[i] for i in order):
        assert values(reader, unit) == list(range(unit.first_row, unit.first_row + unit.rows))


def test_a_unit_left_half_way_is_read_whole_again(big: tuple[Unit, ...]) -> None:
    reader = Reader(["n"])
    values(reader, big[0])
    next(reader.batches(big[1]))
    assert len(values(reader, big[1])) == big[1].rows


def test_a_file_that_became_shorter_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", {name: ["1"] * 100 for name in ("url", "text")})
    (unit,) = Pool.open(path).units
    write(path, ROWS)
    with pytest.raises(InputError, match="can't be read: it ends before its last row"):
        list(Reader(None).batches(unit))


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
    (batch,) = Reader(["text"]).batches(Pool.open(path).units[0])
    valid, named = valid_texts(batch["text"])
    assert valid.to_pylist() == ["a dog", None, None, "a cat"]
    assert named == [1]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([["u"], ["t"], [1], [2]], names=["url", "text", "entries", "entries"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: two columns share a name"):
        Pool.open(tmp_path / "a.parquet")
