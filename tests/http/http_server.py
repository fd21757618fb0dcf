"""A server on this machine that serves files, and misbehaves as servers do."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Request(NamedTuple):
    """A request that came: `first` is where its range begins, None without one."""

    method: str
    path: str
    first: int | None
    status: int
    agent: str


@dataclass
class Served:
    """A file, and how it is served.

    Attributes:
        content: of the file. etag: its own; None for none, "" for one made from the content.
        modified: its Last-Modified.
        drops: after how many bytes connections break, one after the other.
        answers: statuses that come first, with their headers.
        ranges: whether ranges are honoured. conditions: whether If-Range is.
        others: contents that are sent instead, one after the other.
        pause: seconds after each block of `block` bytes. location: where a redirect leads to.
        sized: whether Content-Length is told.
    """

    content: bytes
    etag: str | None = ""
    modified: str | None = None
    drops: list[int] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    ranges: bool = True
    conditions: bool = True
    others: list[bytes] = field(default_factory=list)
    pause: float = 0.0
    block: int = 1 << 16
    location: str | None = None
    sized: bool = True

    @property
    def tag(self) -> str | None:
        if self.etag == "":
            return f'"{hashlib.sha1(self.content).hexdigest()}"'
        return self.etag


class Server(ThreadingHTTPServer):
    """Serves what is in `files`, by path; `requests` tells what came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.requests: list[Request] = []
        self.at_work = self.most_at_work = 0
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, path: str, content: bytes, **how: object) -> Served:
        self.files[path] = Served(content, **how)  # type: ignore[arg-type]
        return self.files[path]

    def bodies(self, ending: str = "") -> list[Request]:
        """The requests for content, in the order in which they came."""
        return [r for r in self.requests if r.method == "GET" and r.path.endswith(ending)]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        with self.server.guard:
            self.server.at_work += 1
            self.server.most_at_work = max(self.server.at_work, self.server.most_at_work)
        try:
            self._answer()
        finally:
            with self.server.guard:
                self.server.at_work -= 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _answer(self) -> None:
        served = self.server.files.get(self.path)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = None if asked is None else int(asked[1])
        if served is None:
            self._empty(404, {}, first)
            return
        if served.answers and self.command == "GET":
            status, headers = served.answers.pop(0)
            self._empty(status, headers, first)
            return
        if served.location is not None:
            self._empty(302, {"Location": served.location}, first)
            return
        content = served.content
        if self.command == "GET" and served.others:
            content = served.others.pop(0)
        condition = self.headers.get("If-Range")
        same = condition in (None, served.tag, served.modified) or not served.conditions
        begin = first if first is not None and served.ranges and same else 0
        if begin > len(content):
            self._empty(416, {}, first)
            return
        partial = served.ranges and same and first is not None
        self._note(206 if partial else 200, first)
        self.send_response(206 if partial else 200)
        if served.sized:
            self.send_header("Content-Length", str(len(content) - begin))
        else:
            self.send_header("Connection", "close")
        if partial:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        for name, value in (("ETag", served.tag), ("Last-Modified", served.modified)):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self._send(served, content[begin:])

    def _send(self, served: Served, content: bytes) -> None:
        drop = served.drops.pop(0) if served.drops else None
        shown = content if drop is None else content[:drop]
        for i in range(0, len(shown), served.block):
            self.wfile.write(shown[i : i + served.block])
            if served.pause:
                self.wfile.flush()
                time.sleep(served.pause)
        if drop is not None or not served.sized:
            self.close_connection = True

    def _empty(self, status: int, headers: dict[str, str], first: int | None) -> None:
        self._note(status, first)
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _note(self, status: int, first: int | None) -> None:
        agent = self.headers.get("User-Agent", "")
        self.server.requests.append(Request(self.command, self.path, first, status, agent))


@contextmanager
def serving() -> Iterator[Server]:
    """A server at work."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
