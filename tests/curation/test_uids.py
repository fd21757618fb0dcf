"""DataComp's list of a subset: every kept pair's uid as two numbers, ascending."""

import logging
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import metacurate as mc
from metacurate import cli
from metacurate.curation.curate import sample
from metacurate.curation.uids import parse_uids
from metacurate.errors import InputError, UsageError

from .pools import ENTRIES, read_curated, write_pool, zipf_pool

ROWS = 3_000
T = 20.0
ALL = 1e300  # a threshold that thins nothing
DTYPE = np.dtype([("f0", "<u8"), ("f1", "<u8")])

Numbers = list[tuple[int, int]]


@pytest.fixture(scope="module")
def metadata() -> mc.Metadata:
    return mc.Metadata.from_entries(ENTRIES)


@pytest.fixture(scope="module")
def pool() -> pa.Table:
    """Some uids in capitals, some that begin alike, some that are equal."""
    random = np.random.default_rng(1)
    uids = [random.bytes(16).hex() for _ in range(ROWS)]
    uids[::5] = [uid.upper() for uid in uids[::5]]
    uids[1::7] = [f"{'f' * 16}{uid[16:]}" for uid in uids[1::7]]
    uids[2::11] = uids[1:-1:11]
    return zipf_pool(ROWS).append_column("uid", pa.array(uids))


def numbers(uids: Sequence[str]) -> Numbers:
    return sorted((int(uid[:16], 16), int(uid[16:], 16)) for uid in uids)


def read_uids(path: Path) -> Numbers:
    array = np.load(path, allow_pickle=False)
    assert array.dtype == DTYPE
    assert array.ndim == 1
    found: Numbers = array.tolist()
    return found


def curate(source: Path, metadata: mc.Metadata, folder: Path, **options: Any) -> dict[str, Any]:
    options = {"threshold": T, "uids": folder / "uids.npy", **options}
    return mc.curate(source, metadata, out=folder / "out", **options).summary


