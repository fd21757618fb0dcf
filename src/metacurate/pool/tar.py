"""Tars, read from their beginning to their end, and no damage taken for the end."""

import re
import tarfile
from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa

from metacurate.pool.streams import refuse_other_kinds

MEMBER_LIMIT = 16 << 20  # bytes of a .txt or .json, and of a header that tells a long name
SKIP = 1 << 20  # bytes that are read at a time to pass over a member

NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)  # key, ending
META = re.compile(r"__[^/]*__(/|$)")  # what webdataset passes over


def fault_of_name(name: str) -> str | None:
    """Why a member's name is refused, or None.

    Args:
        name: as tarfile decodes it.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return f"member {name!r}: its name is no UTF-8"
    if name.startswith("/"):
        return f"member {name!r}: its name is absolute"
    if ".." in name.split("/"):
        return f"member {name!r}: its name leads out of the tar"
    return None


class TarReader:
    """A tar, read from its beginning to its end.

    Python's tarfile takes a damaged header behind the first, or none, for the end.
    """

    def __init__(self, stream: pa.NativeFile, member_limit: int) -> None:
        """Read nothing yet.

        Args:
            stream: the tar, decompressed. member_limit: of what is read of a member, in bytes.
        """
        self._file = _Forward(stream, member_limit)

    def members(self) -> Iterator[tarfile.TarInfo]:
        """The headers of all members.

        Raises:
            ValueError: when it is no tar, or not whole.
        """
        file = self._file
        try:
            tar = tarfile.TarFile(
                fileobj=cast("Any", file), encoding="utf-8", errors="surrogateescape"
            )
            while (member := tar.next()) is not None:
                yield member
                cast("Any", tar).members.clear()  # else it keeps them all
        except (tarfile.TarError, RecursionError) as error:
            if file.first and file.position > 512:
                reason = "is cut short" if file.is_short else "is damaged"
                raise ValueError(f"the tar {reason} at byte {file.position}") from error
            refuse_other_kinds(file.first)
            raise ValueError(
                "is no tar by its content" if file.first else "the file is empty"
            ) from error
        if len(file.last) < 512:
            raise ValueError("the tar is cut short: its end mark is missing")
        if file.last.strip(b"\0"):
            raise ValueError(f"the tar is damaged at byte {file.position - 512}: no header")
        file.finish()

    def content(self, member: tarfile.TarInfo) -> bytes:
        """What is in a member, the one that was given last.

        Raises:
            ValueError: when it isn't whole.
        """
        self._file.seek(member.offset_data)
        content = self._file.read(member.size)
        if len(content) < member.size:
            raise ValueError(f"the tar is cut short at byte {self._file.position}")
        return content


class _Forward:
    """A stream as tarfile wants it: a file that seeks, though only forward.

    Attributes:
        position: in bytes.
        first: the first bytes that were read. last: the latest.
        is_short: whether there were fewer than asked for.
    """

    def __init__(self, stream: pa.NativeFile, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._can_seek = stream.seekable()
        self.position = 0
        self.first = self.last = b""
        self.is_short = False

    def tell(self) -> int:
        """The position."""
        return self.position

    def read(self, size: int) -> bytes:
        """Bytes from the position, fewer only at the end."""
        if not 0 <= size <= self._limit:
            raise ValueError(f"the tar is damaged at byte {self.position}: a header is too large")
        self.last = self._stream.read(size)
        self.first = self.first or self.last
        self.position += len(self.last)
        self.is_short = len(self.last) < size
        return self.last

    def seek(self, position: int) -> None:
        """Pass over bytes; at the end of the file, that many fewer."""
        if position < self.position:
            raise ValueError(f"the tar is damaged at byte {self.position}: a size is negative")
        if self._can_seek:
            self.position = min(position, self._stream.size())
            self._stream.seek(self.position)
            return
        while missing := position - self.position:
            skipped = len(self._stream.read(min(missing, SKIP)))
            self.position += skipped
            if not skipped:
                return

    def finish(self) -> None:
        """Read on to the end, which only zeros may pad.

        Raises:
            ValueError: when there is anything else.
        """
        while rest := self._stream.read(SKIP):
            if rest.strip(b"\0"):
                raise ValueError("there is more behind the end of the tar: another tar?")
