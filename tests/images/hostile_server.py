"""A web server on this machine that serves images, and misbehaves as web servers do.

It runs in a process of its own, so that it does not slow down who fetches from it, on 127.0.0.1
and, on Linux, on 127.0.0.2 to 127.0.0.9 with the same port: what a server asks of its whole host
can be tried without stopping the rest.

    with HostileServer() as server:
        fetch(server.url("/good/17"))
        assert server.requests["/good/17"] == 1

`good_image(path)` is what it serves there, and CASES names the paths of all that goes wrong.
"""

import asyncio
import email.utils
import gzip
import hashlib
import json
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
MEBI = 1 << 20
SPARE_HOSTS = tuple(f"127.0.0.{last}" for last in range(2, 10))
# What becomes of each path, as metacurate has it, with limits of about a second and a megabyte.
# Those of BUSY ask something of their whole host: ask for them at a spare one.
CASES = {
    "/status/404": "not_found", "/status/410": "not_found", "/status/403": "forbidden",
    "/status/401": "forbidden", "/status/451": "forbidden", "/status/418": "http_error",
    "/status/204": "empty", "/status/206": "http_error", "/status/304": "http_error",
    "/status/500": "server_error", "/status/503": "server_error",
    "/fails-twice": "success",
    "/hangs": "timeout", "/hangs-in-body": "too_slow", "/drip": "too_slow",
    "/headers-drip": "timeout", "/endless": "too_large", "/endless-headers": "bad_answer",
    "/huge-announced": "too_large", "/huge": "too_large", "/huge-header": "bad_answer",
    "/many-headers": "bad_answer", "/invalid": "bad_answer", "/reset": "unreachable",
    "/reset-in-body": "truncated", "/closes": "unreachable",
    "/html": "not_an_image", "/text": "not_an_image", "/svg": "not_an_image",
    "/empty": "empty", "/truncated": "truncated",
    "/cut.jpg": "truncated", "/cut.png": "truncated", "/bomb.png": "too_many_pixels",
    "/gzip-bomb": "too_large", "/gzip": "success", "/deflate": "success",
    "/raw-deflate": "success", "/gzip-cut": "truncated", "/brotli": "not_an_image",
    "/chunked": "success", "/no-length": "success",
    "/redirect": "success", "/redirects/5": "success", "/redirects/6": "too_many_redirects",
    "/redirect-loop": "too_many_redirects",
    "/to/private": "refused_address", "/to/metadata": "refused_address",
    "/to/ipv6-loopback": "refused_address", "/to/mapped": "refused_address",
    "/to/odd": "refused_address", "/to/file": "refused_scheme", "/to/ftp": "refused_scheme",
    "/to/data": "refused_scheme", "/to/nothing": "bad_url", "/to/userinfo": "success",
    "/odd-reason": "not_found", "/odd-robots": "opted_out", "/odd-coding": "not_an_image",
    "/noai": "opted_out", "/noimageai": "opted_out", "/noai-for-others": "success",
}  # fmt: skip
BUSY = {
    "/busy-once": "success", "/busy-date": "success", "/busy-unsaid": "success",
    "/busy-hour": "too_many_requests", "/busy-always": "too_many_requests",
    "/down-once": "success",
}  # fmt: skip
TARGETS = {
    "private": "http://10.0.0.1/a.jpg", "metadata": "http://169.254.169.254/latest/meta-data/",
    "ipv6-loopback": "http://[::1]:{port}/good/1",
    "mapped": "http://[::ffff:10.0.0.1]:{port}/good/1", "odd": "http://2130706433:{port}/good/1",
    "file": "file:///etc/passwd", "ftp": "ftp://127.0.0.1/a.jpg",
    "data": "data:image/png;base64,AAAA", "nothing": "http://[",
    "userinfo": "http://name:password@127.0.0.1:{port}/good/3",
}  # fmt: skip


@lru_cache(10_000)
def good_image(path: str) -> bytes:
    """The image that is served at a path: always the same; formats and sizes differ.

    Args:
        path: "/good/" and anything.
    """
    noise = hashlib.shake_128(path.encode()).digest(8 * 8 * 3 + 3)
    width, height = 64 + noise[0] // 2, 64 + noise[1] // 2
    image = Image.frombytes("RGB", (8, 8), noise[3:]).resize((width, height))
    out = BytesIO()
    image.save(out, FORMATS[noise[2] % 3])
    return out.getvalue()