@pytest.mark.parametrize("threshold", [1e-9, 1, T, ALL])
def test_uids_of_what_is_kept(
    threshold: float, pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", [pool.slice(0, 1_000), pool.slice(1_000)])
    summary = curate(source, metadata, tmp_path, threshold=threshold)
    found = read_uids(tmp_path / "uids.npy")
    assert len(found) == summary["kept"]
    if threshold == 1e-9:
        assert found == []
    else:
        assert found == numbers(read_curated(tmp_path / "out")["uid"].to_pylist())
        assert 500 < len(set(found)) < len(found)


def cut(pool: pa.Table, files: int) -> list[pa.Table]:
    edges = np.linspace(0, len(pool), files + 1).astype(int).tolist()
    return [pool.slice(a, b - a) for a, b in pairwise(edges)]


def retype(pool: pa.Table, kind: pa.DataType) -> pa.Table:
    return pool.set_column(2, "uid", pool["uid"].cast(kind))


Store = Callable[[pa.Table, Path], Path]

STORES: dict[str, Store] = {
    "1 file": lambda pool, to: write_pool(to, [pool]),
    "9 files": lambda pool, to: write_pool(to, cut(pool, 9)),
    "row groups of 10": lambda pool, to: write_pool(to, [pool], row_group_size=10),
    "rows upside down": lambda pool, to: write_pool(to, cut(pool.take(np.arange(ROWS)[::-1]), 4)),
    "large_string": lambda pool, to: write_pool(to, [retype(pool, pa.large_string())]),
    "string_view": lambda pool, to: write_pool(to, [retype(pool, pa.string_view())]),
    "dictionary": lambda pool, to: write_pool(
        to, [pool.set_column(2, "uid", pool["uid"].dictionary_encode())]
    ),
    "first column": lambda pool, to: write_pool(to, [pool.select(["uid", "text", "url"])]),
}


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_file_is_the_same_for_any_order(
    store: str, workers: int, pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    write_pool(tmp_path / "reference", cut(pool, 2))
    curate(tmp_path / "reference", metadata, tmp_path, uids=tmp_path / "reference.npy")
    source, folder = STORES[store](pool, tmp_path / "pool"), tmp_path / "folder"
    curate(source, metadata, folder, workers=workers)
    assert (folder / "uids.npy").read_bytes() == (tmp_path / "reference.npy").read_bytes()
    assert len(read_uids(folder / "uids.npy")) > 500


def test_sampling_one_per_image_and_balancing_again(
    pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    source = write_pool(tmp_path / "pool", cut(pool, 2))
    uids, out = tmp_path / "lists" / "new" / "subset", tmp_path / "out"  # no ending is added
    curate(source, metadata, tmp_path, uids=str(uids), per_image="one")
    assert read_uids(uids) == numbers(read_curated(out)["uid"].to_pylist())

    mc.count(source, mc.Matcher(metadata), out=tmp_path / "counts")
    counts, sampled = tmp_path / "counts", tmp_path / "sampled"
    sample(source, metadata, counts, threshold=7, uids=uids, out=sampled)
    assert read_uids(uids) == numbers(read_curated(sampled)["uid"].to_pylist())

    again = mc.curate(sampled, metadata, threshold=3, uids=uids, out=tmp_path / "again")
    assert read_uids(uids) == numbers(read_curated(again.out)["uid"].to_pylist())
    assert [path.name for path in uids.parent.iterdir()] == ["subset"]


def test_a_list_that_is_asked_for_later(
    pool: pa.Table, metadata: mc.Metadata, tmp_path: Path
) -> None:
    """Costs no work on any unit."""
    source = write_pool(tmp_path / "pool", cut(pool, 3))
    first = curate(source, metadata, tmp_path, uids=None)
    assert not (tmp_path / "uids.npy").exists()
    second = curate(source, metadata, tmp_path)
    assert (first["resumed_units"], second["resumed_units"]) == (0, 6)
    assert len(read_uids(tmp_path / "uids.npy")) == second["kept"]


# ---- what are uids


UINT64 = st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)


@given(pairs=st.lists(st.tuples(UINT64, UINT64)), upper=st.booleans())
@example(pairs=[], upper=False)
@example(pairs=[(0, 0), (2**64 - 1, 2**64 - 1), (0xABCDEF, 0xFEDCBA)], upper=True)
def test_digits_are_numbers(pairs: Numbers, upper: bool) -> None:
    uids = [f"{high:016x}{low:016x}" for high, low in pairs]
    column = pa.array([uid.upper() if upper else uid for uid in uids], pa.string())
    assert parse_uids(column, "file").tolist() == pairs
    assert parse_uids(column.dictionary_encode(), "file").tolist() == pairs
    assert parse_uids(column.slice(1), "file").tolist() == pairs[1:]


GOOD = "0123456789abcdefABCDEF9876543210"
BAD: list[str | None] = [
    "", "x", GOOD[1:], f"{GOOD}0", f"{GOOD}\n", f" {GOOD[1:]}", f"{GOOD[1:]} ", f"0x{GOOD[2:]}",
    f"{GOOD[1:]}g", f"{GOOD[:15]}-{GOOD[16:]}", f"{GOOD[:30]}\0\0", f"{GOOD[1:]}\u0661", "é" * 16,
    None,
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_uid(bad: str | None, metadata: mc.Metadata, tmp_path: Path) -> None:
    """The error names it, and the file that it is in."""
    with pytest.raises(InputError) as caught:
        parse_uids(pa.array([GOOD, bad, "another"], pa.string()), "file")
    assert str(caught.value) == f"file: uid {bad!r} is not 32 hexadecimal digits"

    table = pa.table({"url": ["a", "b", "c"], "text": ["w0"] * 3, "uid": [GOOD, bad, GOOD]})
    source = write_pool(tmp_path / "pool", [table])
    with pytest.raises(InputError) as caught:
        curate(source, metadata, tmp_path, threshold=ALL)
    assert f"uid {bad!r} is not 32 hexadecimal digits" in str(caught.value)
    assert "part-000" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    assert not (tmp_path / "out" / "manifest.json").exists()

    pq.write_table(table.take([0, 2]), source / "part-000.parquet")
    curate(source, metadata, tmp_path, threshold=ALL)
    assert read_uids(tmp_path / "uids.npy") == 2 * numbers([GOOD])


def test_uids_of_other_pairs_are_not_looked_at(metadata: mc.Metadata, tmp_path: Path) -> None:
    table = pa.table({"url": ["a", "b"], "text": ["w0", "unknown"], "uid": [GOOD, "none"]})
    source = write_pool(tmp_path / "pool", [table])
    assert curate(source, metadata, tmp_path)["kept"] == 1
    assert read_uids(tmp_path / "uids.npy") == numbers([GOOD])


def test_an_empty_subset(metadata: mc.Metadata, tmp_path: Path) -> None:
    table = pa.table({"url": ["a", "b"], "text": ["unknown", None], "uid": [GOOD, "none"]})
    source = write_pool(tmp_path / "pool", [table])
    assert curate(source, metadata, tmp_path)["kept"] == 0
    assert read_uids(tmp_path / "uids.npy") == []


# ---- pools without uids

COLUMNS: dict[str, pa.Array | None] = {
    "none": None,
    "whole numbers": pa.array([1, 2]),
    "bytes": pa.array([bytes(16), bytes(16)], pa.binary(16)),
    "lists": pa.array([[GOOD], [GOOD]]),
}


@pytest.fixture(params=COLUMNS)
def lacking(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A pool whose second file has no uids."""
    table = pa.table({"url": ["a", "b"], "text": ["w0", "w2"]})
    column = COLUMNS[request.param]
    return write_pool(
        tmp_path / "pool",
        [
            table.append_column("uid", pa.array([GOOD, GOOD])),
            table if column is None else table.append_column("uid", column),
        ],
    )


def test_a_pool_without_uids_is_refused(
    lacking: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    message = f"--uids: {lacking}/part-001.parquet has no column 'uid' of DataComp's uids"
    with pytest.raises(UsageError) as caught:
        curate(lacking, metadata, tmp_path)
    assert message in str(caught.value)
    mc.count(lacking, mc.Matcher(metadata), out=tmp_path / "counts")
    with pytest.raises(UsageError) as caught:
        sample(
            lacking, metadata, tmp_path / "counts", threshold=T, out=tmp_path / "out",
            uids=tmp_path / "uids.npy",
        )  # fmt: skip
    assert message in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts", "pool"]


def test_refused_on_the_command_line(
    lacking: Path, metadata: mc.Metadata, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    metadata.write("m.parquet")
    command = "metacurate curate pool -m m.parquet -t 5 -o out --uids uids.npy"
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert "pool/part-001.parquet has no column 'uid'" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.parquet", "pool"]


def test_a_finished_run_outlives_a_list_that_can_not_be(
    lacking: Path, metadata: mc.Metadata, tmp_path: Path
) -> None:
    curate(lacking, metadata, tmp_path, uids=None)
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match="has no column 'uid'"):
        curate(lacking, metadata, tmp_path)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_files_that_are_skipped_need_no_uids(
    pool: pa.Table, metadata: mc.Metadata, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_pool(tmp_path / "pool", [pool])
    (source / "part-001.parquet").write_bytes(b"no Parquet at all")
    with caplog.at_level(logging.WARNING):
        summary = curate(source, metadata, tmp_path, on_error="skip")
    assert "part-001.parquet" in caplog.text
    assert len(read_uids(tmp_path / "uids.npy")) == summary["kept"] > 500
