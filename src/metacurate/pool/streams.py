"""Files as streams of bytes, from any storage, decompressed as they are read."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from metacurate.engine.stores import locate
from metacurate.errors import first_line

BUFFER = 1 << 18  # bytes of content that are read at a time, for the sake of small reads
CHUNK = 1 << 18  # bytes of a compressed file that are read at a time
KINDS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}
MOST_XZ_MEMORY = 256 << 20  # bytes; the file says what it needs, and xz -9 needs 65 MB
MAGICS = {
    "gzip": (b"\x1f\x8b",),
    "bzip2": tuple(b"BZh%d" % level for level in range(1, 10)),
    "xz": (b"\xfd7zX",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + i, 0x2A, 0x4D, 0x18]) for i in range(16))),
}  # how files begin: of zstd's, also frames without content

OTHER_KINDS = {
    b"\xff\xfe": "UTF-16, not UTF-8",
    b"\xfe\xff": "UTF-16, not UTF-8",
    b"PAR1\x15": "Parquet by its content",
    b"\x1f\x8b": "gzip by its content",
    b"\x28\xb5\x2f\xfd": "zstd by its content",
    b"PK\x03\x04": "zip by its content",
}  # by their first bytes


class DamagedError(OSError):
    """The content of a compressed file is damaged, or cut short; the storage is not to blame."""


def refuse_other_kinds(beginning: bytes) -> None:
    """Refuse a file that is no text of UTF-8, and no tar.

    Args:
        beginning: its first bytes, decompressed.

    Raises:
        ValueError: telling what it is.
    """
    for magic, kind in OTHER_KINDS.items():
        if beginning.startswith(magic):
            raise ValueError(f"is {kind}")


def open_stream(path: str, *, by_content: bool = False) -> pa.NativeFile:
    """Open a file to be read from its beginning to its end, in bounded memory.

    What ends in .gz, .zst, .bz2 or .xz is decompressed on the way, all members, frames or streams
    of it. Zeros that pad the end of a gzip or xz file are no content, as for gzip(1) and xz(1).

    Args:
        path: path or URI.
        by_content: also decompress a file of another ending that begins as a compressed one.

    Returns:
        A readable stream. Its reads raise DamagedError, an OSError whose message is one line, where
        a compressed file is empty, cut short or damaged, followed by garbage, or not compressed.

    Raises:
        OSError: when the file can't be opened.
    """
    if "://" in path:
        filesystem, name = locate(path)
        stream = pa.PythonFile(filesystem.open(name, "rb"), mode="r")
    else:
        stream = pa.OSFile(path)
    kind = KINDS.get(path.lower()[path.rfind(".") :])
    if kind is None and not by_content:
        return stream
    beginning = stream.read(4)
    stream.seek(0)
    if kind is None:
        kind = next((name for name in MAGICS if beginning.startswith(MAGICS[name])), None)
    if kind is None:
        return stream
    if not beginning:
        raise DamagedError("the file is empty")
    if len(beginning) < 4:
        raise DamagedError(f"the {kind} stream is cut short")
    if not beginning.startswith(MAGICS[kind]):
        raise DamagedError(f"is not {kind} by its content")
    content: Any
    if kind == "gzip":  # Arrow's would refuse padding, and can't tell garbage from damage
        content = gzip.GzipFile(fileobj=stream)
    elif kind in DECOMPRESSORS:
        content = _Streams(stream, kind)
    else:
        content = pa.CompressedInputStream(stream, "zstd")
    return pa.BufferedInputStream(
        pa.PythonFile(_Decompressed(content, stream, kind), mode="r"), BUFFER
    )


class _Decompressed(io.RawIOBase):
    """Content as a library decompresses it, with its errors in plain words."""

    def __init__(self, content: Any, source: pa.NativeFile, kind: str) -> None:
        self._content = content
        self._source = source
        self._kind = kind

    def readable(self) -> bool:
        """Yes."""
        return True

    def close(self) -> None:
        """Close the compressed file, too."""
        self._content.close()
        self._source.close()
        super().close()

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, at most `size`; none at the end.

        Raises:
            DamagedError: when the file is cut short, damaged, or has more behind it.
            OSError: when it can't be read.
        """
        try:
            content: bytes = self._content.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
            raise DamagedError(self._reason(first_line(error))) from error
        except OSError as error:  # Arrow's of zstd, or the storage's
            message = first_line(error)
            of_data = "ZSTD", "Truncated", "Invalid data stream"  # and not of the storage
            if any(part in message for part in of_data):
                raise DamagedError(self._reason(message)) from error
            if error.errno is not None:
                raise
            raise OSError(message) from error
        return content

    def _reason(self, message: str) -> str:
        if "Truncated" in message or "before the end-of-stream" in message:
            return f"the {self._kind} stream is cut short"
        if any(part in message for part in ("Not a gzipped file", "Unknown frame", "no stream")):
            return f"garbage after the end of the {self._kind} stream"
        return f"the {self._kind} stream is damaged: {message.split(': ')[-1]}"


def _new_xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, MOST_XZ_MEMORY)


DECOMPRESSORS: dict[str, Callable[[], Any]] = {"bzip2": bz2.BZ2Decompressor, "xz": _new_xz}


class _Streams:
    """The content of compressed streams that stand one after another in a file.

    Python's own bz2 and lzma files end without an error at garbage after a stream.
    """

    def __init__(self, source: pa.NativeFile, kind: str) -> None:
        self._source = source
        self._kind = kind
        self._decompressor = DECOMPRESSORS[kind]()
        self._data = b""  # read, not yet given to the decompressor

    def close(self) -> None:
        """Nothing is open but the source."""

    def read(self, size: int) -> bytes:
        """Some bytes, at most `size`; none at the end.

        Raises:
            EOFError: when the file is cut short.
            OSError, LZMAError: when it is damaged, or has more behind it.
        """
        while True:
            if self._decompressor.eof and not self._next_stream():
                return b""
            if self._decompressor.needs_input and not self._data:
                self._data = self._source.read(CHUNK)
                if not self._data:
                    raise EOFError("before the end-of-stream marker")
            data, self._data = self._data, b""
            content: bytes = self._decompressor.decompress(data, size)
            if content:
                return content

    def _next_stream(self) -> bool:
        """Go on to the stream behind the one that has ended, if there is one."""
        data = self._decompressor.unused_data
        while True:
            if self._kind == "xz":  # pads with zeros
                data = data.lstrip(b"\0")
            if len(data) >= 4:
                break
            more = self._source.read(CHUNK)
            if not more:
                break
            data += more
        if not data:
            return False
        if not data.startswith(MAGICS[self._kind]):
            is_cut = any(magic.startswith(data) for magic in MAGICS[self._kind])
            raise EOFError("before the end-of-stream marker" if is_cut else "no stream")
        self._data = data
        self._decompressor = DECOMPRESSORS[self._kind]()
        return True
