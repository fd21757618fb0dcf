"""Deduplication: of the rows of a key the same one stays, however the pool is stored."""

import datetime
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

import metacurate as mc
from metacurate.engine.lock import lock
from metacurate.engine.progress import Silent
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.hashing.pairs import draw_seed, hash_pairs
from metacurate.hashing.rows import hash_rows
from metacurate.pool import tables, winners
from metacurate.pool.dedup import dedup
from metacurate.pool.dedup_stages import By
from metacurate.pool.files import find_files

KINDS: list[By] = ["pair", "url", "text"]
SCHEMA = pa.schema(
    [
        ("url", pa.string()),
        ("text", pa.string()),
        ("n", pa.int64()),
        ("tags", pa.list_(pa.string())),
    ]
)
FATES = ("kept", "duplicate", "held_elsewhere", "invalid", "filtered")

Row = dict[str, Any]


def write_pool(folder: Path, files: Sequence[pa.Table], **options: Any) -> Path:
    """Write one file for each table."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, table in enumerate(files):
        pq.write_table(table, folder / f"{i:03}.parquet", **options)
    return folder


def read(out: Path) -> pa.Table:
    """What is left, as a table; none of the files has no rows, unless it is the only one."""
    found = [pq.read_table(file.path) for file in find_files(out)]
    assert all(map(len, found)) or len(found) == 1
    return pa.concat_tables(found)


def shards(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(out / "_accounting" / "shards.parquet").to_pylist()
    return rows


# ---- the oracle


def key_of(row: Row, by: By) -> Any:
    return (row["url"], row["text"]) if by == "pair" else row[by]


def survivors(
    table: pa.Table, by: By, seed: int = 0, held: Sequence[Row] = ()
) -> tuple[list[int], Counter[str]]:
    """Rows that stay, and how many rows have each fate: a dict over all of them."""
    rows = table.to_pylist()
    draws = hash_pairs(table["url"], table["text"], seed, "dedup")
    (batch,) = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    ties = hash_rows(batch, draw_seed(seed, "dedup"))
    elsewhere = {key_of(row, by) for row in held}
    best: dict[Any, tuple[int, int, int]] = {}
    fates: Counter[str] = Counter(rows_read=len(rows))
    for i, row in enumerate(rows):
        if row["url"] is None or row["text"] is None:
            fates["invalid"] += 1
        elif key_of(row, by) in elsewhere:
            fates["held_elsewhere"] += 1
        else:
            mine = (int(draws[i]), int(ties[i]), i)
            best[key_of(row, by)] = min(best.get(key_of(row, by), mine), mine)
    fates["kept"] = len(best)
    fates["duplicate"] = len(rows) - sum(fates[name] for name in FATES if name != "duplicate")
    return sorted(i for _, _, i in best.values()), fates


def as_set(rows: Sequence[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


# ---- any rows, in any order, files, units, partitions, with any number of workers

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "url": st.sampled_from(["", "a", "a\0x", "é"]) | st.none(),
            "text": st.sampled_from(["", "x", "y", "x\0y"]) | st.none(),
            "n": st.integers(0, 2) | st.none(),
            "tags": st.lists(st.sampled_from(["", "t"]) | st.none(), max_size=2) | st.none(),
        }
    ),
    max_size=24,
).filter(bool)


def cut(table: pa.Table, rng: np.random.Generator, files: int) -> list[pa.Table]:
    edges = [0, *sorted(rng.integers(0, len(table) + 1, files - 1).tolist()), len(table)]
    return [table.slice(a, b - a) for a, b in pairwise(edges)]


@settings(max_examples=60)
@given(
    rows=ROWS, other=st.lists(ROWS, max_size=2), by=st.sampled_from(KINDS),
    seed=st.integers(0, 2**64 - 1), files=st.integers(1, 5), group=st.integers(1, 9),
    unit=st.integers(1, 9), partition=st.integers(1, 9), workers=st.sampled_from([1, 3]),
    order=st.integers(0, 99),
)  # fmt: skip
@example(
    rows=[{"url": "a", "text": "x", "n": n, "tags": None} for n in (1, None, 1, 0)], other=[],
    by="pair", seed=0, files=2, group=1, unit=1, partition=1, workers=3, order=1,
)  # fmt: skip
def test_what_stays(
    rows: list[Row], other: list[list[Row]], by: By, seed: int, files: int, group: int, unit: int,
    partition: int, workers: int, order: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(order)
    table = pa.Table.from_pylist(rows, SCHEMA)
    shuffled = table.take(pa.array(rng.permutation(len(rows))))
    held = [
        row
        for one in other
        for row in one
        if all(row[name] is not None for name in (("url", "text") if by == "pair" else (by,)))
    ]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setattr(winners, "PARTITION_ROWS", partition)
        patch.setattr(winners, "RECORD_BYTES", 200)
        patch.setattr(tables, "UNIT_ROWS", unit)
        pool = write_pool(folder / "pool", cut(shuffled, rng, files), row_group_size=group)
        against = [
            write_pool(folder / f"other{i}", [pa.Table.from_pylist(one, SCHEMA)])
            for i, one in enumerate(other)
        ]
        summary = dedup(
            pool, folder / "out", by=by, seed=seed, against=list(map(str, against)) or None,
            workers=workers,
        )  # fmt: skip
        stay, fates = survivors(table, by, seed, held)
        found = read(folder / "out").to_pylist()
        accounts = shards(folder / "out")
    assert as_set(found) == as_set([rows[i] for i in stay])
    assert {name: summary.get(name, 0) for name in ("rows_read", *FATES)} == {
        name: fates[name] for name in ("rows_read", *FATES)
    }
    for name in ("rows_read", *FATES):
        assert sum(row[name] or 0 for row in accounts) == fates[name]
    for row in accounts:
        assert row["rows_read"] == sum(row[name] or 0 for name in FATES)


@pytest.mark.parametrize("by", KINDS)
def test_of_equal_rows_the_first_stays_in_its_place(by: By, tmp_path: Path) -> None:
    """Kept rows keep their order, and are in a file for each unit."""
    columns = {"url": ["a", "b", "a", "c"], "text": ["x", "y", "x", "z"]}
    pool = write_pool(tmp_path / "pool", [pa.table(columns)] * 3)
    dedup(pool, tmp_path / "out", by=by)
    assert len(find_files(tmp_path / "out")) == 1
    assert read(tmp_path / "out").to_pydict() == {"url": ["a", "b", "c"], "text": ["x", "y", "z"]}


def test_null_is_not_empty(tmp_path: Path) -> None:
    """Rows that differ only in that are not equal: the same one stays in either order."""
    rows = [
        {"url": "a", "text": "x", "n": n, "tags": tags}
        for n in (None, 0)
        for tags in (None, [], [""], [None])
    ]
    left = []
    for i in range(len(rows)):
        table = pa.Table.from_pylist(rows[i:] + rows[:i], SCHEMA)
        dedup(write_pool(tmp_path / f"{i}", [table]), tmp_path / f"out{i}")
        left += read(tmp_path / f"out{i}").to_pylist()
    assert len(set(map(repr, left))) == 1


def test_another_seed_keeps_others(tmp_path: Path) -> None:
    rows = [{"url": f"{i // 3}", "text": "x", "n": i, "tags": None} for i in range(300)]
    pool = write_pool(tmp_path / "pool", [pa.Table.from_pylist(rows, SCHEMA)])
    kept = []
    for by in ("pair", "url"):
        for seed in (0, 1):
            out = tmp_path / f"{by}{seed}"
            assert dedup(pool, out, by=by, seed=seed)["kept"] == 100
            kept.append(tuple(read(out)["n"].to_pylist()))
    assert len(set(kept)) == 2  # of one pair: the whole row decides, by whatever key


# ---- real pairs


def test_real_pairs(data: Path, tmp_path: Path) -> None:
    """With duplicates put in: equal ones, ones that differ in another column, in other places."""
    table = pq.read_table(data / "redcaps.parquet")
    rng = np.random.default_rng(2)
    again = table.take(pa.array(rng.integers(0, len(table), 40_000)))
    other = again.slice(0, 20_000)
    other = other.set_column(2, "subreddit", pa.array(["other"] * len(other)))
    whole = pa.concat_tables([table, again, other])
    pool = write_pool(
        tmp_path / "pool", cut(whole.take(pa.array(rng.permutation(len(whole)))), rng, 5)
    )
    held = table.take(pa.array(rng.integers(0, len(table), 30_000)))
    pq.write_table(held, tmp_path / "held.parquet")
    for by in KINDS:
        summary = dedup(pool, tmp_path / by, by=by, against=tmp_path / "held.parquet")
        stay, fates = survivors(whole, by, held=held.to_pylist())
        assert {name: summary.get(name, 0) for name in FATES} == {n: fates[n] for n in FATES}
        assert as_set(read(tmp_path / by).to_pylist()) == as_set(
            whole.take(pa.array(stay)).to_pylist()
        )
        assert sum(summary.get(name, 0) for name in FATES) == summary["rows_read"] == len(whole)


# ---- chance


@pytest.mark.parametrize("seed", [0, 1])
def test_what_stays_is_sampled_as_any_pool(seed: int, tmp_path: Path) -> None:
    """A winner that was chosen by the draw of sampling would be kept far too often.

    All p-values of a correct program together are below these levels once in 100,000 runs.
    """
    urls, texts = 20_000, 8
    table = pa.table(
        {
            "url": [f"https://example.org/{i}.jpg" for i in range(urls) for _ in range(texts)],
            "text": [f"fox {k}" for _ in range(urls) for k in range(texts)],
        }
    )
    out = tmp_path / "out"
    assert dedup(write_pool(tmp_path / "pool", [table]), out, by="url", seed=seed)["kept"] == urls
    left = read(out)
    wins = Counter(left["text"].to_pylist())
    assert chisquare(list(wins.values())).pvalue > 1e-6
    draws = mc.draws(left["url"], left["text"], seed=seed)
    for p in (0.1, 0.5):
        assert binomtest(int((draws < p).sum()), urls, p).pvalue > 1e-6
    concepts = mc.Metadata.from_entries(["fox"])
    half = mc.curate(out, concepts, threshold=urls / 2, out=tmp_path / "half", seed=seed).summary
    assert binomtest(half["kept"], urls, 0.5).pvalue > 1e-6


# ---- other pools


def test_a_list_of_urls_is_a_pool_to_be_held_against(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [pa.table({"url": ["a", "b", "c"], "text": ["x"] * 3})])
    (tmp_path / "blocked.csv").write_text("reason,url\nspam,b\n,zz\n")
    pq.write_table(pa.table({"URL": ["c"]}), tmp_path / "seen.parquet")
    against = [tmp_path / "blocked.csv", tmp_path / "seen.parquet"]
    summary = dedup(pool, tmp_path / "out", by="url", against=against)
    assert read(tmp_path / "out")["url"].to_pylist() == ["a"]
    assert (summary["kept"], summary["held_elsewhere"]) == (1, 2)
    with pytest.raises(InputError, match=r"blocked.csv: no text column found"):
        dedup(pool, tmp_path / "pairs", against=against)
    texts = tmp_path / "texts.parquet"
    pq.write_table(pa.table({"caption": ["x"]}), texts)
    assert dedup(pool, tmp_path / "texts", by="text", against=texts)["held_elsewhere"] == 3


def test_formats_of_several_pools_are_converted_side_by_side(tmp_path: Path) -> None:
    """Each with columns of its own, and what is converted serves the next run."""
    (tmp_path / "pool.jsonl").write_text(
        "".join(json.dumps({"url": f"{i % 4}", "text": "x", "n": i % 2}) + "\n" for i in range(8))
    )
    (tmp_path / "a.jsonl").write_text('{"url": "0", "text": "x", "more": [1]}\n')
    (tmp_path / "b.csv").write_text("url,text\n1,x\n1,y\n")
    against = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    for resumed in (0, 6):  # conversions, keys, others' keys, copies
        summary = dedup(tmp_path / "pool.jsonl", tmp_path / "out", against=against)
        assert (summary["kept"], summary["duplicate"], summary["held_elsewhere"]) == (2, 2, 4)
        assert summary["resumed_units"] >= resumed
    assert read(tmp_path / "out").column_names == ["url", "text", "n"]
    assert len(list((tmp_path / "out/.metacurate/converted").glob("*.parquet"))) == 3


def test_rows_of_another_pool_without_a_key_hold_nothing(tmp_path: Path) -> None:
    columns = {"url": ["a", ""], "text": ["x", ""]}
    pool = write_pool(tmp_path / "pool", [pa.table(columns)])
    nulls = pa.table({"url": [None, "a", ""], "text": ["x", None, None]})
    pq.write_table(nulls, tmp_path / "other.parquet")
    assert dedup(pool, tmp_path / "pair", against=tmp_path / "other.parquet")["kept"] == 2
    summary = dedup(pool, tmp_path / "url", by="url", against=tmp_path / "other.parquet")
    assert (summary["kept"], summary["held_elsewhere"]) == (0, 2)


def test_nothing_new(tmp_path: Path) -> None:
    """What is written is a pool all the same, which the next step can be held against."""
    table = pa.table({"url": ["a"], "text": ["x"], "n": pa.array([1], pa.int8())})
    pool = write_pool(tmp_path / "pool", [table.replace_schema_metadata({"metacurate.round": "2"})])
    dedup(pool, tmp_path / "first")
    for resumed in (0, 3):
        summary = dedup(pool, tmp_path / "second", against=tmp_path / "first")
        assert (summary["kept"], summary["held_elsewhere"]) == (0, 1)
        assert summary["resumed_units"] == resumed
        (file,) = find_files(tmp_path / "second")
        found = pq.read_table(file.path)
        assert len(found) == 0
        assert found.schema.equals(pq.read_schema(pool / "000.parquet"), check_metadata=True)
    assert dedup(pool, tmp_path / "third", against=tmp_path / "second")["kept"] == 1
    with pytest.raises(MetacurateError, match=f"the pool has no rows: {tmp_path}/second/"):
        dedup(tmp_path / "second", tmp_path / "fourth")
    dedup(pool, tmp_path / "second", seed=1, against=tmp_path / "third", where="n > 0")
    assert len(find_files(tmp_path / "second")) == 1


def test_all_is_left_out(tmp_path: Path) -> None:
    """By the filter, as invalid, or unread: the file is that of the first unit that was read."""
    first, second = numbered(0, 4), numbered(4, 4)
    pool = write_pool(tmp_path / "pool", [first.slice(0, 0), first, second])
    assert dedup(pool, tmp_path / "filtered", where="n > 99")["filtered"] == 8
    nulls = second.set_column(1, "text", pa.nulls(4, pa.string()))
    damage(write_pool(tmp_path / "broken", [first, nulls]) / "000.parquet")
    summary = dedup(tmp_path / "broken", tmp_path / "invalid", on_error="skip")
    assert (summary["invalid"], summary["failed_units"]) == (4, 1)
    for name, stem in (("filtered", "000"), ("invalid", "001")):
        (file,) = find_files(tmp_path / name)
        assert Path(file.path).name.startswith(f"{stem}-")
        assert pq.read_table(file.path).equals(first.slice(0, 0))


def test_files_that_keep_rows_take_the_place_of_an_empty_one(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 4), numbered(4, 4)])
    dedup(pool, tmp_path / "out", against=write_pool(tmp_path / "other", [numbered(0, 8)]))
    assert len(read(tmp_path / "out")) == 0
    pq.write_table(numbered(0, 4), tmp_path / "other/000.parquet")
    dedup(pool, tmp_path / "out", against=tmp_path / "other")
    assert read(tmp_path / "out")["n"].to_pylist() == [4, 5, 6, 7]


@pytest.mark.parametrize("by", KINDS)
def test_a_pool_without_rows_holds_nothing(by: By, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 3)])
    pq.write_table(numbered(0, 1).slice(1), tmp_path / "none.parquet")
    pq.write_table(pa.table({"url": pa.nulls(0), "text": pa.nulls(0)}), tmp_path / "nulls.parquet")
    (tmp_path / "none.csv").write_text("url,text\n")
    pq.write_table(numbered(1, 1), tmp_path / "one.parquet")
    empty = [tmp_path / name for name in ("none.parquet", "nulls.parquet", "none.csv")]
    kept = 1 if by == "text" else 3
    assert dedup(pool, tmp_path / "none", by=by, against=empty)["kept"] == kept
    summary = dedup(pool, tmp_path / "one", by=by, against=[*empty, tmp_path / "one.parquet"])
    assert summary["held_elsewhere"] == (3 if by == "text" else 1)
    pq.write_table(pa.table({"m": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match="column found: name it with"):
        dedup(pool, tmp_path / "other", by=by, against=empty)


def test_one_pool_after_another_is_all_at_once(tmp_path: Path) -> None:
    """Keys, not rows: of what comes later, only what is new."""
    rng = np.random.default_rng(4)
    parts = [
        pa.table({"url": [f"{n}" for n in rng.integers(0, 400, 500)], "text": ["x"] * 500})
        for _ in range(3)
    ]
    done: list[Path] = []
    for i, part in enumerate(parts):
        pool = write_pool(tmp_path / f"pool{i}", [part])
        dedup(pool, tmp_path / f"out{i}", by="url", against=done or None)
        done.append(tmp_path / f"out{i}")
    dedup([tmp_path / f"pool{i}" for i in range(3)], tmp_path / "whole", by="url")
    urls = [url for out in done for url in read(out)["url"].to_pylist()]
    assert len(set(urls)) == len(urls)
    assert sorted(urls) == sorted(read(tmp_path / "whole")["url"].to_pylist())


# ---- columns, types, metadata

ARRAYS = {
    "lists": pa.array([[1, 2], None, [], [1, 2]]),
    "structs": pa.array([{"a": 1, "b": ["x", None]}, None, {"a": None, "b": None}, None]),
    "maps": pa.array([[("k", 1)], None, [], []], pa.map_(pa.string(), pa.int32())),
    "dictionary": pa.array(["a", "b", None, "b"]).dictionary_encode(),
    "views": pa.array(["a", None, "a text that is longer than twelve bytes", ""], pa.string_view()),
    "lists of views": pa.array([["x"], None, [], []], pa.list_(pa.string_view())),
    "large strings": pa.array(["a", "", None, "b"], pa.large_string()),
    "binary": pa.array([b"\xff", b"", None, b""]),
    "times": pa.array([1, 2, None, 2], pa.timestamp("us", "UTC")),
    "dates": pa.array([datetime.date(2020, 1, 31), None, None, None]),
    "halves": pa.array([1.5, None, float("nan"), 0.0], pa.float16()),
    "fixed lists": pa.array([[1.0, 2.0], None, [3.0, None], None], pa.list_(pa.float32(), 2)),
    "nulls": pa.nulls(4),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("where", [None, "n < 9"])
def test_columns_of_any_type(name: str, where: str | None, tmp_path: Path) -> None:
    table = pa.table(
        {"url": ["a", "b", "c", "b"], "text": ["x"] * 4, "n": [0, 1, 2, 3], "it": ARRAYS[name]}
    )
    pool = write_pool(tmp_path / "pool", [table, table.slice(1)], row_group_size=3)
    dedup(pool, tmp_path / "out", where=where)
    found = read(tmp_path / "out")
    assert found.schema.equals(table.schema)
    both = pa.concat_tables([table, table.slice(1)])
    stay, _ = survivors(both, "pair")
    rows = both.to_pylist()
    assert as_set(found.to_pylist()) == as_set([rows[i] for i in stay])


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_layouts_of_the_key_are_alike(kind: pa.DataType, tmp_path: Path) -> None:
    rows = pa.table({"url": ["a", "b"], "text": ["x", "y"]})
    other = pa.table({name: rows[name].cast(kind) for name in rows.column_names})
    coded = pa.table({name: rows[name].dictionary_encode() for name in rows.column_names})
    pool = write_pool(tmp_path / "pool", [rows, other, coded])
    assert dedup(pool, tmp_path / "out")["kept"] == 2


def test_numbers_that_tell_images_apart(tmp_path: Path) -> None:
    rows = pa.table({"key": [1, 2, 1], "text": ["x", "x", "y"]})
    pool = write_pool(tmp_path / "pool", [rows])
    dedup(pool, tmp_path / "out", by="url", id_column="key")
    assert read(tmp_path / "out").schema.field("key").type == pa.int64()
    assert sorted(read(tmp_path / "out")["key"].to_pylist()) == [1, 2]


def test_what_the_files_metadata_say_is_kept(tmp_path: Path) -> None:
    table = pa.table({"url": ["a", "b"], "text": ["x"] * 2, "n": [0, 9]})
    told = {"metacurate.round": "2", "author": "me"}
    pool = write_pool(tmp_path / "pool", [table.replace_schema_metadata(told)])
    for where in (None, "n < 5"):
        dedup(pool, tmp_path / "out", where=where)
        (file,) = find_files(tmp_path / "out")
        assert pq.read_schema(file.path).metadata == {
            k.encode(): v.encode() for k, v in told.items()
        }


@pytest.mark.parametrize("named", ["out", "out/*.parquet"])
def test_the_output_is_a_pool_of_the_same_round(named: str, tmp_path: Path) -> None:
    concepts = mc.Metadata.from_entries(["fox"])
    table = pa.table({"url": [f"u{i % 50}" for i in range(99)], "text": ["a fox"] * 99})
    pool = write_pool(tmp_path / "pool", [table])
    first = mc.curate(pool, concepts, threshold=1e9, out=tmp_path / "first")
    dedup(first.out, tmp_path / "out")
    summary = mc.curate(tmp_path / named, concepts, threshold=1e9, out=tmp_path / "next").summary
    assert (summary["rows_read"], summary["kept"], summary["round"]) == (50, 50, 1)
    listed = sorted((tmp_path / "out").glob("*.parquet"))
    assert [Path(file.path) for file in find_files(tmp_path / named)] == listed


def test_samples_in_tars(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for i in range(4):
            for ending, content in (("txt", b"a fox"), ("json", b'{"url": "u%d"}' % (i % 2))):
                member = tarfile.TarInfo(f"{i:03}.{ending}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
    assert dedup(tmp_path / "a.tar", tmp_path / "out")["kept"] == 2
    by_text = dedup(tmp_path / "a.tar", tmp_path / "text", by="text", id_column="__id__")
    assert by_text["kept"] == 1


def test_filtered_rows_win_nothing(tmp_path: Path) -> None:
    rows = [{"url": "a", "text": f"{i}", "n": i, "tags": None} for i in range(20)]
    table = pa.Table.from_pylist(rows, SCHEMA)
    pool = write_pool(tmp_path / "pool", [table.slice(0, 9), table.slice(9)], row_group_size=3)
    summary = dedup(pool, tmp_path / "out", by="url", where="n >= 5 and n < 12")
    stay, _ = survivors(table.slice(5, 7), "url")
    assert read(tmp_path / "out")["n"].to_pylist() == [5 + i for i in stay]
    assert [summary[name] for name in ("rows_read", "filtered", "kept", "duplicate")] == [
        20,
        13,
        1,
        6,
    ]


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


def numbered(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "url": [f"u/{i}" for i in numbers],
            "text": ["x"] * rows,
            "n": pa.array(numbers, pa.int64()),
        }
    )


@pytest.mark.parametrize("spoil", [truncate, damage])
def test_a_broken_file(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    pool, out = (
        write_pool(tmp_path / "pool", [numbered(5 * i, 10) for i in range(4)]),
        tmp_path / "out",
    )
    bad = pool / "002.parquet"
    whole, status = bad.read_bytes(), bad.stat()
    spoil(bad)
    os.utime(bad, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(MetacurateError, match=f"{bad}: "):
        dedup(pool, out)
    assert not (out / "manifest.json").exists()
    assert [row["input"] for row in shards(out) if row["error"]] == [str(bad)]

    summary = dedup(pool, out, on_error="skip")
    assert (summary["failed_units"], summary["kept"], summary["duplicate"]) == (1, 25, 5)
    bad.write_bytes(whole)
    os.utime(bad, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert dedup(pool, out)["kept"] == 25
    assert sorted(read(out)["n"].to_pylist()) == list(range(25))


class Mending(Silent):
    """Puts a file right once the rows are copied: after its keys could not be read."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content
        self._times = path.stat().st_atime_ns, path.stat().st_mtime_ns

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        if title == "dedup":
            self._path.write_bytes(self._content)
            os.utime(self._path, ns=self._times)


