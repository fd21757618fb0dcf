"""Connections that no request comes of: they end, and keep nobody out for long."""

import socket
import time
from pathlib import Path

import pytest

from metacurate.reporting.explorer import connections
from metacurate.reporting.explorer.pages import Answer, Pages

from .served import serve


def is_ended(one: socket.socket) -> bool:
    """Whether the other side has closed a connection, within half a minute."""
    one.settimeout(30)
    return one.recv(1) == b""


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 127"])
def test_half_a_request(animals: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    with serve(animals) as served:
        many = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(70)]
        for one in many:
            one.sendall(sent)
        assert all(map(is_ended, many))
        assert served.ask("/")[0].status == 200
        for one in many:
            one.close()


def test_a_second_request_that_stops_halfway(
    animals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    with serve(animals) as served, socket.create_connection(("127.0.0.1", served.port)) as one:
        request = f"GET /static/explorer.svg HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n\r\n"
        one.sendall(request.encode() + b"GET / HTTP")
        one.settimeout(30)
        answer = b""
        while part := one.recv(65536):
            answer += part
        assert answer.count(b"HTTP/1.1 200") == 1
        assert answer.endswith(b"</svg>\n")


def test_an_answer_may_take_longer(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def think(_: Pages, __: object, ___: object) -> Answer:
        time.sleep(0.5)
        return Answer("at last")

    monkeypatch.setattr(Pages, "entries", think)
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.1)
    with serve(animals) as served:
        assert served.ask("/")[1] == "at last"
