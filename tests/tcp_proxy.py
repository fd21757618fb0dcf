"""A proxy on this machine that stands before an HTTP server, and misbehaves as networks do."""

import io
import socket
import socketserver
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPMessage, parse_headers
from typing import NamedTuple, Self

_BLOCK = 1 << 16
_SLOW_DOWN = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message>\
<RequestId>0000000000000000</RequestId><HostId></HostId></Error>"""


class Request(NamedTuple):
    """A request that came. `fate`: passed, failed or cut."""

    method: str
    path: str
    fate: str


class _Fault(NamedTuple):
    fate: str
    method: str | None
    after: int


class TcpProxy(socketserver.ThreadingTCPServer):
    """Passes connections on, requests and answers unchanged; runs while it is entered.

    It knows HTTP/1.1 well enough to tell requests apart on a connection that is kept. Where the
    server cannot be reached, it closes the client's connection.

    Attributes:
        delay: seconds before the first byte of each answer; may change at any time.
        port: where it listens, on 127.0.0.1. url: the same as a URL.
        requests: what came, in the order in which it came.
        answered: bytes of all answers, heads among them.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, target_host: str, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = (target_host, target_port)
        self.delay = 0.0
        self.port: int = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[Request] = []
        self.answered = 0
        self.closing = threading.Event()
        self.open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._faults: deque[_Fault] = deque()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._guard:
            left = list(self.open)
        for sock in left:
            hang_up(sock)

    @property
    def counts(self) -> Counter[str]:
        """How many requests came, by method."""
        with self._guard:
            return Counter(request.method for request in self.requests)

    def fail_next(self, n: int, method: str | None = None) -> None:
        """Answer the next requests with S3's "503 Slow Down", without the server.

        Args:
            n: how many; this adds to what was asked for before.
            method: such requests only, e.g. "PUT".
        """
        self._add(n, _Fault("failed", method, 0))

    def cut_next(self, n: int, after_bytes: int, method: str | None = None) -> None:
        """Let the server have the next requests, but break off its answers.

        Args:
            n: how many; this adds to what was asked for before.
            after_bytes: of an answer, from the first byte of its head, before the connection is
                closed; 0 loses the whole answer.
            method: such requests only, e.g. "PUT".
        """
        self._add(n, _Fault("cut", method, after_bytes))

    def forget(self) -> None:
        """Start anew: no requests, no faults, no delay."""
        with self._guard:
            self.requests.clear()
            self.answered = 0
            self._faults.clear()
            self.delay = 0.0

    def came(self, method: str, path: str) -> _Fault | None:
        """Note a request, and tell what is to go wrong with it."""
        with self._guard:
            fault = next((f for f in self._faults if f.method in (None, method)), None)
            if fault is not None:
                self._faults.remove(fault)
            self.requests.append(Request(method, path, fault.fate if fault else "passed"))
            return fault

    def sent(self, size: int) -> None:
        """Count what is answered."""
        with self._guard:
            self.answered += size

    def watch(self, sock: socket.socket) -> None:
        """Hang up on it when the proxy ends."""
        with self._guard:
            self.open.add(sock)

    def unwatch(self, sock: socket.socket) -> None:
        """It is closed."""
        with self._guard:
            self.open.discard(sock)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is nothing to tell of."""

    def _add(self, n: int, fault: _Fault) -> None:
        with self._guard:
            self._faults.extend([fault] * n)


class _Handler(socketserver.BaseRequestHandler):
    """A client's connection: this thread passes requests on, another passes answers back."""

    server: TcpProxy
    request: socket.socket

    def setup(self) -> None:
        self.client = self.request
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.upstream: socket.socket | None = None
        # What was asked and not answered yet: method, and after how many bytes to cut.
        self.pending: deque[tuple[str, int | None]] = deque()
        self.server.watch(self.client)

    def handle(self) -> None:
        try:
            with suppress(OSError, EOFError, ValueError):
                self._requests()
        finally:
            if self.upstream is not None:
                hang_up(self.upstream)
                self.answers.join()
                self.server.unwatch(self.upstream)
                self.upstream.close()
            self.server.unwatch(self.client)

    def _requests(self) -> None:
        with self.client.makefile("rb") as reader:
            while head := _read_head(reader):
                line, headers = _parse(head)
                method, path = line.split()[:2]
                fault = self.server.came(method, path)
                if fault is not None and fault.fate == "failed":
                    self._refuse(method, headers, reader)
                    return
                upstream = self._connected()
                self.pending.append((method, None if fault is None else fault.after))
                upstream.sendall(head)
                for block in _read_body(reader, headers):
                    upstream.sendall(block)

    def _refuse(self, method: str, headers: HTTPMessage, reader: io.BufferedReader) -> None:
        waits = "100-continue" in headers.get("Expect", "").lower()
        if not waits:
            for _ in _read_body(reader, headers):
                pass
        content = b"" if method == "HEAD" else _SLOW_DOWN
        head = (
            "HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        )
        self.server.closing.wait(self.server.delay)
        self.client.sendall(head.encode() + content)
        self.client.shutdown(socket.SHUT_WR)
        # To close while there is something to read would reset the connection, answer and all.
        self.client.settimeout(1.0)
        while reader.read1(_BLOCK):
            pass

    def _connected(self) -> socket.socket:
        if self.upstream is None:
            self.upstream = socket.create_connection(self.server.target, timeout=5)
            self.upstream.settimeout(None)
            self.upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.server.watch(self.upstream)
            self.answers = threading.Thread(
                target=self._pass_answers, args=(self.upstream,), daemon=True
            )
            self.answers.start()
        return self.upstream

    def _pass_answers(self, upstream: socket.socket) -> None:
        with suppress(OSError, EOFError, ValueError), upstream.makefile("rb") as reader:
            while head := _read_head(reader):
                line, headers = _parse(head)
                status = int(line.split()[1])
                if status < 200:  # 100 Continue: the answer is still to come
                    self.client.sendall(head)
                    continue
                method, cut = self.pending.popleft()
                bare = method == "HEAD" or status in (204, 304)
                self.server.closing.wait(self.server.delay)
                self._send(head, cut)
                sent = len(head)
                for block in () if bare else _read_body(reader, headers, to_end=True):
                    self._send(block, None if cut is None else cut - sent)
                    sent += len(block)
                if cut is not None:
                    break
        hang_up(self.client)
        hang_up(upstream)

    def _send(self, block: bytes, cut: int | None) -> None:
        self.server.sent(len(block))
        if cut is None or len(block) <= cut:
            self.client.sendall(block)
            return
        self.client.sendall(block[:cut])
        raise EOFError


def hang_up(sock: socket.socket) -> None:
    """End a connection, also for a thread that waits for it."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _read_head(reader: io.BufferedReader) -> bytes:
    """A head with the empty line behind it; nothing where there is no other."""
    lines = []
    while line := reader.readline(_BLOCK):
        lines.append(line)
        if not line.strip():
            return b"".join(lines)
    return b""


def _parse(head: bytes) -> tuple[str, HTTPMessage]:
    line, _, rest = head.partition(b"\n")
    return line.decode("latin-1"), parse_headers(io.BytesIO(rest))


def _read_body(
    reader: io.BufferedReader, headers: HTTPMessage, to_end: bool = False
) -> Iterator[bytes]:
    """A body as it is on the wire; `to_end` where one of unknown length ends the connection."""
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        size = 1
        while size:
            line = _read_line(reader)
            yield line
            size = int(line.partition(b";")[0], 16)
            if size:
                yield from _read_exactly(reader, size + 2)
        while line.strip():  # what may trail, and an empty line
            line = _read_line(reader)
            yield line
    elif "Content-Length" in headers:
        yield from _read_exactly(reader, int(headers["Content-Length"]))
    elif to_end:
        while block := reader.read1(_BLOCK):
            yield block
        raise EOFError


def _read_line(reader: io.BufferedReader) -> bytes:
    line = reader.readline(_BLOCK)
    if not line:
        raise EOFError
    return line


def _read_exactly(reader: io.BufferedReader, size: int) -> Iterator[bytes]:
    while size:
        block = reader.read1(min(size, _BLOCK))
        if not block:
            raise EOFError
        size -= len(block)
        yield block
