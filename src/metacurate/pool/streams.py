"""Files as streams of bytes, from any storage, decompressed as they are read."""

import gzip
import io
import zlib
from typing import Any

import fsspec
import pyarrow as pa

from metacurate.errors import first_line

BUFFER = 1 << 18  # bytes of content that are read at a time, for the sake of small reads
KINDS = {".gz": "gzip", ".zst": "zstd"}
MAGICS = {
    "gzip": (b"\x1f\x8b",),
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


def open_stream(path: str) -> pa.NativeFile:
    """Open a file to be read from its beginning to its end, in bounded memory.

    What ends in .gz or .zst is decompressed on the way, all members or frames of it. Zeros that
    pad the end of a gzip file are no content, as for gzip(1).

    Args:
        path: path or URI.

    Returns:
        A readable stream. Its reads raise OSError, whose message is one line, where a compressed
        file is empty, cut short or damaged, followed by garbage, or not compressed at all.

    Raises:
        OSError: when the file can't be opened.
    """
    remote = fsspec.open(path).open() if "://" in path else None
    stream = pa.OSFile(path) if remote is None else pa.PythonFile(remote, mode="r")
    kind = KINDS.get(path.lower()[path.rfind(".") :])
    if kind is None:
        return stream
    beginning = stream.read(4)
    stream.seek(0)
    if not beginning:
        raise OSError("the file is empty")
    if len(beginning) < 4:
        raise OSError(f"the {kind} stream is cut short")
    if not any(beginning.startswith(magic) for magic in MAGICS[kind]):
        raise OSError(f"is not {kind} by its content")
    content: Any
    if kind == "gzip":  # Arrow's would refuse padding, and can't tell garbage from damage
        content = gzip.GzipFile(fileobj=stream)
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
            OSError: when the file is cut short, damaged, or has more behind it.
        """
        try:
            content: bytes = self._content.read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise OSError(self._reason(first_line(error))) from error
        except OSError as error:  # Arrow's of zstd, or the storage's
            message = first_line(error)
            is_zstd = self._kind == "zstd" and ("ZSTD" in message or "Truncated" in message)
            raise OSError(self._reason(message) if is_zstd else message) from error
        return content

    def _reason(self, message: str) -> str:
        if "Truncated" in message or "before the end-of-stream" in message:
            return f"the {self._kind} stream is cut short"
        if "Not a gzipped file" in message or "Unknown frame descriptor" in message:
            return f"garbage after the end of the {self._kind} stream"
        return f"the {self._kind} stream is damaged: {message.split(': ')[-1]}"
