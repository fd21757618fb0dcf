"""Reading the body of an answer: within limits of bytes and of speed, decompressed or not."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import FetchError, Status

LARGE_BYTES = 2 << 20
LARGE_AT_ONCE = 16
EITHER = 32 + zlib.MAX_WBITS  # zlib tells gzip's header from its own


class Stream(Protocol):
    """The bytes of an answer, as they come."""

    async def readany(self) -> bytes:
        """What is there, or none at the end."""


async def read_body(
    stream: Stream,
    headers: Mapping[str, str],
    limits: FetchLimits,
    take_large: Callable[[], Awaitable[object]],
) -> bytes:
    """Read a whole body.

    Args:
        stream: of its bytes. headers: of the answer. limits: of bytes and of speed.
        take_large: waits until one more body may have more than LARGE_BYTES: so that all that are
            held at once fit into memory.

    Returns:
        The bytes, decompressed where need be.

    Raises:
        FetchError: where it is too large, too slow, empty, cut short, or in an unknown coding.
    """
    told = headers.get("Content-Length", "")
    if told.isdecimal() and int(told) > limits.max_bytes:
        raise FetchError(Status.TOO_LARGE, f"{told} bytes are announced")
    decoder = _decoder(headers.get("Content-Encoding", ""), limits.max_bytes)
    content: list[bytes] = []
    size = kept = 0
    parts = _Parts(stream, limits)
    is_large = False
    async for part in parts:
        size += len(part)
        if size > limits.max_bytes:
            raise FetchError(Status.TOO_LARGE, f"more than {limits.max_bytes} bytes")
        content.append(part if decoder is None else decoder.feed(part))
        kept += len(content[-1])
        if kept > LARGE_BYTES and not is_large:
            is_large = True
            await take_large()
            parts.begin_anew()
    body = content[0] if len(content) == 1 else b"".join(content)
    if not size:
        raise FetchError(Status.EMPTY, "no bytes")
    if decoder is not None and not decoder.is_whole:
        raise FetchError(Status.TRUNCATED, "the compressed bytes end early", passing=True)
    if not body:
        raise FetchError(Status.EMPTY, "no bytes once it is decompressed")
    return body


class _Parts:
    """The parts of a body, as long as they come fast enough."""

    __slots__ = ("_come", "_least", "_limits", "_loop", "_stream", "_window_end")

    def __init__(self, stream: Stream, limits: FetchLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._least = limits.least_bytes_per_second * limits.window_seconds
        self._loop = asyncio.get_running_loop()
        self._come = 0
        self._window_end = self._loop.time() + limits.window_seconds

    def __aiter__(self) -> "_Parts":
        return self

    async def __anext__(self) -> bytes:
        while True:
            try:
                async with asyncio.timeout_at(self._window_end) as window:
                    part = await self._stream.readany()
            except TimeoutError:
                if not window.expired():
                    raise
                self._begin_window()
                continue
            if not part:
                raise StopAsyncIteration
            if self._loop.time() >= self._window_end:
                self._begin_window()
            self._come += len(part)
            return part

    def begin_anew(self) -> None:
        """Begin a window: what was waited for was not the server."""
        self._come = 0
        self._window_end = self._loop.time() + self._limits.window_seconds

    def _begin_window(self) -> None:
        """Look at what came in a window, and begin the next."""
        if self._come < self._least:
            raise FetchError(
                Status.TOO_SLOW,
                f"{self._come} bytes in {self._limits.window_seconds:g} seconds",
            )
        self.begin_anew()


class _Decoder:
    """Decompresses gzip and deflate, never to more bytes than are allowed."""

    def __init__(self, most: int, window: int) -> None:
        self._left = self._most = most
        self._window = window
        self._zlib = zlib.decompressobj(window)
        self._begun = False

    def feed(self, part: bytes) -> bytes:
        """Decompress what came.

        Args:
            part: of the compressed bytes.
        """
        try:
            content = self._feed(part)
        except zlib.error as error:
            raise FetchError(Status.BROKEN_IMAGE, f"can't be decompressed: {error}") from error
        self._left -= len(content)
        if self._left < 0:
            raise FetchError(Status.TOO_LARGE, f"more than {self._most} bytes once decompressed")
        return content

    def _feed(self, part: bytes) -> bytes:
        try:
            content = self._zlib.decompress(part, self._left + 1)
        except zlib.error:
            if self._begun or self._window != EITHER:
                raise
            self._window = -zlib.MAX_WBITS  # deflate without a header, as some servers send it
            self._zlib = zlib.decompressobj(self._window)
            content = self._zlib.decompress(part, self._left + 1)
        self._begun = True
        return content

    @property
    def is_whole(self) -> bool:
        """Whether the end has come."""
        return self._zlib.eof


def _decoder(coding: str, most: int) -> _Decoder | None:
    """What decompresses a body, or None where it is not compressed."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Decoder(most, EITHER)
    raise FetchError(Status.NOT_AN_IMAGE, f"it is sent in a coding that is not read: {coding[:40]}")