def test_rows_that_had_no_say_are_not_kept(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 10), numbered(0, 10)])
    bad = pool / "001.parquet"
    whole = bad.read_bytes()
    damage(bad)
    mending = Mending(bad, whole)
    summary = dedup(pool, tmp_path / "out", on_error="skip", progress=mending)
    assert (summary["failed_units"], summary["rows_read"], summary["kept"]) == (1, 10, 10)
    assert dedup(pool, tmp_path / "out", on_error="skip")["duplicate"] == 10


def no_utf8(column: str) -> pa.Table:
    raw = pa.array([b"a", b"\xff", b"b", b"a"])
    spoilt = pa.Array.from_buffers(pa.string(), 4, raw.buffers())
    good = {"url": pa.array(list("abca")), "text": pa.array(["x"] * 4)}
    return pa.table({**good, column: spoilt})


@pytest.mark.parametrize("column", ["url", "text"])
@pytest.mark.parametrize("by", KINDS)
def test_rows_of_no_utf8(column: str, by: By, tmp_path: Path) -> None:
    pool, out = write_pool(tmp_path / "pool", [no_utf8(column)]), tmp_path / "out"
    message = rf"000.parquet: column '{column}': 1 row is no UTF-8, the first is row 1 "
    with pytest.raises(MetacurateError, match=message):
        dedup(pool, out, by=by)
    summary = dedup(pool, out, by=by, on_error="skip")
    assert (summary["rows_read"], summary["invalid"]) == (4, 1)
    assert summary["kept"] + summary["duplicate"] == 3
    assert all(row["error"] for row in shards(out))


