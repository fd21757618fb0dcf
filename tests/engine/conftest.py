"""Clusters and a store that engines are tried on: real ones."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..s3_server import NotInstalledError, S3Server
from ..tcp_proxy import TcpProxy
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


@pytest.fixture(scope="session")
def s3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="session")
def prepared(s3_folder: Path) -> S3Server:
    """A server that is not started: whatever starts it finds it at the same address."""
    try:
        return S3Server(s3_folder)
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(prepared: S3Server, s3_folder: Path) -> Iterator[S3Server]:
    """It runs for the modules that use it only: it is never idle."""
    with prepared:
        yield prepared
    shutil.rmtree(s3_folder / "data")


@pytest.fixture(scope="session")
def before_it(prepared: S3Server) -> Iterator[TcpProxy]:
    """One for the whole session: s3fs keeps to the address that it has found first."""
    with TcpProxy("127.0.0.1", prepared.port) as proxy:
        yield proxy


@pytest.fixture
def proxy(
    server: S3Server, before_it: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TcpProxy]:
    """What stands before the server; whatever reads its environment goes through it."""
    if server.pid is None:
        server.start()
    for name, value in {**server.environment, "AWS_ENDPOINT_URL": before_it.url}.items():
        monkeypatch.setenv(name, value)
    yield before_it
    before_it.forget()


@pytest.fixture
def bucket(server: S3Server, proxy: TcpProxy, tmp_path: Path) -> str:
    name = f"b{abs(hash(str(tmp_path))):016x}"
    server.make_bucket(name)
    return f"s3://{name}"
