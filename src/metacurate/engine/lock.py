"""The lock that keeps two runs out of one output folder, on this machine or in a store."""

import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from upath import UPath

from metacurate.engine.storage import list_folder, read_bytes, remove
from metacurate.engine.stores import Place, storage_errors
from metacurate.errors import MetacurateError, first_line

LOCK = "lock"  # a file in a folder of this machine, a folder of leases in a store
RENEWAL = 5.0  # seconds between two signs of life
LEASE = 30.0  # seconds without one after which a run counts as dead

log = logging.getLogger(__name__)


class Held:
    """A lock that this process holds."""

    def check(self) -> None:
        """Go on only while it is held.

        Raises:
            MetacurateError: when another run has taken it over.
        """


@contextmanager
def lock(folder: Place) -> Iterator[Held]:
    """Hold a folder's lock until the block ends.

    On this machine the system drops it when the process ends, however it does. In a store it is
    a lease: an object that only one can create, and that its holder renews; where no renewal
    comes for half a minute, the next run takes over, and a holder that was only cut off or asleep
    stops before that.

    Args:
        folder: made where it is missing.

    Raises:
        MetacurateError: when another run holds it, or the folder can't be written.
    """
    if isinstance(folder, Path):
        with _flock(folder):
            yield Held()
        return
    lease = Lease(folder)
    lease.acquire()
    try:
        yield lease
    finally:
        lease.release()


def is_locked(folder: Place) -> bool:
    """Whether a run holds a folder's lock at this moment.

    Args:
        folder: may be missing.

    Raises:
        MetacurateError: when a store does not answer.
    """
    if not isinstance(folder, Path):
        found = _latest(folder)
        if found is None or found[1]["released"]:
            return False
        return bool(time.time() - found[1]["renewed"] < LEASE)
    path = folder / LOCK
    if not path.exists():
        return False
    with path.open() as file:
        return not _try_lock(file, fcntl.LOCK_SH)


@contextmanager
def _flock(folder: Path) -> Iterator[None]:
    path = folder / LOCK
    for pause in (0.1, 0.1, 0):  # somebody may only have asked whether it is held
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise MetacurateError(f"{folder}: can't be written: {error}") from error
        with file:
            if _try_lock(file, fcntl.LOCK_EX) and _is_same(path, file):
                yield
                return
        time.sleep(pause)
    raise MetacurateError(f"{folder.parent}: another run is at work on it")


