"""What the tests of fetching share: a server, and limits as small as it is near."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from metacurate.images.fetching.limits import FetchLimits
from tests.images.hostile_server import HostileServer

LIMITS = FetchLimits(
    connect_seconds=2.0,
    total_seconds=5.0,
    least_bytes_per_second=1000,
    window_seconds=0.3,
    max_bytes=1 << 20,
    pause_seconds=0.05,
    allow=(ip_network("127.0.0.0/8"),),
)


@pytest.fixture(scope="module")
def running_server() -> Iterator[HostileServer]:
    with HostileServer() as server:
        yield server


@pytest.fixture
def server(running_server: HostileServer) -> HostileServer:
    running_server.reset()
    return running_server
