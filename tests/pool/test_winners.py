"""Who wins a key: what a dict says, however keys lie in files, tasks and partitions."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.engine.stage import Unit, UnitRecord
from metacurate.engine.storage import write_arrow
from metacurate.pool import winners
from metacurate.pool.files import InputFile
from metacurate.pool.tables import UNIT_ROWS, Pool, PoolFile
from metacurate.pool.winners import (
    FREE,
    HELD,
    LOST,
    Keyed,
    KeyTask,
    decide,
    hash_keys,
    judge,
    write_fates,
)


class Row(NamedTuple):
    high: int
    low: int
    draw: int
    tie: int = 0


# between two of up to five partitions, and at both ends
EDGES = [
    0, 1, 2**64 // 5 - 1, 2**64 // 5, 2**64 // 3, 2**64 // 3 + 1, 2**63 - 1, 2**63, 2**63 + 1,
    2**64 * 4 // 5 - 1, 2**64 * 4 // 5, 2**64 - 2, 2**64 - 1,
]  # fmt: skip
DRAWS = st.integers(0, 3) | st.integers(2**64 - 4, 2**64 - 1)
ROWS = st.lists(
    st.builds(Row, st.sampled_from(EDGES), st.sampled_from([0, 1, 2**64 - 1]), DRAWS, DRAWS),
    max_size=12,
)


def expected_fates(rows: Sequence[Row], elsewhere: Sequence[Row] = ()) -> list[int]:
    """What becomes of each row."""
    held = {row[:2] for row in elsewhere}
    best: dict[tuple[int, int], tuple[int, int, int]] = {}
    for i, row in enumerate(rows):
        mine = (row.draw, row.tie, i)
        best[row[:2]] = min(best.get(row[:2], mine), mine)
    return [
        HELD if row[:2] in held else FREE if best[row[:2]][2] == i else LOST
        for i, row in enumerate(rows)
    ]


def columns(rows: Sequence[Row]) -> list[Any]:
    return [np.array([row[i] for row in rows], np.uint64) for i in range(4)]


@given(rows=ROWS, elsewhere=ROWS, seed=st.integers(0, 99))
@example(rows=[], elsewhere=[], seed=0)
@example(rows=[], elsewhere=[Row(0, 0, 0), Row(0, 0, 0)], seed=0)
@example(rows=[Row(0, 0, 2**64 - 1), Row(0, 0, 0), Row(0, 1, 0)], elsewhere=[], seed=0)
@example(rows=[Row(2**63, 0, 2**63), Row(2**63, 0, 2**63 - 1)], elsewhere=[], seed=0)
@example(rows=[Row(1, 0, 0, 5), Row(1, 0, 0, 4), Row(1, 1, 0)], elsewhere=[Row(1, 1, 9)], seed=0)
def test_judge(rows: list[Row], elsewhere: list[Row], seed: int) -> None:
    """In whatever order they come; of what another pool holds, one row of each key is free."""
    order = np.random.default_rng(seed).permutation(len(rows) + len(elsewhere))
    both = [*rows, *elsewhere]
    high, low, draw, tie = columns([both[i] for i in order])
    foreign = order >= len(rows)
    draw[foreign] = tie[foreign] = 0
    found = judge(high, low, [draw, tie], np.where(foreign, -1, order))
    fates = np.zeros(len(rows), np.uint8)
    fates[order[~foreign]] = found[~foreign]
    assert found.dtype == np.uint8
    assert fates.tolist() == expected_fates(rows, elsewhere)
    free = [both[i][:2] for i in order[foreign & (found == FREE)]]
    assert sorted(free) == sorted({row[:2] for row in elsewhere})


def pool_of(files: Sequence[Sequence[Row]]) -> Pool:
    return Pool(
        tuple(
            PoolFile(InputFile(f"{i}.parquet", "", "parquet"), "", (len(rows),), None, None)
            for i, rows in enumerate(files)
        ),
        "url",
        "text",
        0,
    )


class Task(KeyTask):
    def process(self, unit: Unit) -> UnitRecord:
        raise NotImplementedError


def write_keys(
    folder: Path, files: Sequence[Sequence[Row]], per_task: int, ranks: int
) -> Iterator[Path]:
    """What tasks leave, of some units each."""
    folder.mkdir()
    units = pool_of(files).units
    for first in range(0, len(files), per_task):
        task = Task()
        for unit, rows in list(zip(units, files, strict=True))[first : first + per_task]:
            high, low, *decisive = columns(rows)
            half = len(rows) // 2
            keyed = Keyed(
                unit.first_row + np.arange(len(rows)),
                np.stack([high, low]),
                tuple(decisive[:ranks]),
            )
            halves = [
                Keyed(keyed[0][part], keyed[1][:, part], tuple(rank[part] for rank in keyed[2]))
                for part in (slice(half), slice(half, None))
            ]
            task.collect(unit, halves)
        write_arrow(folder / f"{first}.arrow", task.partial())
        yield folder / f"{first}.arrow"


@given(
    files=st.lists(ROWS, max_size=5), other=st.lists(ROWS, max_size=3), per_task=st.integers(1, 3),
    rows=st.integers(1, 9),
)  # fmt: skip
@example(files=[], other=[], per_task=1, rows=1)
@example(files=[], other=[[Row(0, 0, 0)]], per_task=1, rows=1)
@example(files=[[], [Row(2**64 - 1, 0, 1), Row(2**64 - 1, 0, 0)]], other=[], per_task=1, rows=1)
@example(files=[[Row(2**63, 0, 1)], [Row(2**63, 0, 0)]], other=[], per_task=1, rows=1)
@example(
    files=[[Row(e, 0, 1), Row(e, 0, 0)] for e in (0, 2**64 - 1)], other=[[], [Row(0, 0, 0)]],
    per_task=2, rows=1,
)  # fmt: skip
def test_partitions(
    files: list[list[Row]], other: list[list[Row]], per_task: int, rows: int
) -> None:
    """Keys at the edges of partitions, and rows of a key in several tasks, files and pools."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(winners, "PARTITION_ROWS", rows)
        patch.setattr(winners, "WRITE_BYTES", 3)
        keys = list(write_keys(Path(name, "own"), files, per_task, 2))
        elsewhere = list(write_keys(Path(name, "other"), other, per_task, 0))
        path = Path(name) / "fates.npy"
        write_fates(path, pool_of(files), keys, elsewhere)
        fates = np.load(path, allow_pickle=False)
    assert fates.dtype == np.uint8
    assert fates.tolist() == expected_fates([*chain(*files)], [*chain(*other)])