class HostileServer:
    """The server, while it is entered; it ends with the process that started it.

    Attributes:
        port: where it listens.
    """

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The URL of a path.

        Args:
            path: from "/" on. host: also localhost, or one of SPARE_HOSTS.
        """
        return f"http://{host}:{self.port}{path}"

    @property
    def requests(self) -> dict[str, int]:
        """How many requests came, by path."""
        return Counter(self._ask("/-/report")["requests"])

    @property
    def most_at_once(self) -> dict[str, int]:
        """The most requests that were under way at once, by host."""
        return dict(self._ask("/-/report")["most_at_once"])

    @property
    def starts(self) -> dict[str, list[float]]:
        """When requests came, by host, in seconds from some moment on."""
        return dict(self._ask("/-/report")["starts"])

    @property
    def headers(self) -> dict[str, dict[str, str]]:
        """The headers of the last request, by path; their names are in small letters."""
        return dict(self._ask("/-/report")["headers"])

    def reset(self) -> None:
        """Forget all requests, so that what goes well at the second try fails again."""
        self._ask("/-/reset")

    def _ask(self, path: str) -> Any:
        with urlopen(self.url(path), timeout=10) as answer:
            return json.load(answer)


class _State:
    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        self.starts: dict[str, list[float]] = {}
        self.headers: dict[str, dict[str, str]] = {}


class _Connection:
    """Answers the requests of one connection."""

    def __init__(
        self, state: _State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.state, self.reader, self.writer = state, reader, writer
        self.port = writer.get_extra_info("sockname")[1]

    async def serve(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await self._answer():
                pass
        self.writer.close()

    async def _answer(self) -> bool:
        """Answer a request; whether the connection is good for more."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = lines[0].split(" ")[1]
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if path.startswith("/-/"):
            return self._report(path)
        host = headers.get("host", "").partition(":")[0]
        state = self.state
        state.requests[path] += 1
        state.headers[path] = headers
        state.starts.setdefault(host, []).append(asyncio.get_running_loop().time())
        state.at_once[host] += 1
        state.most_at_once[host] = max(state.most_at_once[host], state.at_once[host])
        try:
            if path.startswith("/good/"):
                self.send(good_image(path))
            elif path.startswith("/slow/"):
                await asyncio.sleep(0.05)
                self.send(good_image(path))
            else:
                await self._misbehave(path, state.requests[path])
            await self.writer.drain()
            return headers.get("connection") != "close" and not self.writer.is_closing()
        finally:
            state.at_once[host] -= 1

    def _report(self, path: str) -> bool:
        if path == "/-/reset":
            vars(self.state).update(vars(_State()))
        self.send(json.dumps(vars(self.state)).encode())
        return True

    def send(self, body: bytes, *headers: str, code: int = 200, length: int | None = None) -> None:
        """Send an answer.

        Args:
            body: what it brings. headers: besides its length. code: its status.
            length: where another one than the body's is announced.
        """
        head = [
            f"HTTP/1.1 {code} Told",
            f"Content-Length: {len(body) if length is None else length}",
        ]
        self.writer.write("\r\n".join([*head, *headers, "", ""]).encode("latin-1") + body)

    def lead(self, to: str) -> None:
        """Send a redirect."""
        self.send(b"", f"Location: {to}", code=302)

    async def forever(self, part: bytes, pause: float = 0.0) -> None:
        """Send something until the client has enough."""
        while not self.writer.is_closing():
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(pause)

    async def _misbehave(self, path: str, times: int) -> None:
        good = good_image(path)
        head = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
        kind, _, detail = path[1:].partition("/")
        close = False
        match kind.partition("?")[0]:
            case "status":
                code = int(detail)
                body = b"" if code in (204, 304) else good
                self.send(body, code=code)
            case "fails-twice":
                self.send(good, code=200 if times > 2 else 500)
            case "busy-once" | "busy-date" | "busy-unsaid" | "down-once" if times > 1:
                self.send(good)
            case "busy-once":
                self.send(b"", "Retry-After: 1", code=429)
            case "down-once":
                self.send(b"", "Retry-After: 1", code=503)
            case "busy-date":
                then = email.utils.formatdate(int(time.time()) + 2, usegmt=True)
                self.send(b"", f"Retry-After: {then}", code=429)
            case "busy-unsaid" | "busy-always":
                self.send(b"", code=429)
            case "busy-hour":
                self.send(b"", "Retry-After: 3600", code=429)
            case "hangs":
                await asyncio.sleep(3600)
            case "hangs-in-body":
                self.send(good[:20], length=len(good))
                await self.writer.drain()
                await asyncio.sleep(3600)
            case "drip":
                self.send(b"", length=MEBI // 2)
                await self.forever(b"\xff", 0.1)
            case "headers-drip":
                self.writer.write(head.encode())
                await self.forever(b"X-More: 1\r\n", 0.2)
            case "endless":
                self.writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
                await self.forever(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
            case "endless-headers":
                self.writer.write(head.encode())
                await self.forever(b"X-More: 1\r\n" * 100)
            case "huge-announced":
                self.send(b"", length=1 << 40)
                await self.forever(bytes(1 << 16))
            case "huge":
                self.writer.write(head.encode() + b"\r\n")
                for _ in range(64):
                    self.writer.write(bytes(MEBI))
                    await self.writer.drain()
                close = True
            case "huge-header":
                self.send(good, "X-Huge: " + "h" * 100_000)
            case "many-headers":
                self.send(good, *(f"X-Many-{n}: 1" for n in range(1000)))
            case "invalid":
                self.writer.write(b"this is no HTTP\r\n\r\n")
                close = True
            case "reset" | "reset-in-body":
                if kind == "reset-in-body":
                    self.send(good[:50], length=len(good))
                    await self.writer.drain()
                    await asyncio.sleep(0.2)  # a reset drops what is not read yet
                linger = struct.pack("ii", 1, 0)
                self.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                self.writer.transport.abort()
            case "closes":
                close = True
            case "html":
                self.send(b"<!DOCTYPE html><title>Not here</title>", "Content-Type: image/jpeg")
            case "text":
                self.send(b"BM, and then some text that is no image at all")
            case "svg":
                self.send(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
            case "empty":
                self.send(b"")
            case "truncated":
                self.send(good[: len(good) // 2], length=len(good))
                close = True
            case "cut.jpg" | "cut.png":
                out = BytesIO()
                image = Image.open(BytesIO(good)).convert("RGB")
                image.save(out, "JPEG" if kind == "cut.jpg" else "PNG")
                self.send(out.getvalue()[: out.tell() * 2 // 3])
            case "bomb.png":
                self.send(png_bomb())
            case "gzip-bomb":
                self.send(gzip_bomb(), "Content-Encoding: gzip")
            case "gzip":
                self.send(gzip.compress(good), "Content-Encoding: gzip")
            case "gzip-cut":
                self.send(gzip.compress(good)[:-20], "Content-Encoding: gzip")
            case "deflate":
                self.send(zlib.compress(good), "Content-Encoding: deflate")
            case "raw-deflate":
                packer = zlib.compressobj(wbits=-15)
                self.send(packer.compress(good) + packer.flush(), "Content-Encoding: deflate")
            case "brotli":
                self.send(good, "Content-Encoding: br")
            case "chunked":
                self.writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(good), 100):
                    part = good[start : start + 100]
                    self.writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                self.writer.write(b"0\r\n\r\n")
            case "no-length":
                self.writer.write(head.encode() + b"\r\n" + good)
                close = True
            case "redirect":
                self.lead("/good/1")
            case "redirects":
                left = int(detail) - 1
                self.lead(f"/redirects/{left}" if left else "/good/1")
            case "redirect-loop":
                self.lead("/redirect-loop")
            case "to":
                self.lead(TARGETS[detail].format(port=self.port))
            case "noai":
                self.send(good, "X-Robots-Tag: noindex", "X-Robots-Tag: all, NoAI")
            case "noimageai":
                self.send(good, "x-robots-tag: metacurate: noimageai")
            case "odd-robots":
                self.send(good, "X-Robots-Tag: noai, caf\xe9")
            case "odd-coding":
                self.send(good, "Content-Encoding: \xff\xe9")
            case "odd-reason":
                self.writer.write(
                    b"HTTP/1.1 404 Pas trouv\xe9 \x1b[1m\r\nContent-Length: 0\r\n\r\n"
                )
            case "noai-for-others":
                self.send(good, "X-Robots-Tag: otherbot: noai, noimageai")
            case _:
                self.send(b"", code=404)
        if close:
            await self.writer.drain()
            self.writer.close()


def png_bomb(side: int = 50_000) -> bytes:
    """A small PNG whose header says that it is huge, as its pixels then are.

    Args:
        side: of the square, in pixels.
    """

    def chunk(name: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(side * (side + 1), MEBI)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def gzip_bomb(size: int = 256 * MEBI) -> bytes:
    """A gzip file of few bytes that becomes large.

    Args:
        size: bytes of what it becomes, a multiple of a megabyte.
    """
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(MEBI)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08" + bytes(7) + block * (size // MEBI) + packer.flush() + bytes(8)


async def _serve() -> None:
    state = _State()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Connection(state, reader, writer).serve()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    for host in SPARE_HOSTS if sys.platform == "linux" else ():
        await asyncio.start_server(connected, host, port, backlog=1024)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)  # it ends with the tests


if __name__ == "__main__":
    asyncio.run(_serve())
