"""Balancing what was balanced before: other draws, and the columns anew."""

import json
import logging
import math
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2

import metacurate as mc
from metacurate.curation.curate import plan, sample
from metacurate.engine.stores import Place
from metacurate.errors import InputError, UsageError
from metacurate.schema import CURATED

from .pools import ENTRIES, read_curated, read_kept, write_pool, zipf_pool
from .twin import count
from .twin import sample as twin_sample

T1, T2, T3 = 9.0, 3.0, 1.5
REPLACED = "columns that the pool has already are replaced: entries, probability, min_threshold"


@pytest.fixture(scope="module")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries(ENTRIES)


@pytest.fixture(scope="module")
def first(metadata: mc.Metadata, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The output folder of a first round."""
    folder, pool = tmp_path_factory.mktemp("first"), zipf_pool(9_000)
    pool = pool.append_column("row", pa.array(range(len(pool))))
    source = write_pool(folder / "pool", cut(pool, 3))
    return mc.curate(source, metadata, threshold=T1, out=folder / "out").out


def cut(pool: pa.Table, files: int) -> list[pa.Table]:
    edges = np.linspace(0, len(pool), files + 1).astype(int).tolist()
    return [pool.slice(a, b - a) for a, b in pairwise(edges)]


# ---- the next round


@pytest.mark.parametrize("place", [".", "curated", "curated/*.parquet"])
def test_the_second_round(
    place: str, first: Place, metadata: mc.Metadata, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Draws anew, with counts over what is left."""
    before = read_kept(first)
    matches = [pair.entries for pair in before]
    expected, repeated = (
        sorted(twin_sample([p[:2] for p in before], matches, count(matches), T2, 0, round_))
        for round_ in (1, 0)
    )
    with caplog.at_level(logging.WARNING):
        result = mc.curate(str(first / place), metadata, threshold=T2, out=tmp_path / "out")
    assert read_kept(result.out) == expected
    assert len(repeated) > 1.1 * len(expected) > 1_000
    assert [record.getMessage() for record in caplog.records] == [REPLACED]
    assert result.summary["round"] == 1
    assert result.summary["rows_read"] == len(before)
    assert [result.summary[name] for name in ("unmatched", "invalid")] == [0, 0]


def test_columns(first: Place, metadata: mc.Metadata, tmp_path: Path) -> None:
    result = mc.curate(first, metadata, threshold=T2, out=tmp_path / "out")
    before, after = read_curated(first), read_curated(result.out)
    assert before.column_names == after.column_names == ["url", "text", "row", *CURATED.names]
    assert after.schema.remove_metadata().equals(before.schema.remove_metadata())
    place = {row: i for i, row in enumerate(before["row"].to_pylist())}
    taken = before.take([place[row] for row in after["row"].to_pylist()])
    for name in ("url", "text", "entries"):
        assert taken[name].to_pylist() == after[name].to_pylist()
    for name in ("probability", "min_threshold"):
        assert taken[name].to_pylist() != after[name].to_pylist()
    assert max(after["min_threshold"].to_pylist()) <= T2


def test_rounds_count_up(
    first: Place, metadata: mc.Metadata, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, kept = first, [len(read_curated(first))]
    for round_, threshold in ((1, T2), (2, T3), (3, 1e300)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            result = mc.curate(out, metadata, threshold=threshold, out=tmp_path / f"{round_}")
        out = result.out
        assert [record.getMessage() for record in caplog.records] == [REPLACED]
        for file in (out / "curated").iterdir():
            assert pq.read_schema(file).metadata[b"metacurate.round"] == str(round_).encode()
        totals = json.loads((out / "manifest.json").read_text())["totals"]
        assert totals["round"] == result.summary["round"] == round_
        assert json.loads((out / "datacard.json").read_text())["round"] == round_
        kept.append(totals["kept"])
    assert kept[0] > 1.5 * kept[1] > 2 * kept[2] > 200
    assert kept[2] == kept[3]


def test_a_first_round_replaces_nothing(
    metadata: mc.Metadata, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_pool(tmp_path / "pool", [zipf_pool(200)])
    with caplog.at_level(logging.WARNING):
        result = mc.curate(source, metadata, threshold=T1, out=tmp_path / "out")
    assert caplog.records == []
    assert result.summary["round"] == 0


def test_files_tell_what_drew_them_last(first: Place, tmp_path: Path) -> None:
    """Not what drew them before; and what else they tell stays."""
    table = read_curated(first)
    mine = {**table.schema.metadata, b"mine": b"kept"}
    source = write_pool(tmp_path / "pool", [table.replace_schema_metadata(mine)])
    other = mc.Metadata.from_entries(ENTRIES[::-1])
    result = mc.curate(source, other, threshold=T2, seed=7, mode="spaced", out=tmp_path / "out")
    told = read_curated(result.out).schema.metadata
    assert told == {
        b"mine": b"kept",
        b"metacurate.round": b"1",
        b"metacurate.seed": b"7",
        b"metacurate.threshold": str(T2).encode(),
        b"metacurate.mode": b"spaced",
        b"metacurate.metadata_digest": other.digest.encode(),
    }


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("files", [1, 11])
def test_how_the_first_subset_is_stored_does_not_matter(
    files: int, workers: int, first: Place, metadata: mc.Metadata, tmp_path: Path
) -> None:
    mc.curate(first, metadata, threshold=T2, out=tmp_path / "reference")
    table = read_curated(first)
    order = np.random.default_rng(0).permutation(len(table))
    source = write_pool(tmp_path / "pool", cut(table.take(order), files), row_group_size=100)
    mc.curate(source, metadata, threshold=T2, out=tmp_path / "out", workers=workers)
    assert read_kept(tmp_path / "out") == read_kept(tmp_path / "reference")


def test_a_run_that_is_repeated(first: Place, metadata: mc.Metadata, tmp_path: Path) -> None:
    mc.curate(first, metadata, threshold=T2, out=tmp_path / "out")
    before = read_kept(tmp_path / "out")
    again = mc.curate(first, metadata, threshold=T2, out=tmp_path / "out")
    assert again.summary["resumed_units"] == 2 * again.summary["units"] == 6
    assert again.summary["round"] == 1
    assert read_kept(tmp_path / "out") == before


def test_the_first_rounds_counts_are_another_pools(
    first: Place, metadata: mc.Metadata, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"another pool .* --foreign-counts"):
        sample(first, metadata, first, threshold=T2, out=tmp_path / "out")
    foreign = sample(
        first, metadata, first, threshold=T2, out=tmp_path / "out", foreign_counts=True
    )
    assert foreign.summary["round"] == 1


# ---- folders that are no pool


@pytest.fixture
def unfinished(first: Place, tmp_path: Path) -> Path:
    folder = tmp_path / "unfinished"
    shutil.copytree(str(first), folder)
    (folder / "manifest.json").unlink()
    return folder


Command = Callable[[Any, mc.Metadata, Path], object]

COMMANDS: dict[str, Command] = {
    "curate": lambda pool, metadata, out: mc.curate(pool, metadata, threshold=T2, out=out),
    "count": lambda pool, metadata, out: mc.count(pool, mc.Matcher(metadata), out=out),
    "plan": lambda pool, metadata, out: plan(pool, metadata, thresholds=[T2], out=out),
    "sample": lambda pool, metadata, out: sample(
        pool, metadata, out.parent / "unfinished", threshold=T2, out=out
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_is_not_complete_is_no_pool(
    command: str, unfinished: Path, first: Place, metadata: mc.Metadata, tmp_path: Path
) -> None:
    sources: Sequence[Any] = [unfinished, f"{tmp_path}/unf*", [first, unfinished]]
    for source in sources:
        with pytest.raises(UsageError, match="unfinished: its run is not complete: the same"):
            COMMANDS[command](source, metadata, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_run_that_was_completed_is_a_pool(
    first: Place, metadata: mc.Metadata, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    source = first.parent / "pool"
    mc.curate(source, metadata, threshold=T1, out=folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(UsageError, match="its run is not complete"):
        mc.curate(folder, metadata, threshold=T2, out=tmp_path / "2")
    mc.curate(source, metadata, threshold=T1, out=folder)
    mc.curate(folder, metadata, threshold=T2, out=tmp_path / "2")
    mc.curate(first, metadata, threshold=T2, out=tmp_path / "reference")
    assert read_kept(tmp_path / "2") == read_kept(tmp_path / "reference")


def test_a_subset_of_nothing_is_no_pool(metadata: mc.Metadata, tmp_path: Path) -> None:
    source = write_pool(tmp_path / "pool", [pa.table({"url": ["a"], "text": ["unknown"]})])
    result = mc.curate(source, metadata, threshold=T1, out=tmp_path / "out")
    with pytest.raises(UsageError, match="holds no file of a pool"):
        mc.curate(result.out, metadata, threshold=T2, out=tmp_path / "2")


def test_a_folder_is_not_balanced_into_itself(
    first: Place, metadata: mc.Metadata, tmp_path: Path
) -> None:
    before = read_kept(first)
    for out in (first, first / "curated", first / "next"):
        with pytest.raises(UsageError, match="the output folder"):
            mc.curate(first, metadata, threshold=T2, out=out)
    assert read_kept(first) == before


# ---- chance

PAIRS = 60_000
WORDS = 40
SEEDS = range(20)


def test_a_subset_that_was_halved_is_balanced_again(tmp_path: Path) -> None:
    """A subset is made, half of it is lost (as images are), and what is left is balanced.

    What the second round keeps follows the probabilities that the counts of the survivors give;
    the first round's draws are all small among them, and would keep far too many.
    """
    random = np.random.default_rng(0)
    chances = 1 / np.arange(1, WORDS + 1)
    words = random.choice(WORDS, (PAIRS, 2), p=chances / chances.sum())
    pool = pa.table(
        {
            "url": [f"https://example.org/{i}.jpg" for i in range(PAIRS)],
            "text": [f"w{one} w{other}" for one, other in words.tolist()],
        }
    )
    source = write_pool(tmp_path / "pool", [pool])
    metadata = mc.Metadata.from_entries([f"w{i}" for i in range(WORDS)])
    matcher = mc.Matcher(metadata)
    deviations, repeated = [], []
    for seed in SEEDS:
        one, two = tmp_path / f"one {seed}", tmp_path / f"two {seed}"
        mc.curate(source, metadata, threshold=1_000, seed=seed, out=one)
        table = read_curated(one)
        survivors = table.filter(pa.array(np.random.default_rng(seed).random(len(table)) < 0.5))
        left = write_pool(tmp_path / f"left {seed}", [survivors])
        kept = mc.curate(left, metadata, threshold=200, seed=seed, out=two).summary["kept"]

        counts = pq.read_table(two / "counts.parquet")["count"].to_numpy()
        matches = matcher.match(survivors["text"])
        chances = mc.Balance(counts, 200).keep_probabilities(matches)
        expected, deviation = chances.sum(), math.sqrt((chances * (1 - chances)).sum())
        again = mc.draws(survivors["url"], survivors["text"], seed, "sample", 0) < chances
        deviations.append((kept - expected) / deviation)
        repeated.append((np.count_nonzero(again) - expected) / deviation)
        assert 0.2 * len(survivors) < expected < 0.8 * len(survivors)
    assert max(map(abs, deviations)) < 4
    assert 1e-4 < chi2(len(SEEDS)).cdf(sum(z * z for z in deviations)) < 1 - 1e-4
    assert abs(sum(deviations)) < 4 * math.sqrt(len(SEEDS))
    assert min(repeated) > 40


# ---- pools that don't tell their round


def test_a_balanced_pool_that_lost_its_round_is_asked_for_it(tmp_path: Path) -> None:
    """As img2dataset writes a table anew: with the columns that it was asked for, nothing else."""
    metadata = mc.Metadata.from_entries(ENTRIES)
    write_pool(tmp_path / "pool", [zipf_pool(5_000)])
    first = mc.curate(tmp_path / "pool", metadata, threshold=40, out=tmp_path / "first")
    told = mc.curate(first.out, metadata, threshold=10, out=tmp_path / "told")
    assert told.summary["round"] == 1
    copied = read_curated(first.out).replace_schema_metadata(None)
    write_pool(tmp_path / "copy", [copied])
    with pytest.raises(InputError, match="not tell in which round: give --round 1"):
        mc.curate(tmp_path / "copy", metadata, threshold=10, out=tmp_path / "copied")
    assert not (tmp_path / "copied").exists()
    for source in (copied, copied.select(["url", "text"])):
        folder = write_pool(tmp_path / f"{source.num_columns}", [source])
        out = tmp_path / f"out {source.num_columns}"
        again = mc.curate(folder, metadata, threshold=10, out=out, round=1)
        assert again.summary["round"] == 1
        assert read_kept(out) == read_kept(told.out)


@pytest.mark.parametrize("round_", [-1, 2**64, 0.5])
def test_a_round_that_is_none(round_: Any, tmp_path: Path) -> None:
    write_pool(tmp_path / "pool", [zipf_pool(100)])
    with pytest.raises(UsageError, match="round"):
        mc.curate(
            tmp_path / "pool", mc.Metadata.from_entries(ENTRIES), out=tmp_path / "o", round=round_
        )