@pytest.mark.parametrize("held", [False, True])
def test_a_frequent_key_is_decided_in_pieces(
    held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more rows are looked at together than a quarter more than a partition has."""
    most = 0

    def watched(high: Any, *others: Any) -> Any:
        nonlocal most
        most = max(most, len(high))
        return judge(high, *others)

    monkeypatch.setattr(winners, "PARTITION_ROWS", 40)
    monkeypatch.setattr(winners, "judge", watched)
    rng = np.random.default_rng(0)
    files = [
        [Row(7, 0, int(draw)) if draw % 3 else Row(int(draw) << 44, 1, 0) for draw in draws]
        for draws in rng.integers(0, 1 << 20, (100, 5))
    ]
    other = [[Row(7, 0, 0)] * 5] * 10 if held else []
    write_fates(
        tmp_path / "fates.npy",
        pool_of(files),
        list(write_keys(tmp_path / "own", files, 1, 1)),
        list(write_keys(tmp_path / "other", other, 1, 0)),
    )
    fates = np.load(tmp_path / "fates.npy")
    assert fates.tolist() == expected_fates([*chain(*files)], [*chain(*other)])
    assert 40 <= most <= 50


def test_fates_of_some_rows(tmp_path: Path) -> None:
    files = [[Row(1, 0, 5), Row(2, 0, 0), Row(1, 0, 4)], [Row(1, 0, 3), Row(3, 0, 0)]]
    keys = list(write_keys(tmp_path / "keys", files, 1, 1))
    fates = decide(tmp_path, "0123456789abcdef", pool_of(files), keys)
    assert fates.of("0.parquet", np.array([2, 1, 0])).tolist() == [LOST, FREE, LOST]
    assert fates.of("1.parquet", np.array([0, 1])).tolist() == [FREE, FREE]
    assert fates.holds("0.parquet", np.array([0, 1])).tolist() == [True, False]


@pytest.mark.parametrize("damage", ["none", "other rows", "cut", "gone"])
def test_a_decision_is_kept_as_long_as_it_is_whole(damage: str, tmp_path: Path) -> None:
    files, both = [[Row(1, 0, 5), Row(1, 0, 4)]], np.array([0, 1])
    keys = list(write_keys(tmp_path / "keys", files, 1, 1))
    before = decide(tmp_path, "a" * 64, pool_of(files), keys).of("0.parquet", both).tolist()
    (path,) = tmp_path.glob("fates-*.npy")
    written = path.stat().st_mtime_ns
    if damage == "other rows":
        np.save(path, np.zeros(3, np.uint8))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "gone":
        path.unlink()
    again = decide(tmp_path, "a" * 64, pool_of(files), keys)
    assert again.of("0.parquet", both).tolist() == before == [LOST, FREE]
    assert (path.stat().st_mtime_ns == written) == (damage == "none")
    decide(tmp_path, "b" * 64, pool_of(files), keys)
    assert [p.name for p in tmp_path.glob("fates-*")] == [f"fates-{'b' * 16}.npy"]


def test_a_task_is_recorded_before_its_keys_are_many() -> None:
    """So many that they would be compressed, and could not be mapped."""
    task, units = Task(), 0
    rows = Keyed(
        np.arange(UNIT_ROWS),
        np.zeros((2, UNIT_ROWS), np.uint64),
        (np.zeros(UNIT_ROWS, np.uint64),) * 2,
    )
    while not task.full:
        task.collect(Unit("x", "", 0, UNIT_ROWS, 0), [rows])
        units += 1
    assert units > 1
    assert task.partial().nbytes < 2 * winners.RECORD_BYTES
    task.clear()
    assert (task.full, len(task.partial())) == (False, 0)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_keys_are_two_hashes(pairs: list[tuple[str, str]]) -> None:
    urls, texts = (pa.array([pair[i] for pair in pairs], pa.string()) for i in (0, 1))
    one, both = hash_keys([urls]), hash_keys([urls, texts])
    for seed in (0, 1):
        assert one[seed].tolist() == [xxhash.xxh64_intdigest(u.encode(), seed) for u, _ in pairs]
        assert both[seed].tolist() == [
            xxhash.xxh64_intdigest(f"{u}\0{t}".encode(), seed) ^ (len(u.encode()) if seed else 0)
            for u, t in pairs
        ]


def test_keys_tell_where_the_url_ends() -> None:
    keys = hash_keys([pa.array(["a\0b", "a", None]), pa.array(["c", "b\0c", "a"])])
    assert keys[0][0] == keys[0][1]
    assert len(set(keys[1].tolist())) == 3