def _is_same(path: Path, file: IO[str]) -> bool:
    """Whether a path still leads to an open file: a refused run removes the folder it made."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # as on Lustre that is mounted without
        raise MetacurateError(f"{file.name}: its disk has no locks: {error}") from error
    return True


class Lease(Held):
    """A lock in a store, made of nothing but objects that only one can create.

    Leases are numbered, and their numbers only grow: the last one is marked as given back rather
    than removed. Who finds the last one given back, or without signs of life, creates the next.
    A holder whose own signs of life take too long counts itself as dead, by its own clock, before
    another can: so no clocks are compared.
    """

    def __init__(self, folder: UPath) -> None:
        """Prepare.

        Args:
            folder: what it is for.
        """
        self._folder = folder
        self._token = secrets.token_hex(16)
        self._number = 0
        self._alive = 0.0  # when the last sign of life was begun, by the monotonic clock
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Take the lease, or take over one whose holder is dead.

        Raises:
            MetacurateError: when another run holds it, or the store can't be written.
        """
        found = _latest(self._folder)
        if found is not None and not found[1]["released"]:
            found = self._outwait(*found)
        self._number = 1 if found is None else found[0] + 1
        place = _lease(self._folder, self._number)
        self._alive = time.monotonic()
        errors = storage_errors(place.fs)
        cause: Exception | None = None
        try:
            place.fs.pipe_file(place.path, self._sign(), mode="create")
        except errors as error:  # stores tell by errors of many kinds that it is there already
            cause = error
        now = _latest(self._folder)
        if now is None or now[0] < self._number:
            reason = "it is not there" if cause is None else first_line(cause)
            raise MetacurateError(f"{place}: can't be written: {reason}") from cause
        if now[1]["token"] != self._token:  # else it was written, if only the answer was lost
            raise self._taken(now) from cause
        self._prune()
        self._thread.start()

    def _prune(self) -> None:
        """Remove leases that are over; the last one stays, so that numbers grow."""
        last = _lease(self._folder, self._number).name
        remove(self._folder / LOCK / name for name in _leases(self._folder) if name < last)

    def _outwait(self, number: int, sign: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Watch another's lease for as long as a living run may be silent.

        Returns:
            It, where no sign of life comes, or it is given back.

        Raises:
            MetacurateError: when one does.
        """
        until = time.monotonic() + LEASE
        told = False
        while time.monotonic() < until:
            time.sleep(RENEWAL / 5)
            now = _latest(self._folder)
            if now is None or now[1]["released"]:
                return now
            if now != (number, sign):
                raise self._taken(now)
            if not told and time.monotonic() > until - LEASE + 2 * RENEWAL:
                log.info(
                    "%s is held by a run on %s that gives no sign of life: waiting %d s to be sure",
                    self._folder.parent, sign["host"], LEASE,
                )  # fmt: skip
                told = True
        return number, sign

    def _taken(self, found: tuple[int, dict[str, Any]]) -> MetacurateError:
        return MetacurateError(
            f"{self._folder.parent}: another run is at work on it (on {found[1]['host']}, process "
            f"{found[1]['process']})"
        )

    def _sign(self, *, released: bool = False) -> bytes:
        sign = {
            "token": self._token,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "renewed": time.time(),
            "released": released,
        }
        return json.dumps(sign).encode()

    def _renew(self) -> None:
        """Give signs of life, until the lease is released or lost."""
        place = _lease(self._folder, self._number)
        while not self._ended.wait(RENEWAL) and not self._is_lost():
            began = time.monotonic()
            try:
                place.fs.pipe_file(place.path, self._sign())
                found = _latest(self._folder)
            except Exception as error:  # noqa: BLE001 - whatever it is, the lease runs out
                log.warning("%s: no sign of life could be given: %s", self._folder.parent, error)
                continue
            if found is None or (found[0], found[1]["token"]) != (self._number, self._token):
                self._lost.set()
                return
            self._alive = began

    def _is_lost(self) -> bool:
        if time.monotonic() - self._alive > LEASE - RENEWAL:  # before another may take over
            self._lost.set()
        return self._lost.is_set()

    def check(self) -> None:
        """Go on only while the lease is held.

        Raises:
            MetacurateError: when another run has taken it over, or may do so.
        """
        if self._is_lost():
            raise MetacurateError(
                f"{self._folder.parent}: the store took no sign of life of this run for "
                f"{LEASE - RENEWAL:.0f} s, so another may have taken over. What was finished "
                "stays: the same call goes on"
            )

    def release(self) -> None:
        """Give the lease back, where it is still held; where that fails it runs out by itself."""
        self._ended.set()
        self._thread.join(RENEWAL)
        if self._is_lost():
            return
        place = _lease(self._folder, self._number)
        try:
            if list(list_folder(self._folder)) == [LOCK]:  # a run that was refused leaves nothing
                remove([place])
            else:
                place.fs.pipe_file(place.path, self._sign(released=True))
        except Exception as error:  # noqa: BLE001 - the run's own result is what counts
            log.warning(
                "%s: could not be given back, the next run waits %d s: %s",
                self._folder.parent, LEASE, error,
            )  # fmt: skip


def _lease(folder: UPath, number: int) -> UPath:
    return folder / LOCK / f"{number:08d}.json"


def _leases(folder: UPath) -> list[str]:
    return sorted(name for name in list_folder(folder / LOCK) if name.endswith(".json"))


def _latest(folder: UPath) -> tuple[int, dict[str, Any]] | None:
    """The last lease of a folder, and its holder's last sign of life."""
    names = _leases(folder)
    if not names:
        return None
    try:
        sign = json.loads(read_bytes(folder / LOCK / names[-1]))
    except FileNotFoundError:  # it was just removed
        return None
    return int(names[-1].removesuffix(".json")), sign
