"""Pools: which columns they have, and the units that they are cut into."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.engine.stage import Unit
from metacurate.errors import InputError, MetacurateError
from metacurate.pool.files import InputFile
from metacurate.pool.reader import id_texts
from metacurate.pool.tables import UNIT_ROWS, Pool, PoolFile

from .opened import ROWS, open_pool, read, write

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
    pool = open_pool(write(tmp_path / "p.parquet", {name: ["x"] for name in columns.split()}))
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
        open_pool(path, **named)
    assert str(caught.value) == f"{path}: {message}"


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    twice = pa.table([pa.array(["x"])] * 3, names=["url", "url", "text"])
    pq.write_table(twice, tmp_path / "p.parquet")
    with pytest.raises(InputError, match="no url column found"):
        open_pool(tmp_path)


@pytest.mark.parametrize(
    "ids", [["k1", "k2"], pa.array([7, 2**64 - 1], pa.uint64()), pa.array([-1, 5], pa.int8())]
)
def test_id_column(ids: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", {"key": ids, "text": ["a", "b"]})
    pool = open_pool(path, id_column="key")
    assert pool.id_column == "key"
    keys = read(pool, pool.units[0])["key"]
    assert id_texts(keys).to_pylist() == [str(i) for i in keys.to_pylist()]


def test_a_file_unlike_the_others_becomes_one_bad_unit(tmp_path: Path) -> None:
    for name, columns in [("a", ROWS), ("b", {"URL": ["x"], "text": ["x"]}), ("c", ROWS)]:
        write(tmp_path / f"{name}.parquet", columns)
    units = open_pool(tmp_path).units
    assert [unit.problem for unit in units] == [None, "no column 'url' (it has URL, text)", None]


def test_rounds_are_not_mixed(tmp_path: Path) -> None:
    for round_ in (0, 3):
        table = pa.table(ROWS).replace_schema_metadata({"metacurate.round": str(round_)})
        pq.write_table(table, tmp_path / f"{round_}.parquet")
        assert open_pool(tmp_path / f"{round_}.parquet").round == round_ + 1
    with pytest.raises(MetacurateError, match="several rounds of balancing: 0, 3"):
        open_pool(tmp_path)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([["u"], ["t"], [1], [2]], names=["url", "text", "entries", "entries"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: two columns share a name"):
        open_pool(tmp_path / "a.parquet")


# ---- units


def plan(row_groups: Sequence[int]) -> tuple[Unit, ...]:
    path = "pool/p.parquet"
    file = PoolFile(InputFile(path, "1 1", "parquet"), path, tuple(row_groups), None, None)
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
    if not sum(row_groups):
        assert len(units) == 1  # so that the file is told of
        return
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
        pytest.param([], [0], id="no rows"),
    ],
)
def test_sizes_of_units(row_groups: list[int], units: list[int]) -> None:
    assert [unit.rows for unit in plan(row_groups)] == units


def test_names_are_stable_until_the_file_changes(tmp_path: Path) -> None:
    def names() -> list[str]:
        return [unit.name for unit in open_pool(tmp_path).units]

    for path in ("a/p.parquet", "b/p.parquet"):
        write(tmp_path / path, ROWS)
    before, identity = names(), open_pool(tmp_path).identity
    assert len(set(before)) == 2
    assert names() == before
    write(tmp_path / "b/p.parquet", {**ROWS, "more": [1, 2]})
    assert names()[0] == before[0]
    assert names()[1] != before[1]
    assert open_pool(tmp_path).identity != identity


def test_names_suit_any_storage(tmp_path: Path) -> None:
    (unit,) = open_pool(write(tmp_path / "ü ber:*'x.parquet", ROWS)).units
    assert unit.name.isascii()
    assert not set(unit.name) & set(" /:*'")
