"""One file from a server to its place: resumed where it broke off, and in place only when right.

What has come of NAME lies beside its place as .NAME.part, with what tells the server's file from
any other one in .NAME.part.json. So a file is never put together from two.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from urllib3.exceptions import ProtocolError

from metacurate.engine.storage import write_json
from metacurate.errors import MetacurateError
from metacurate.metadata.fetching.client import Client, content_length
from metacurate.metadata.fetching.failures import TransientError
from metacurate.metadata.fetching.sources import RemoteFile

Advance = Callable[[int], None]

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
        known = _read_json(out / CHECKSUMS, MAX_RECORDS)
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


class Part:
    """What has come of a file.

    Attributes:
        path: where it lies. size: of the whole file, in bytes.
        most: the number of bytes that there were at the best moment of this run.
    """

    def __init__(self, out: Path, file: RemoteFile) -> None:
        """Look at nothing yet.

        Args:
            out: the folder of all sources. file: whose size is known.
        """
        assert file.size is not None
        folder = out / file.source
        self.path = folder / f".{file.name}.part"
        self.size = file.size
        self.most = 0
        self._note = folder / f".{file.name}.part.json"
        self._place = folder / file.name
        self._checksum = file.checksum

    def have(self) -> int:
        """Number of bytes to go on from; 0 for a part of what may be another file."""
        note = self._read_note()
        known = note.get("size") == self.size and note.get("checksum") == self._checksum
        certain = self._checksum is not None or self._condition(note) is not None
        if not known or not certain or not self.path.is_file():
            return 0
        have = self.path.stat().st_size
        return have if have <= self.size else 0

    def request(self, have: int) -> dict[str, str]:
        """The headers that ask for what is missing, as long as the server's file is the same.

        Args:
            have: number of bytes that are there.
        """
        if have == 0:
            return {}
        condition = self._condition(self._read_note())
        return {
            "Range": f"bytes={have}-",
            **({} if condition is None else {"If-Range": condition}),
        }

    def begin(self, response: requests.Response) -> None:
        """Start anew with an answer that holds the whole file.

        Args:
            response: of the server.
        """
        self.discard()
        told = {"etag": response.headers.get("ETag")}
        told["modified"] = response.headers.get("Last-Modified")
        write_json(self._note, {"size": self.size, "checksum": self._checksum, **told})

    def continues(self, response: requests.Response, have: int) -> bool:
        """Whether an answer goes on where this part ends, with the same file.

        Args:
            response: of the server, 206. have: number of bytes that are there.
        """
        note = self._read_note()
        told = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})",
            response.headers.get("Content-Range", ""),
        )
        if told is None or (int(told[1]), int(told[2])) != (have, self.size):
            return False
        return all(
            None in (note.get(key), response.headers.get(name))
            or note[key] == response.headers[name]
            for key, name in (("etag", "ETag"), ("modified", "Last-Modified"))
        )

    def discard(self) -> None:
        """Remove all that has come."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def put_in_place(self) -> None:
        """Give the whole file its name, once it is on the disk."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self._place)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> dict[str, Any]:
        note = _read_json(self._note, 1 << 16)
        return note if isinstance(note, dict) else {}

    @staticmethod
    def _condition(note: dict[str, Any]) -> str | None:
        """What If-Range may hold: a weak ETag does not tell one byte from another."""
        etag = note.get("etag")
        if isinstance(etag, str) and not etag.startswith("W/"):
            return etag
        modified = note.get("modified")
        return modified if isinstance(modified, str) else None


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
    part = Part(out, file)
    try:
        advance(part.have())
        for last in (False, True):
            client.persist(file.url, lambda: _receive(client, file, part, advance))
            if file.algorithm is None:
                break
            found = digest(part.path, file.algorithm, client.check)
            if found == file.checksum:
                break
            part.discard()
            advance(-part.size)
            if last:
                raise MetacurateError(
                    f"{file.url}: {file.algorithm} is {found}, but {file.checksum} is published"
                )
        part.put_in_place()
    except OSError as error:
        raise MetacurateError(f"{part.path}: can't be written: {error}") from error
    if file.algorithm is not None:
        checksums.note(file)
    return part.size


def _receive(client: Client, file: RemoteFile, part: Part, advance: Advance) -> None:
    """Send one request for what is missing of a file, and keep what comes.

    Raises:
        TransientError: when some of it is still missing.
        MetacurateError: when the server's file is not the one that is meant.
    """
    have = part.have()
    if have == part.size > 0:
        return
    with client.open("GET", file.url, part.request(have)) as response:
        if response.status_code == 200:
            advance(-have)
            have = 0
            size = content_length(response)
            if size not in (None, part.size) and file.checksum is not None:
                raise MetacurateError(
                    f"{file.url}: is of {size:,} bytes, but {part.size:,} are published"
                )
            part.size = part.size if size is None else size  # it has changed since we asked
            part.begin(response)
        elif response.status_code != 206 or not part.continues(response, have):
            advance(-have)
            part.discard()
            raise TransientError(ProtocolError("what has come can't be continued"))
        try:
            with part.path.open("ab") as target:
                for chunk in client.chunks(response):
                    have += target.write(chunk)
                    advance(len(chunk))
                    if have > part.size:
                        break
            if have < part.size:
                raise TransientError(ProtocolError("the connection broke"))
        except TransientError as error:
            error.gained = max(0, have - part.most)
            part.most = max(part.most, have)
            raise
    if have > part.size:
        advance(-have)
        part.discard()
        raise MetacurateError(f"{file.url}: more comes than the {part.size:,} bytes of the file")


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


def _read_json(path: Path, limit: int) -> Any:
    """What a JSON file of our own holds; None where it is missing or damaged."""
    try:
        with path.open("rb") as file:
            return json.loads(file.read(limit))
    except (OSError, ValueError, RecursionError):
        return None
