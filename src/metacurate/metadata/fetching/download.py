"""Files of sources come to their places, and are in place only when right."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metacurate.engine.storage import write_json
from metacurate.errors import MetacurateError
from metacurate.http.client import Client
from metacurate.http.download import Advance, Part, complete, read_json
from metacurate.metadata.fetching.sources import RemoteFile

CHECKSUMS = "checksums.json"
BLOCK = 1 << 20  # bytes that are hashed at a time
MAX_RECORDS = 64 << 20  # bytes of checksums.json


class Checksums:
    """What was verified, so that it need not be read again: checksums.json in the folder."""

    def __init__(self, out: Path) -> None:
        """Read it.

        Args:
            out: the folder of all sources.
        """
        self._out = out
        self._guard = threading.Lock()
        known = read_json(out / CHECKSUMS, MAX_RECORDS)
        self._known: dict[str, Any] = known if isinstance(known, dict) else {}

    def holds(self, file: RemoteFile) -> bool:
        """Whether the file in its place was verified, and has not been touched since.

        Args:
            file: with a checksum.
        """
        known = self._known.get(file.place)
        return isinstance(known, dict) and known == self._record(file)

    def note(self, file: RemoteFile) -> None:
        """Record that the file in its place is right; it has a published checksum.

        Args:
            file: with a checksum.

        Raises:
            MetacurateError: when that can't be written.
        """
        with self._guard:
            self._known[file.place] = self._record(file)
            write_json(self._out / CHECKSUMS, dict(sorted(self._known.items())))

    def _record(self, file: RemoteFile) -> dict[str, Any]:
        state = (self._out / file.place).stat()
        published = {} if file.published_as is None else {"published_as": file.published_as}
        return {
            str(file.algorithm): file.checksum,
            **published,
            "bytes": state.st_size,
            "modified_ns": state.st_mtime_ns,
        }


def part_of(file: RemoteFile, out: Path) -> Part:
    """What has come of a file.

    Args:
        file: whose size is known. out: the folder of all sources.
    """
    return Part(out / file.place, file.size, file.checksum)


def download(
    client: Client, file: RemoteFile, out: Path, checksums: Checksums, advance: Advance
) -> int:
    """Bring a file to its place; what an earlier run left of it is made use of.

    Args:
        client: for requests. file: whose size is known. out: the folder of all sources.
        checksums: told of what is verified. advance: told of bytes; what has to come once more
            is taken back.

    Returns:
        Its size in bytes: what the server says last, where none is published.

    Raises:
        MetacurateError: when it can't be had, is not what its checksum tells twice in a row, or
            can't be written.
        StoppedError: when the run is to end.
    """
    part = part_of(file, out)
    try:
        advance(part.have())
        for last in (False, True):
            complete(client, file.url, part, advance)
            if file.algorithm is None:
                break
            found = digest(part.path, file.algorithm, client.check)
            if found == file.checksum:
                break
            part.discard()
            advance(-_size(part))
            if last:
                raise MetacurateError(
                    f"{file.url}: {file.algorithm} is {found}, but {file.checksum} is published"
                )
        part.put_in_place()
    except OSError as error:
        raise MetacurateError(f"{part.path}: can't be written: {error}") from error
    if file.algorithm is not None:
        checksums.note(file)
    return _size(part)


def _size(part: Part) -> int:
    assert part.size is not None
    return part.size


def digest(path: Path, algorithm: str, check: Callable[[], None]) -> str:
    """The checksum of a file, in hex.

    Args:
        path: the file. algorithm: sha1 or sha256. check: called now and then; may raise.
    """
    found = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            check()
            found.update(block)
    return found.hexdigest()
