"""Stages account for all rows, corrupt ones among them, however a pool is cut into units."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation.balance import Balance
from metacurate.curation.stages import CountStage, SampleStage, Sampling, Tally
from metacurate.engine.run import CorruptInputError
from metacurate.engine.stage import Stage, Watch
from metacurate.engine.storage import read_arrow, write_arrow
from metacurate.pool.files import find_files
from metacurate.pool.tables import Pool, read_footer

from .pools import ENTRIES, read_kept, write_pool, zipf_pool


def raw_strings(values: Sequence[bytes | None]) -> pa.Array:
    """A string array of any bytes, which no check has seen."""
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


@pytest.fixture(scope="module")
def matcher() -> mc.Matcher:
    return mc.Matcher(mc.Metadata.from_entries(ENTRIES))


# ---- tallies


def test_tallies_add_up_through_files(tmp_path: Path) -> None:
    one = Tally(np.array([0, 2, 0, 2**63], np.uint64), 5, 3)
    other = Tally(np.array([1, 2, 0, 2**62], np.uint64), 7, 4)
    paths = [tmp_path / "one.parquet", tmp_path / "other.parquet", tmp_path / "none.parquet"]
    for path, tally in zip(paths, (one, other, Tally.zeros(4)), strict=True):
        write_arrow(path, tally.to_table())
    total = Tally.total(paths, 4)
    assert total.values.tolist() == [1, 4, 0, 2**63 + 2**62]
    assert (total.texts, total.matched) == (12, 7)
    assert read_arrow(paths[0])["entry_id"].to_pylist() == [1, 3]


# ---- one task, or a task for each unit


def partial_of(stage: Stage, folder: Path, tasks: int) -> Tally:
    """Add up what a number of tasks leave, which share the units."""
    paths = []
    for i, units in enumerate(np.array_split(np.array(stage.units(), object), tasks)):
        task = stage.task(folder / "outputs", Watch(Event(), lambda work: None))
        for unit in units:
            task.process(unit)
        paths.append(folder / f"{i}.parquet")
        write_arrow(paths[-1], task.partial())
    return Tally.total(paths, len(ENTRIES))


def test_tasks_add_up_to_the_same(matcher: mc.Matcher, tmp_path: Path) -> None:
    pool = zipf_pool(5_000)
    write_pool(tmp_path / "pool", [pool.slice(i * 700, 700) for i in range(8)])
    opened = Pool.open([read_footer(file) for file in find_files(tmp_path / "pool")])
    assert len(opened.units) == 8
    counts = mc.count(tmp_path / "pool", matcher)
    stages: list[Stage] = [
        CountStage(opened, matcher),
        SampleStage(Sampling(opened, matcher, Balance(counts, 5), 0)),
    ]
    for stage in stages:
        totals = []
        for tasks in (1, 3, 8):
            folder = tmp_path / f"{stage.name} {tasks}"
            folder.mkdir()
            totals.append(partial_of(stage, folder, tasks))
        first = totals[0]
        assert first.values.sum() > 0
        for other in totals[1:]:
            assert other.values.tolist() == first.values.tolist()
            assert (other.texts, other.matched) == (first.texts, first.matched)
    assert totals[0].values.sum() < counts.matches


def test_the_key_tells_configurations_apart(matcher: mc.Matcher, tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", [zipf_pool(500)])
    opened = Pool.open([read_footer(file) for file in find_files(tmp_path / "pool")])
    counts = mc.count(tmp_path / "pool", matcher)
    spaced = mc.Matcher(matcher.metadata, "spaced")
    stages: list[Stage] = [
        CountStage(opened, matcher),
        CountStage(opened, spaced),
        SampleStage(Sampling(opened, matcher, Balance(counts, 5), 0)),
        SampleStage(Sampling(opened, spaced, Balance(counts, 5), 0)),
        SampleStage(Sampling(opened, matcher, Balance(counts, 5), 1)),
        SampleStage(Sampling(opened, matcher, Balance(counts, 5.000001), 0)),
        SampleStage(Sampling(opened, matcher, Balance(counts.values + np.uint64(1), 5), 0)),
    ]
    assert len({stage.key for stage in stages}) == len(stages)


# ---- rows that are no UTF-8


@pytest.fixture
def corrupt(tmp_path: Path) -> Path:
    """Two good pairs of five rows: one url, one text, and both of one row are no UTF-8."""
    urls = raw_strings([b"a", b"\xff", b"c", b"\xc3", b"e"])
    texts = raw_strings([b"w0", b"w0", b"w0 \xe2\x82", b"\xff", b"w0"])
    good = pa.table({"url": ["f"], "text": ["w0"]})
    return write_pool(tmp_path / "pool", [pa.table({"url": urls, "text": texts}), good])


@pytest.mark.parametrize("workers", [1, 2])
def test_corrupt_rows_fail_a_run(corrupt: Path, matcher: mc.Matcher, workers: int) -> None:
    out = corrupt.parent / "out"
    with pytest.raises(CorruptInputError) as caught:
        mc.curate(corrupt, matcher.metadata, threshold=9, out=out, workers=workers)
    assert str(caught.value) == (
        f"{corrupt}/part-000.parquet: column 'text': 2 rows are no UTF-8, "
        "the first is row 2 (counted from 0)"
    )
    assert not (out / "manifest.json").exists()


def test_corrupt_rows_are_skipped(corrupt: Path, matcher: mc.Matcher) -> None:
    out = corrupt.parent / "out"
    result = mc.curate(corrupt, matcher.metadata, threshold=9, out=out, on_error="skip")
    assert [(pair.url, pair.text) for pair in read_kept(out)] == [
        ("a", "w0"), ("e", "w0"), ("f", "w0"),
    ]  # fmt: skip
    assert (result.summary["kept"], result.summary["invalid"]) == (3, 3)
    first, second = pq.read_table(out / "shards.parquet").to_pylist()
    assert first["rows_read"] == 5 == first["kept"] + first["invalid"]
    assert first["error"] == (
        "column 'url': 2 rows are no UTF-8, the first is row 1 (counted from 0); "
        "column 'text': 2 rows are no UTF-8, the first is row 2 (counted from 0)"
    )
    assert second["error"] is None


def test_the_position_of_a_corrupt_row(matcher: mc.Matcher, tmp_path: Path) -> None:
    """It is counted in the file, though units and batches begin elsewhere."""
    rows = 140_000
    texts = [b"w0"] * rows
    texts[131_000] = b"\xff"
    pool = pa.table({"url": [str(i) for i in range(rows)], "text": raw_strings(texts)})
    source = write_pool(tmp_path / "pool", [pool], row_group_size=rows)
    with pytest.raises(
        CorruptInputError, match="'text': 1 row is no UTF-8, the first is row 131000"
    ):
        mc.count(source, matcher)
