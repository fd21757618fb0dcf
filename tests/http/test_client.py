"""Requests to a server on this machine that is busy, refuses, or is not there."""

import pickle
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from metacurate.engine.stage import StoppedError
from metacurate.errors import InputError
from metacurate.http.client import BUSY, Client, _Session
from metacurate.http.failures import MissingError, UnreachableError

from .http_server import Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def patient(**how: object) -> Client:
    return Client(**{"tries": 4, "backoff": 0.01, "timeout": 5.0, **how})  # type: ignore[arg-type]


def test_https_never_leads_to_http() -> None:
    answer = requests.Response()
    answer.status_code = 302
    answer.url = "https://example.org/a"
    for target, refused in (("/b", False), ("https://b.org/", False), ("http://b.org/", True)):
        answer.headers["Location"] = target
        if refused:
            with pytest.raises(requests.RequestException, match="from https to http"):
                _Session().get_redirect_target(answer)
        else:
            assert _Session().get_redirect_target(answer) == target


def test_which_statuses_are_tried_again(server: Server) -> None:
    url = f"{server.url}/a"
    server.add("/a", b"content", answers=[(403, {}), (403, {})])
    with pytest.raises(InputError, match=r"/a: 403 Forbidden$"):
        patient().read_listing(url)
    assert len(server.requests) == 1
    assert patient(busy=BUSY | {403}).read_listing(url) == b"content"
    assert [r.status for r in server.requests] == [403, 403, 200]


def test_a_busy_server_is_not_asked_again_at_once(server: Server) -> None:
    server.add("/a", b"content", answers=[(503, {})])
    began = time.monotonic()
    patient(backoff=0.3).read_listing(f"{server.url}/a")
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_told_apart(status: int, server: Server) -> None:
    server.add("/a", b"", answers=[(status, {})])
    with pytest.raises(MissingError, match=f"/a: {status} "):
        patient().read_listing(f"{server.url}/a")
    assert len(server.requests) == 1


def test_what_a_server_tells_of_a_file(server: Server) -> None:
    server.add("/a", b"content", etag='"1"')
    server.add("/b", b"content", sized=False)
    client = patient()
    assert client.head(f"{server.url}/a")["etag"] == '"1"'
    assert client.size(f"{server.url}/a") == 7
    with pytest.raises(InputError, match="does not tell how large it is"):
        client.size(f"{server.url}/b")


def test_no_network() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
        with pytest.raises(UnreachableError, match=r"refused\): what now\?") as raised:
            patient(hint="what now?").read_listing(url)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.fact) == (str(raised.value), raised.value.fact)


def test_the_end_is_heard_in_a_pause(server: Server) -> None:
    client = Client(backoff=60)
    threading.Timer(0.2, client.stop).start()
    began = time.monotonic()
    server.add("/a", b"", answers=[(429, {"Retry-After": "100"})])
    with pytest.raises(StoppedError):
        client.read_listing(f"{server.url}/a")
    client.close()
    assert time.monotonic() - began < 20


def test_the_end_is_heard_while_a_server_is_silent(server: Server) -> None:
    server.add("/a", b"content" * 1000, pause=30, block=10)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    client = patient(timeout=60)
    began = time.monotonic()
    with client.heeding(stop), pytest.raises(StoppedError):
        client.read_listing(f"{server.url}/a")
    assert time.monotonic() - began < 20


def test_a_client_outlives_what_it_heeded(server: Server) -> None:
    server.add("/a", b"content")
    client = patient()
    stop = threading.Event()
    with client.heeding(stop):
        client.read_listing(f"{server.url}/a")
    stop.set()
    assert client.read_listing(f"{server.url}/a") == b"content"
