"""One file from a server: resumed where it broke off, and never put together from two.

What has come of NAME lies beside its place as .NAME.part, with what tells the server's file from
any other one in .NAME.part.json.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from urllib3.exceptions import ProtocolError

from metacurate.engine.storage import write_json
from metacurate.errors import InputError
from metacurate.http.client import NO_SIZE, Client, content_length
from metacurate.http.failures import TransientError

Advance = Callable[[int], None]

MAX_NOTE = 1 << 16  # bytes


class Part:
    """What has come of a file.

    Attributes:
        path: where it lies. size: of the whole file, in bytes; None before anybody told.
        checksum: that is published for it, or None.
        most: the number of bytes that there were at the best moment of this run.
    """

    def __init__(self, place: Path, size: int | None = None, checksum: str | None = None) -> None:
        """Look at nothing yet.

        Args:
            place: where the whole file belongs. size, checksum: of it, where they are known.
        """
        self.path = place.parent / f".{place.name}.part"
        self.size = size
        self.checksum = checksum
        self.most = 0
        self._note = place.parent / f".{place.name}.part.json"
        self._place = place

    def have(self) -> int:
        """Number of bytes to go on from; 0 for a part of what may be another file."""
        note = self._read_note()
        known = note.get("size") == self.size and note.get("checksum") == self.checksum
        certain = self.checksum is not None or self._condition(note) is not None
        if self.size is None or not known or not certain or not self.path.is_file():
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

    def begin(self, headers: Mapping[str, str]) -> None:
        """Start anew with an answer that holds the whole file.

        Args:
            headers: of the answer.
        """
        self.discard()
        told = {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
        write_json(self._note, {"size": self.size, "checksum": self.checksum, **told})

    def continues(self, headers: Mapping[str, str], have: int) -> bool:
        """Whether an answer goes on where this part ends, with the same file.

        Args:
            headers: of the answer, a 206. have: number of bytes that are there.
        """
        note = self._read_note()
        told = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", headers.get("Content-Range", "")
        )
        if told is None or (int(told[1]), int(told[2])) != (have, self.size):
            return False
        return all(
            None in (note.get(key), headers.get(name)) or note[key] == headers[name]
            for key, name in (("etag", "ETag"), ("modified", "Last-Modified"))
        )

    def discard(self) -> None:
        """Remove all that has come."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def put_in_place(self, *, to_stay: bool = True) -> None:
        """Give the whole file its name.

        Args:
            to_stay: whether it is to be on the disk by then, for a machine may lose its power.
        """
        if to_stay:
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
        self.path.replace(self._place)
        self._note.unlink(missing_ok=True)

    def _read_note(self) -> dict[str, Any]:
        note = read_json(self._note, MAX_NOTE)
        return note if isinstance(note, dict) else {}

    @staticmethod
    def _condition(note: dict[str, Any]) -> str | None:
        """What If-Range may hold: a weak ETag does not tell one byte from another."""
        etag = note.get("etag")
        if isinstance(etag, str) and not etag.startswith("W/"):
            return etag
        modified = note.get("modified")
        return modified if isinstance(modified, str) else None


def complete(
    client: Client,
    url: str,
    part: Part,
    advance: Advance = lambda _: None,
    *,
    connects: int | None = None,
) -> None:
    """Get all that is missing of a file.

    Args:
        client: for requests. url: of the file.
        part: what has come of it; its size becomes what the server says last, where no checksum
            is published.
        advance: told of bytes; what has to come once more is taken back.
        connects: as for `Client.persist`.

    Raises:
        UnreachableError: when no connection comes about.
        InputError: when the file can't be had, or is not the one that is meant.
        OSError: when the part can't be written.
        StoppedError: when the run is to end.
    """
    client.persist(url, lambda: _receive(client, url, part, advance), connects=connects)


def _receive(client: Client, url: str, part: Part, advance: Advance) -> None:
    """Send one request for what is missing of a file, and keep what comes.

    Raises:
        TransientError: when some of it is still missing.
        InputError: when the server's file is not the one that is meant.
    """
    have = part.have()
    if part.size and have == part.size:
        return
    with client.open("GET", url, part.request(have)) as response:
        if response.status_code == 200:
            advance(-have)
            have = 0
            size = content_length(response.headers)
            if size is None:
                size = part.size
            elif size != part.size and part.checksum is not None:
                raise InputError(url, f"is of {size:,} bytes, but {part.size:,} are published")
            if size is None:
                raise InputError(url, NO_SIZE)
            part.size = size  # it may have changed since we asked
            part.begin(response.headers)
        elif response.status_code != 206 or not part.continues(response.headers, have):
            advance(-have)
            part.discard()
            raise TransientError(ProtocolError("what has come can't be continued"))
        assert part.size is not None
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
        raise InputError(url, f"more comes than the {part.size:,} bytes of the file")


def read_json(path: Path, limit: int) -> Any:
    """What a JSON file of our own holds; None where it is missing or damaged.

    Args:
        path: the file. limit: bytes that are read at most.
    """
    try:
        with path.open("rb") as file:
            return json.loads(file.read(limit))
    except (OSError, ValueError, RecursionError):
        return None