def test_rows_of_no_utf8_elsewhere(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 3)])
    pq.write_table(no_utf8("url"), tmp_path / "other.parquet")
    with pytest.raises(MetacurateError, match=r"other.parquet: column 'url': 1 row is no UTF-8"):
        dedup(pool, tmp_path / "out", by="url", against=tmp_path / "other.parquet")
    against = tmp_path / "other.parquet"
    assert dedup(pool, tmp_path / "out", by="url", against=against, on_error="skip")["kept"] == 3


def test_bytes_of_other_columns_may_be_no_utf8(tmp_path: Path) -> None:
    table = no_utf8("text").rename_columns(["url", "other"])
    table = table.append_column("text", pa.array(["x"] * 4))
    assert dedup(write_pool(tmp_path / "pool", [table]), tmp_path / "out")["kept"] == 3


@pytest.mark.parametrize(
    ("table", "message"),
    [
        pytest.param({"text": ["x"]}, "no url column found", id="no url"),
        pytest.param({"url": ["u"]}, "no text column found", id="no text"),
        pytest.param({"url": [1], "text": ["x"]}, "of type int64, not strings", id="numbers"),
        pytest.param(
            {"url": pa.array([], pa.string()), "text": pa.array([], pa.string())},
            "the pool has no rows", id="no rows",
        ),
    ],
)  # fmt: skip
def test_no_pool(table: dict[str, Any], message: str, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [pa.table(table)])
    with pytest.raises(MetacurateError, match=message):
        dedup(pool, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "image"}, "by 'image' is none of: pair, url, text"),
        ({"seed": -1}, "seed -1 is no whole number"),
        ({"workers": 0}, "0 workers can't work"),
        ({"where": "m > 1"}, "--where: "),
        ({"where": "n >"}, "--where: "),
        ({"url_column": "url", "id_column": "url"}, "--url-column or --id-column, not both"),
        ({"columns": ["url", "text"]}, "--columns names the columns of CSV and TSV"),
        ({"against": "none"}, "none: no such file or folder"),
        ({"against": "{}/pool"}, "000.parquet is in the pool and in --against"),
        ({"against": "{}/out"}, "out: no such file or folder|lies in"),
    ],
)
def test_wrong_usage(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 3)])
    given = {k: v.format(tmp_path) if k == "against" else v for k, v in options.items()}
    with pytest.raises(UsageError, match=message):
        dedup(pool, tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["symlink", "symlink to the folder", "hard link"])
