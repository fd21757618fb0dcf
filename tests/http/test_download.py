"""Downloads whose size nobody told before; those of published files are tested with fetching."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from metacurate.errors import InputError
from metacurate.http.client import Client
from metacurate.http.download import Part, complete

from .http_server import Server, serving

CONTENT = random.Random(1).randbytes(300_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def get(server: Server, folder: Path) -> bytes:
    client = Client(tries=4, backoff=0.01, timeout=5.0)
    part = Part(folder / "a")
    told: list[int] = []
    complete(client, f"{server.url}/a", part, told.append)
    client.close()
    part.put_in_place(to_stay=False)
    assert [path.name for path in folder.iterdir()] == ["a"]
    content = (folder / "a").read_bytes()
    assert sum(told) == part.size == len(content)
    return content


def test_the_server_tells_the_size(server: Server, tmp_path: Path) -> None:
    server.add("/a", CONTENT, drops=[100_000, 50_000])
    assert get(server, tmp_path) == CONTENT
    assert [(r.method, r.first) for r in server.requests] == [
        ("GET", None), ("GET", 100_000), ("GET", 150_000),
    ]  # fmt: skip


def test_an_empty_file(server: Server, tmp_path: Path) -> None:
    server.add("/a", b"")
    assert get(server, tmp_path) == b""


def test_a_file_that_changes_while_it_comes(server: Server, tmp_path: Path) -> None:
    longer = CONTENT[::-1] * 2
    server.add("/a", longer, drops=[100_000], others=[CONTENT])
    assert get(server, tmp_path) == longer
    assert [r.first for r in server.requests] == [None, 100_000, None]


def test_a_server_that_does_not_tell_the_size(server: Server, tmp_path: Path) -> None:
    server.add("/a", CONTENT, sized=False)
    with pytest.raises(InputError, match="/a: the server does not tell how large it is"):
        get(server, tmp_path)
