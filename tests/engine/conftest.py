"""Clusters that engines are tried on: real ones."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from .contract import ROOT


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A real cluster of two nodes, to which more can be added."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    memory = {"object_store_memory": 200_000_000}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **memory}
    )
    cluster.add_node(num_cpus=1, **memory)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def with_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip where there is no Slurm; jobs are to find these tests' modules."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    if shutil.which("sinfo") is None:
        pytest.skip("there is no Slurm on this machine: .ci/slurm sets one up")
    done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=30)
    if done.returncode:
        pytest.skip(f"Slurm does not answer: {done.stderr.strip().splitlines()[0]}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
