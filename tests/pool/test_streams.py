"""Streams: whatever a file is compressed with, its content comes whole or not without an error."""

import bz2
import gzip
import io
import lzma
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.pool import streams
from metacurate.pool.streams import open_stream

CONTENT = random.Random(1).randbytes(3000) + b"a cat on a mat\n" * 2000


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstd,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}
KINDS = {"gz": "gzip", "zst": "zstd", "bz2": "bzip2", "xz": "xz"}
CHECKED = bytes.fromhex("28b52ffd 0458 79 0000 6120636174206f6e2061206d61740a 3fd14f25")
SKIPPABLE = bytes.fromhex("532a4d18 03000000 616263")  # a frame of zstd without content


def write(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def read(path: str, size: int | None = None) -> bytes:
    with open_stream(path) as stream:
        if size is None:
            return bytes(stream.read())
        return b"".join(iter(lambda: stream.read(size), b""))


# ---- content


@pytest.mark.parametrize("size", [None, 1000, 1 << 20])
@pytest.mark.parametrize("ending", ["gz", "GZ", "zst", "bz2", "xz", "XZ"])
def test_compressed(ending: str, size: int | None, tmp_path: Path) -> None:
    compress = COMPRESS[ending.lower()]
    path = write(tmp_path, f"a.csv.{ending}", compress(CONTENT))
    assert read(path, size) == CONTENT


def test_plain(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.csv", CONTENT), 1000) == CONTENT
    assert read(write(tmp_path, "empty.csv", b"")) == b""


@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_uris(protocol: str, ending: str, tmp_path: Path) -> None:
    uri = f"{protocol}://{tmp_path}/a.csv{ending}"
    with fsspec.open(uri, "wb") as file:
        file.write(COMPRESS[ending[1:]](CONTENT) if ending else CONTENT)
    assert read(uri, 1000) == CONTENT


@given(
    members=st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 9)), min_size=1, max_size=5),
    buffer=st.integers(1, 20),
    size=st.none() | st.integers(1, 20),
)
@example(members=[(b"", 0)], buffer=1, size=None)
@example(members=[(b"a", 50), (b"b", 50)], buffer=7, size=3)
@example(members=[(bytes(10_000), 1)], buffer=1000, size=5000)
def test_members_and_padding(
    members: list[tuple[bytes, int]],
    buffer: int,
    size: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("members")
    padded = b"".join(gzip.compress(content) + bytes(zeros) for content, zeros in members)
    content = b"".join(content for content, _ in members)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BUFFER", buffer)
        assert read(write(folder, "a.gz", padded), size) == content


def test_frames_of_zstd(tmp_path: Path) -> None:
    frames = SKIPPABLE + zstd(CONTENT) + SKIPPABLE + zstd(b"") + zstd(b"end") + SKIPPABLE
    assert read(write(tmp_path, "a.zst", frames)) == CONTENT + b"end"
    assert read(write(tmp_path, "none.zst", zstd(b""))) == b""


@pytest.mark.parametrize(
    ("ending", "padding"), [("bz2", b""), ("xz", b""), ("xz", bytes(4)), ("xz", bytes(400_000))]
)
@given(
    contents=st.lists(st.binary(max_size=40), min_size=1, max_size=5),
    chunk=st.integers(1, 20),
    size=st.none() | st.integers(1, 20),
)
@example(contents=[b"", bytes(100_000)], chunk=7, size=5000)
def test_streams_and_padding(
    ending: str,
    padding: bytes,
    contents: list[bytes],
    chunk: int,
    size: int | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("streams")
    data = b"".join(COMPRESS[ending](content) + padding for content in contents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk if len(data) < 10_000 else 100_000)
        assert read(write(folder, f"a.{ending}", data), size) == b"".join(contents)


@pytest.mark.parametrize("ending", COMPRESS)
def test_by_content(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, "words.txt", COMPRESS[ending](CONTENT))
    with open_stream(path, by_content=True) as stream:
        assert stream.read() == CONTENT
    assert read(path) == COMPRESS[ending](CONTENT)
    Path(path).write_bytes(COMPRESS[ending](CONTENT)[:-20])
    with (
        open_stream(path, by_content=True) as stream,
        pytest.raises(OSError, match=f"^the {KINDS[ending]} stream is cut short$"),
    ):
        stream.read()


@pytest.mark.parametrize("data", [b"", b"B", b"BZhello", b"the 1\n"])
def test_plain_by_content(data: bytes, tmp_path: Path) -> None:
    with open_stream(write(tmp_path, "words.txt", data), by_content=True) as stream:
        assert stream.read() == data


def test_memory_is_bounded(tmp_path: Path) -> None:
    for ending, compress in COMPRESS.items():
        path = write(tmp_path, f"bomb.{ending}", compress(bytes(1 << 26)))
        before = pa.total_allocated_bytes()
        with open_stream(path) as stream:
            assert stream.read(100) == bytes(100)
            assert pa.total_allocated_bytes() - before < 1 << 22


@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_closing_closes_the_file(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[pa.NativeFile] = []

    def note(path: str) -> pa.NativeFile:
        opened.append(real(path))
        return opened[-1]

    real = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", note)
    data = COMPRESS[ending[1:]](CONTENT) if ending else CONTENT
    with open_stream(write(tmp_path, f"a{ending}", data)) as stream:
        stream.read(10)
    assert [file.closed for file in opened] == [True]


# ---- what is broken


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("size", [None, 500])
def test_cut_short_anywhere(ending: str, size: int | None, tmp_path: Path) -> None:
    one = COMPRESS[ending](CONTENT)
    whole = one + one
    places = {*range(1, len(whole), 100), *range(len(whole) - 12, len(whole))}
    for place in sorted(places - {len(one)}):
        path = write(tmp_path, f"a.{ending}", whole[:place])
        with pytest.raises(OSError, match=f"^the {KINDS[ending]} stream is cut short$"):
            read(path, size)


@pytest.mark.parametrize("garbage", [b"ga", b"garbage" * 20_000, b"\x1f ", b"\0\0ga", b"BZhg"])
@pytest.mark.parametrize("ending", COMPRESS)
def test_garbage_after_the_end(ending: str, garbage: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, f"a.{ending}", COMPRESS[ending](b"short") + garbage)
    with pytest.raises(OSError, match=f"^garbage after the end of the {KINDS[ending]} stream$"):
        read(path)


@pytest.mark.parametrize("ending", ["zst", "bz2"])
def test_zeros_are_no_padding(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"a.{ending}", COMPRESS[ending](CONTENT) + bytes(1000))
    with pytest.raises(OSError, match=r"^garbage after the end"):
        read(path)


@pytest.mark.parametrize("data", [b"url,text\n" * 100, b"\0\0\0\0\0", b"\xff\xff\xff\xff"])
@pytest.mark.parametrize("ending", COMPRESS)
def test_not_compressed(ending: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"^is not {KINDS[ending]} by its content$"):
        read(write(tmp_path, f"a.{ending}", data))


@pytest.mark.parametrize("ending", COMPRESS)
def test_empty(ending: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^the file is empty$"):
        read(write(tmp_path, f"a.{ending}", b""))


@pytest.mark.parametrize("place", [-15, -10, -1])
def test_damaged_zstd(place: int, tmp_path: Path) -> None:
    """Its checksum is optional: the command line tool writes one, Arrow does not."""
    assert read(write(tmp_path, "a.zst", CHECKED)) == b"a cat on a mat\n"
    damaged = bytearray(CHECKED)
    damaged[place] ^= 1
    path = write(tmp_path, "a.zst", bytes(damaged))
    with pytest.raises(OSError, match=r"^the zstd stream is damaged: [^\n]+$"):
        read(path)


def test_damaged_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(CONTENT)
    assert whole[-8:-4] == zlib.crc32(CONTENT).to_bytes(4, "little")
    for place, what in [(-5, "CRC check"), (-1, "Incorrect length")]:
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path = write(tmp_path, "a.gz", bytes(damaged))
        with pytest.raises(OSError, match=f"^the gzip stream is damaged: {what}"):
            read(path)


@pytest.mark.parametrize("ending", ["bz2", "xz"])
@pytest.mark.parametrize("before", [b"", CONTENT])
def test_damaged_bzip2_and_xz(ending: str, before: bytes, tmp_path: Path) -> None:
    good = COMPRESS[ending](before) if before else b""
    damaged = bytearray(COMPRESS[ending](CONTENT))
    damaged[len(damaged) // 2] ^= 1
    path = write(tmp_path, f"a.{ending}", good + damaged)
    with pytest.raises(OSError, match=rf"^the {KINDS[ending]} stream is damaged: [^\n]+$"):
        read(path)


def test_xz_that_wants_much_memory(tmp_path: Path) -> None:
    """The file declares its dictionary; a few bytes could claim 4 GB."""
    greedy = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    path = write(tmp_path, "a.xz", lzma.compress(b"a" * 100, filters=greedy))
    with pytest.raises(OSError, match=r"^the xz stream is damaged: Memory usage limit exceeded$"):
        read(path)


class Failing(io.BytesIO):
    """A file of a store that goes away."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if not content:
            raise ConnectionResetError("the store has gone")
        return content

    def open(self) -> "Failing":
        return self


@pytest.mark.parametrize("ending", ["", ".gz", ".zst", ".bz2", ".xz"])
def test_errors_of_the_storage_pass(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = COMPRESS[ending[1:]](CONTENT)[:1000] if ending else CONTENT[:1000]

    store = fsspec.filesystem("memory", skip_instance_cache=True)
    monkeypatch.setattr(store, "open", lambda *args: Failing(data))
    monkeypatch.setattr(streams, "locate", lambda path: (store, path))
    with pytest.raises(OSError, match="the store has gone"):
        read(f"s3://a{ending}", 500)


def test_missing(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.gz"):
        with pytest.raises(FileNotFoundError):
            open_stream(str(tmp_path / name))
    with pytest.raises(OSError, match="directory"):
        read(str(tmp_path))
