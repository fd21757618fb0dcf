"""Images of a pool: against a plain dictionary, for any rows in any order and cut."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.engine.workspace import open_workspace
from metacurate.errors import UsageError
from metacurate.images import listing
from metacurate.images.listing import (
    ImageList,
    ListStage,
    group_images,
    list_key,
    list_rows,
    write_lists,
)
from metacurate.pool.files import find_files
from metacurate.pool.opening import Asked, open_pools
from metacurate.pool.reader import CorruptRows, Rows, read_texts

URLS = st.sampled_from([f"https://a.example/{i}" for i in range(8)] + ["", "ä"])
ROWS = st.lists(
    st.tuples(st.none() | URLS, st.none() | st.text("ab ä", max_size=3), st.integers(0, 3)),
    max_size=60,
)


def table_of(rows: list[tuple[str | None, str | None, int]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table(
        {
            "text": pa.array(columns[1], pa.string()),
            "n": pa.array(columns[2], pa.int64()),
            "url": pa.array(columns[0], pa.string()),
        }
    )


def listed(batch: pa.RecordBatch) -> tuple[pa.Table, npt.NDArray[np.bool_]]:
    """Rows as a task lists them, and which of the batch these are."""
    rows = Rows(batch, np.arange(len(batch)))
    texts, valid = read_texts(["url", "text"], rows, CorruptRows())
    return list_rows(texts["url"], texts["text"], batch.select(["n"]), valid), valid


def list_images(
    folder: Path, tables: list[pa.Table], images_per_shard: int, **asked: Any
) -> ImageList:
    pool_folder = folder / "pool"
    pool_folder.mkdir(parents=True)
    for number, table in enumerate(tables):
        pq.write_table(table, pool_folder / f"{number}.parquet")
    out = folder / "out"
    with open_workspace(out, {"command": "images download", "pool": [str(pool_folder)]}) as space:
        space.claim()
        (pool,) = open_pools(space, [Asked(find_files(str(pool_folder)), round_=0, **asked)], None)
        stage = ListStage(pool)
        outcome = space.run(stage)
        key = list_key(stage, outcome.identity(pool.identity), images_per_shard)
        return write_lists(space.work, key, pool, outcome.partials, images_per_shard)


def read_all(images: ImageList) -> list[dict[str, Any]]:
    return [row for unit in images.units for row in images.read(unit).to_pylist()]


@settings(deadline=None, max_examples=100)
@given(ROWS)
def test_each_url_once_with_all_of_its_pairs(
    rows: list[tuple[str | None, str | None, int]],
) -> None:
    batch = table_of(rows).combine_chunks().to_batches()
    if not batch:
        return
    table, valid = listed(batch[0])
    assert valid.tolist() == [url is not None and text is not None for url, text, _ in rows]
    expected: dict[str, list[tuple[str, int]]] = {}
    for url, text, n in rows:
        if url is not None and text is not None:
            expected.setdefault(url, []).append((text, n))
    found = {
        row["url"]: [(pair["text"], pair["n"]) for pair in row["pairs"]]
        for row in group_images(table).to_pylist()
    }
    assert {url: sorted(pairs) for url, pairs in found.items()} == {
        url: sorted(pairs) for url, pairs in expected.items()
    }
    for pairs in found.values():
        assert [text.encode() for text, _ in pairs] == sorted(text.encode() for text, _ in pairs)


@settings(deadline=None, max_examples=50)
@given(ROWS, st.randoms())
def test_order_of_rows_is_nothing(
    rows: list[tuple[str | None, str | None, int]], random: Any
) -> None:
    other = list(rows)
    random.shuffle(other)
    found = [
        group_images(listed(batch)[0]).to_pylist()
        for one in (rows, other)
        for batch in table_of(one).combine_chunks().to_batches()
    ]
    assert found[:1] == found[1:]


def many(images: int) -> list[tuple[str | None, str | None, int]]:
    return [(f"https://a.example/{i % images}", f"text {i}", i) for i in range(images * 3 // 2)]


@pytest.mark.parametrize("part_rows", [listing.PART_ROWS, 100])
def test_shards_are_the_same_whatever_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_rows: int
) -> None:
    monkeypatch.setattr(listing, "PART_ROWS", part_rows)
    rows = many(1000)
    one = list_images(tmp_path / "one", [table_of(rows)], 64)
    cut = [table_of(rows[i : i + 300]) for i in range(0, len(rows), 300)]
    several = list_images(tmp_path / "several", cut[::-1], 64)
    assert read_all(one) == read_all(several)
    assert (one.images, one.pairs) == (several.images, several.pairs) == (1000, 1500)
    assert [unit.rows for unit in one.units] == [64] * 15 + [40]
    assert [row["key"] for row in read_all(one)][62:66] == [
        "000000062", "000000063", "000010000", "000010001",
    ]  # fmt: skip


def test_more_than_ten_thousand_images_in_a_shard_have_longer_keys(tmp_path: Path) -> None:
    images = list_images(tmp_path, [table_of(many(10))], 10_001)
    assert read_all(images)[0]["key"] == "0000000000"


def test_uids(tmp_path: Path) -> None:
    table = pa.table({"url": ["a", "a", "b"], "text": ["x", "w", "y"], "uid": ["1", "2", None]})
    found = {row["url"]: row["uid"] for row in read_all(list_images(tmp_path, [table], 10))}
    assert found == {"a": "2", "b": hashlib.sha224(b"b").hexdigest()[:24]}


def test_columns_of_other_names_and_files(tmp_path: Path) -> None:
    tables = [
        pa.table({"TEXT": ["x"], "image_url": ["a"], "n": pa.array([1], pa.int32())}),
        pa.table({"TEXT": ["y"], "image_url": ["b"], "n": pa.array([2], pa.int64()),
                  "status": ["success"], "key": ["k"]}),
    ]  # fmt: skip
    (first, second) = sorted(read_all(list_images(tmp_path, tables, 10)), key=lambda r: r["url"])
    assert first["pairs"] == [{"text": "x", "n": 1}]
    assert second["pairs"] == [{"text": "y", "n": 2}]


def test_nothing_to_list(tmp_path: Path) -> None:
    images = list_images(tmp_path, [table_of([(None, "a", 1), ("b", None, 2)])], 10)
    assert (images.images, images.pairs, images.units) == (0, 0, [])


def test_files_that_differ_in_types(tmp_path: Path) -> None:
    tables = [pa.table({"url": ["a"], "text": ["x"], "n": column}) for column in (["1"], [[1]])]
    with pytest.raises(UsageError, match="differ in types"):
        list_images(tmp_path, tables, 10)
