"""A run does what is left to do, and no more, whatever has changed since the last one."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import metacurate as mc
from metacurate.engine.progress import Silent
from metacurate.engine.run import _tasks
from metacurate.engine.stage import Unit
from metacurate.errors import MetacurateError, UsageError

from .runs import CONCEPTS, captions, contents, totals, write_file, written

TEXTS = {name: captions(300, seed) for seed, name in enumerate("abc")}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for name, texts in TEXTS.items():
        write_file(tmp_path / "pool" / f"{name}.parquet", texts)
    return tmp_path / "pool"


def curate(pool: Path, out: Path, **options: Any) -> dict[str, Any]:
    return mc.curate(pool, CONCEPTS, out=out, **{"threshold": 20, **options}).summary


def test_second_run_does_nothing(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = curate(pool, out)
    before = written(out), contents(out)
    second = curate(pool, out)
    assert (written(out), contents(out)) == before
    assert (first["resumed_units"], second["resumed_units"]) == (0, 2 * 3)
    assert {**first, "resumed_units": 6, "seconds": 0} == {**second, "seconds": 0}
    assert totals(out) == second


# ---- changed inputs


def nothing(pool: Path) -> None:
    pass


def touched(pool: Path) -> None:
    os.utime(pool / "b.parquet", ns=(1, 1))


def other_urls(pool: Path) -> None:
    write_file(pool / "b.parquet", TEXTS["b"], prefix="new/")


def other_texts(pool: Path) -> None:
    write_file(pool / "b.parquet", captions(250, 9))


def removed(pool: Path) -> None:
    (pool / "b.parquet").unlink()


def added(pool: Path) -> None:
    write_file(pool / "aa.parquet", captions(100, 9))


def added_unmatched(pool: Path) -> None:
    write_file(pool / "aa.parquet", ["quite other words"] * 10)


def renamed(pool: Path) -> None:
    (pool / "b.parquet").rename(pool / "z.parquet")


def output_lost(pool: Path) -> None:
    next(pool.parent.glob("out/curated/b-*")).unlink()


def temporary_left(pool: Path) -> None:
    (pool.parent / "out/curated/.abc123.tmp").write_bytes(b"PAR1")


@pytest.mark.parametrize(
    ("change", "counted", "sampled"),
    [  # units of the earlier run that stay; other counts ask for another sample
        pytest.param(nothing, 3, 3),
        pytest.param(touched, 2, 2),
        pytest.param(other_urls, 2, 2),
        pytest.param(other_texts, 2, 0),
        pytest.param(removed, 2, 0),
        pytest.param(added, 3, 0),
        pytest.param(added_unmatched, 3, 3),
        pytest.param(renamed, 2, 2),
        pytest.param(output_lost, 3, 2),
        pytest.param(temporary_left, 3, 3),
    ],
)
def test_changed_inputs(
    change: Callable[[Path], None], counted: int, sampled: int, pool: Path, tmp_path: Path
) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    curate(pool, out)
    before = written(out)
    change(pool)
    assert curate(pool, out)["resumed_units"] == counted + sampled
    curate(pool, fresh)
    assert contents(out) == contents(fresh)
    assert written(out).keys() == written(fresh).keys()
    rewritten = {path for path, time in written(out).items() if before.get(path) != time}
    outputs = [path for path in rewritten if path.parent.name == "curated"]
    assert len(outputs) == len(contents(fresh)) - 1 - sampled
    assert not list((out / "curated").glob(".*"))


def test_shards_tell_what_became_of_every_row(pool: Path, tmp_path: Path) -> None:
    summary = curate(pool, tmp_path / "out")
    shards = pq.read_table(tmp_path / "out/shards.parquet").to_pylist()
    fates = ("kept", "balanced_away", "unmatched", "invalid")
    assert [Path(shard["input"]).name for shard in shards] == [
        "a.parquet",
        "b.parquet",
        "c.parquet",
    ]
    for shard in shards:
        assert shard["rows_read"] == sum(shard[fate] for fate in fates) == 300
        assert (
            pq.read_metadata(tmp_path / "out/curated" / shard["output"]).num_rows == shard["kept"]
        )
    for name in ("rows_read", *fates):
        assert summary[name] == sum(shard[name] for shard in shards)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_workers_change_nothing(workers: int, pool: Path, tmp_path: Path) -> None:
    curate(pool, tmp_path / "out", workers=workers)
    curate(pool, tmp_path / "default")
    assert contents(tmp_path / "out") == contents(tmp_path / "default")


def test_counts_alone_keep_nothing(pool: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    counts = mc.count(pool, mc.Matcher(CONCEPTS))
    assert sorted(tmp_path.rglob("*")) == before
    summary = curate(pool, tmp_path / "out")
    assert (counts.texts, counts.matches) == (900, summary["matches"])


# ---- another configuration


@pytest.mark.parametrize(
    ("options", "differs", "counted"),
    [
        ({"threshold": 21.5}, "threshold 20.0", 3),
        ({"threshold": None, "tail_share": 0.5}, "tail_share None, threshold 20.0", 3),
        ({"threshold": None, "budget": 200}, "budget None, threshold 20.0", 3),
        ({"seed": 1}, "seed 0", 3),
        ({"id_column": "text"}, "id_column None", 3),
        ({"mode": "spaced"}, "mode 'paper'", 0),
        ({"text_column": "url"}, "text_column None", 0),
        ({"where": "text != 'w0'"}, "where None", 0),
        ({"per_image": "one"}, "per_image 'all'", 0),
    ],
)
def test_another_configuration_does_again_what_it_changes(
    options: dict[str, Any],
    differs: str,
    counted: int,
    pool: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = tmp_path / "out"
    curate(pool, out)
    before = contents(out)
    with caplog.at_level(logging.INFO):
        changed = curate(pool, out, **options)
    assert f"{out} was made with {differs}: what that changes is done again" in caplog.text
    assert changed["resumed_units"] == counted
    curate(pool, tmp_path / "fresh", **options)
    assert contents(out) == contents(tmp_path / "fresh")
    assert contents(out) != before
    curate(pool, out)  # and back
    assert contents(out) == before


def test_a_run_that_is_cut_off_after_a_change_mixes_nothing(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curate(pool, out)
    before = contents(out)

    class Cut(Silent):
        def start(self, title: str, total: int, measure: str = "pairs") -> None:
            self.left = 1 if title == "sample" else 100

        def advance(self, work: int) -> None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(pool, out, seed=1, progress=Cut(), workers=1)
    assert not (out / "manifest.json").exists()
    curate(pool, out)  # the first configuration again, over what the second one left
    assert contents(out) == before


def test_other_inputs_are_refused(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curate(pool, out)
    shutil.copytree(pool, tmp_path / "copy")
    with pytest.raises(UsageError, match=r"out holds a run over another pool \(.*pool\)"):
        curate(tmp_path / "copy", out)
    with pytest.raises(UsageError, match="out holds what `metacurate curate` made"):
        mc.count(pool, mc.Matcher(CONCEPTS), out=out)


# ---- broken inputs


def test_broken_files_are_listed_and_their_repair_is_picked_up(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = [pool / f"x{i:02}.parquet" for i in range(25)]
    for path in broken:
        path.write_bytes(b"no Parquet at all")
    with pytest.raises(MetacurateError) as caught:
        curate(pool, out)
    title, *lines, more = str(caught.value).split("\n")
    assert title == "count: 25 units had errors"
    assert [line.split(": ")[0] for line in lines] == [str(path) for path in broken[:20]]
    assert more == "and 5 more, listed in shards.parquet"
    shards = pq.read_table(out / "shards.parquet").to_pylist()
    assert {shard["input"] for shard in shards if shard["error"]} == set(map(str, broken))
    for path in broken:
        write_file(path, captions(10))
    assert curate(pool, out)["resumed_units"] == 3
    curate(pool, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


# ---- tasks


@given(st.lists(st.lists(st.integers(1, 12), max_size=8), max_size=30), st.integers(1, 9))
def test_tasks_hold_every_unit_once(files: list[list[int]], workers: int) -> None:
    units = [
        Unit(f"{i}.parquet", "", 100 * group + part, 1, 100 * group)
        for i, groups in enumerate(files)
        for group, parts in enumerate(groups)
        for part in range(parts)
    ]
    tasks = list(_tasks(units, workers))
    assert [unit for task in tasks for unit in task] == units
    assert all(tasks)
    for source, anchor in {(unit.source, unit.anchor) for unit in units}:
        touching = [t for t in tasks if any((u.source, u.anchor) == (source, anchor) for u in t)]
        assert len(touching) <= workers  # each decodes the row group from its begin


@pytest.mark.parametrize(("units", "workers", "tasks"), [(1, 8, 1), (160, 2, 16), (10_000, 2, 157)])
def test_tasks_take_several_units_where_there_are_many(
    units: int, workers: int, tasks: int
) -> None:
    made = list(_tasks([Unit(f"{i}", "", 0, 1, 0) for i in range(units)], workers))
    assert len(made) == tasks
