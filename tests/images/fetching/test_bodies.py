import asyncio
import gzip
import zlib
from contextlib import AsyncExitStack

import pytest

from metacurate.images.fetching import bodies
from metacurate.images.fetching.bodies import read_body
from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import FetchError, Status

LIMITS = FetchLimits(max_bytes=1000, window_seconds=0.1, least_bytes_per_second=100)
CONTENT = bytes(range(250)) * 3


class Parts:
    """A stream of prepared parts, with pauses before each."""

    def __init__(self, parts: list[bytes], pause: float = 0.0) -> None:
        self.parts = [*parts, b""]
        self.pause = pause

    async def readany(self) -> bytes:
        if self.pause:
            await asyncio.sleep(self.pause)
        return self.parts.pop(0)


def read(parts: list[bytes], pause: float = 0.0, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(read_body(Parts(parts, pause), named, LIMITS, asyncio.Semaphore().acquire))


def status_of(parts: list[bytes], pause: float = 0.0, **headers: str) -> Status:
    with pytest.raises(FetchError) as error:
        read(parts, pause, **headers)
    return error.value.status


def split(content: bytes, size: int = 7) -> list[bytes]:
    return [content[i : i + size] for i in range(0, len(content), size)]


def test_parts_are_joined() -> None:
    assert read([CONTENT]) == CONTENT
    assert read(split(CONTENT)) == CONTENT


def test_nothing_is_read_where_too_much_is_announced() -> None:
    assert status_of([], Content_Length="1001") is Status.TOO_LARGE
    assert read([CONTENT], Content_Length="750") == CONTENT


def test_too_much_ends_it_as_it_comes() -> None:
    assert read([bytes(1000)]) == bytes(1000)
    assert status_of([bytes(10)] * 101 + [b"never read"]) is Status.TOO_LARGE


def test_no_bytes_are_empty() -> None:
    assert status_of([]) is Status.EMPTY
    assert status_of([gzip.compress(b"")], Content_Encoding="gzip") is Status.EMPTY


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_compressed_is_decompressed(size: int) -> None:
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(CONTENT) + packer.flush()
    for coding, packed in (
        ("gzip", gzip.compress(CONTENT)), ("X-Gzip", gzip.compress(CONTENT)),
        ("deflate", zlib.compress(CONTENT)), ("identity", CONTENT),
    ):  # fmt: skip
        assert read(split(packed, size), Content_Encoding=coding) == CONTENT
    if size > 1:  # of a single byte zlib can't tell that a header is missing
        assert read(split(raw, size), Content_Encoding="deflate") == CONTENT


@pytest.mark.parametrize("size", [1, 10_000])
def test_a_bomb_is_never_decompressed_whole(size: int) -> None:
    bomb = gzip.compress(bytes(900_000))
    assert len(bomb) < 1000
    assert status_of(split(bomb, size), Content_Encoding="gzip") is Status.TOO_LARGE


def test_compressed_bytes_that_end_early_or_are_broken() -> None:
    packed = gzip.compress(CONTENT)
    assert status_of([packed[:-9]], Content_Encoding="gzip") is Status.TRUNCATED
    assert status_of([b"no gzip at all"], Content_Encoding="gzip") is Status.BROKEN_IMAGE


def test_other_codings_are_not_read() -> None:
    for coding in ("br", "zstd", "gzip, gzip", "compress"):
        assert status_of([CONTENT], Content_Encoding=coding) is Status.NOT_AN_IMAGE


def test_a_stream_that_trickles_is_too_slow() -> None:
    assert status_of([b"a"] * 100, 0.03) is Status.TOO_SLOW
    assert status_of([CONTENT, b"", b""], 0.25) is Status.TOO_SLOW


def test_a_stream_that_is_fast_enough_may_take_long() -> None:
    assert read([bytes(20)] * 10, 0.04) == bytes(200)


def test_of_large_bodies_few_go_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LARGE_BYTES", 100)
    begun: list[str] = []

    class Told(Parts):
        def __init__(self, name: str, parts: list[bytes]) -> None:
            super().__init__(parts, 0.01)
            self.name = name

        async def readany(self) -> bytes:
            begun.append(self.name)
            return await super().readany()

    async def read_all() -> list[bytes]:
        large = asyncio.Semaphore(1)
        streams = [Told(name, [bytes(60)] * 4) for name in "ab"] + [Told("c", [bytes(20)] * 4)]

        async def read_one(stream: Told) -> bytes:
            async with AsyncExitStack() as held:
                return await read_body(stream, {}, LIMITS, lambda: held.enter_async_context(large))

        return await asyncio.gather(*map(read_one, streams))

    assert [len(body) for body in asyncio.run(read_all())] == [240, 240, 80]
    assert begun.count("a") == begun.count("b") == begun.count("c") == 5
    first, second = ("a", "b") if begun.index("a") < begun.index("b") else ("b", "a")
    ends = {name: max(i for i, one in enumerate(begun) if one == name) for name in "abc"}
    thirds = [i for i, one in enumerate(begun) if one == second]
    assert thirds[2] > ends[first]  # it has two parts, and waits with the third
    assert ends["c"] < thirds[2]