def test_the_pool_by_another_name(kind: str, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [numbered(0, 3), numbered(3, 3)])
    other = tmp_path / "other"
    if kind == "symlink to the folder":
        other.symlink_to(pool)
    else:
        file = write_pool(other, [numbered(7, 3)]) / "009.parquet"
        if kind == "symlink":
            file.symlink_to(pool / "001.parquet")
        else:
            file.hardlink_to(pool / "001.parquet")
    message = f"{other}/00[09].parquet is in the pool and in --against: none of its rows would stay"
    with pytest.raises(UsageError, match=f"^{message}$"):
        dedup(pool, tmp_path / "out", against=other)
    assert not (tmp_path / "out").exists()


# ---- runs that follow, and runs that are cut off


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")}


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A pool of four files that overlap, another one, and what is left, in `out`."""
    write_pool(tmp_path / "pool", [numbered(5 * i, 10) for i in range(4)])
    write_pool(tmp_path / "other", [numbered(3, 4)])
    dedup(tmp_path / "pool", tmp_path / "out", against=tmp_path / "other")
    return tmp_path


def test_a_second_run_does_nothing(done: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "out").glob("*.parquet")}
    summary = dedup(done / "pool", done / "out", against=done / "other")
    assert (summary["units"], summary["resumed_units"]) == (4, 9)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def changed(change: str, at: Path) -> dict[str, Any]:
    """Change a file, or return other options."""
    if change == "a file more":
        pq.write_table(numbered(100, 3), at / "pool/009.parquet")
    elif change == "a file less":
        (at / "pool/001.parquet").unlink()
    elif change == "another pool changes":
        pq.write_table(numbered(7, 9), at / "other/000.parquet")
    return CHANGES[change]


CHANGES: dict[str, dict[str, Any]] = {
    "a file more": {},
    "a file less": {},
    "another pool changes": {},
    "no other pool": {"against": None},
    "another seed": {"seed": 1},
    "by text": {"by": "text"},
    "a filter": {"where": "n > 8"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_redo_what_they_must(change: str, done: Path) -> None:
    options: dict[str, Any] = {"against": done / "other", **changed(change, done)}
    summary = dedup(done / "pool", done / "out", **options)
    fresh = dedup(done / "pool", done / "fresh", **options)
    assert contents(done / "out") == contents(done / "fresh")
    same = fresh.keys() - {"seconds", "resumed_units"}
    assert {name: summary[name] for name in same} == {name: fresh[name] for name in same}


class Cut(Silent):
    """Breaks a run off after some batches of a stage."""

    def __init__(self, stage: str, batches: int) -> None:
        self.stage, self.batches, self.left = stage, batches, 10**9

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        self.left = self.batches if title == self.stage else 10**9

    def advance(self, work: int) -> None:
        self.left -= bool(work)
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batches", [0, 2])
@pytest.mark.parametrize("stage", ["keys", "against", "dedup"])
def test_a_run_that_is_cut_off_goes_on(stage: str, batches: int, done: Path) -> None:
    write_pool(done / "other", [numbered(3 * i, 4) for i in range(3)])
    options: dict[str, Any] = {"against": done / "other"}
    dedup(done / "pool", done / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        dedup(done / "pool", done / "two", progress=Cut(stage, batches), workers=1, **options)
    assert not (done / "two/manifest.json").exists()
    with pytest.raises(UsageError, match=r"its run is not complete|holds no"):
        find_files(done / "two")
    summary = dedup(done / "pool", done / "two", **options)
    earlier = {"keys": 0, "against": 4, "dedup": 7}[stage]
    assert summary["resumed_units"] == earlier + batches
    assert contents(done / "two") == contents(done / "whole")


def test_a_kill_amid_the_copies(tmp_path: Path) -> None:
    parts = [numbered(15_000 * i, 20_000) for i in range(12)]
    pool, out = write_pool(tmp_path / "pool", parts, row_group_size=1_000), tmp_path / "out"
    command = ["dedup", pool, "-o", out, "--workers", 1]
    with subprocess.Popen(
        [sys.executable, "-m", "metacurate", *map(str, command)], stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not list(out.glob(".metacurate/dedup-*/*.json")):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    assert dedup(pool, out)["resumed_units"] > len(parts)
    dedup(pool, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")
    assert sorted(read(out)["n"].to_pylist()) == list(range(15_000 * 11 + 20_000))
    assert not [*out.glob(".*.tmp"), *out.glob(".metacurate/**/.*.tmp")]


def test_another_run_on_the_folder(done: Path) -> None:
    with (
        lock(done / "out/.metacurate"),
        pytest.raises(MetacurateError, match="another run is at work"),
    ):
        dedup(done / "pool", done / "out", against=done / "other")


def test_folders_of_others(done: Path) -> None:
    (done / "mine").mkdir()
    (done / "mine/thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds no run of metacurate"):
        dedup(done / "pool", done / "mine")
    with pytest.raises(UsageError, match="holds a run over another pool"):
        dedup(done / "other", done / "out")


def test_accounts_that_were_being_written(done: Path) -> None:
    """What was being written beside the pool's files goes, too."""
    (done / "out/_accounting/.abc.tmp").write_text("x")
    dedup(done / "pool", done / "out", against=done / "other")
    assert [path.name for path in (done / "out/_accounting").iterdir()] == ["shards.parquet"]
