"""The main command over real captions: the same pairs on every engine, and on a store."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from upath import UPath

from metacurate.engine.stores import place_of

from .contract import Name
from .runs import start
from .test_contract import prepare
from .test_s3 import read_table

COLUMNS = ["url", "text", "entries", "probability", "min_threshold"]
SHARDS = 16
JOBS = ["--slurm-cpus", 1, "--slurm-mem", "1G", "--slurm-time", 10, "--slurm-array-parallelism", 2]
PATIENCE = 300  # seconds


@pytest.fixture(scope="module")
def pool(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = pq.read_table(data / "redcaps.parquet")
    folder = tmp_path_factory.mktemp("redcaps")
    for i in range(SHARDS):
        first, stop = len(table) * i // SHARDS, len(table) * (i + 1) // SHARDS
        pq.write_table(table.slice(first, stop - first), folder / f"{i:02}.parquet")
    return folder


def curate(data: Path, pool: object, out: object, *more: object) -> list[dict[str, Any]]:
    metadata = data / "metadata.parquet"
    with start("curate", pool, "-m", metadata, "-t", 5, "-o", out, *more) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return read_table(place_of(str(out)) / "curated", COLUMNS)


@pytest.fixture(scope="module")
def kept(data: Path, pool: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return curate(data, pool, tmp_path_factory.mktemp("kept") / "out")


@pytest.mark.parametrize("name", ["ray", "slurm"])
def test_the_same_pairs_on_a_cluster(
    name: Name, data: Path, pool: Path, kept: list[dict[str, Any]],
    tmp_path: Path, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    prepare(name, request)
    more = JOBS if name == "slurm" else []
    found = curate(data, pool, tmp_path / "out", "--engine", name, *more)
    assert len(found) == 155_755
    assert found == kept


@pytest.mark.parametrize("name", ["local", "slurm"])
def test_the_same_pairs_from_and_to_a_store(
    name: str, data: Path, pool: Path, kept: list[dict[str, Any]], bucket: str,
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if name == "slurm":
        prepare("slurm", request)
        monkeypatch.setenv("METACURATE_CACHE", str(tmp_path / "cache"))
    for path in pool.iterdir():
        place = place_of(f"{bucket}/pool/{path.name}")
        assert isinstance(place, UPath)
        place.fs.put_file(str(path), place.path)
    more = JOBS if name == "slurm" else []
    found = curate(data, f"{bucket}/pool", f"{bucket}/out", "--engine", name, *more)
    assert found == kept
