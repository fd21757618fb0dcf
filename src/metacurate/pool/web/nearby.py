"""Archives that lie elsewhere, as files on this machine for as long as they are read."""

import errno
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fsspec.callbacks import Callback
from fsspec.implementations.local import LocalFileSystem
from urllib3.exceptions import ProtocolError

from metacurate.engine.stage import StoppedError, Watch
from metacurate.engine.storage import make_folder
from metacurate.engine.stores import at_once, locate, storage_errors
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.http.client import BUSY, Client
from metacurate.http.download import Part, complete
from metacurate.http.failures import MissingError, TransientError

THROTTLING = frozenset({"data.commoncrawl.org"})  # hosts that answer 403 to who asks too fast
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


@dataclass(frozen=True)
class Patience:
    """How long a server or store is borne with.

    Attributes:
        tries: how often something is tried in a row.
        backoff: seconds; pauses are 0, 2, 4, 8 times as long and so on, up to two minutes, unless
            a server asks for others.
        timeout: seconds without a byte, after which a connection counts as dropped.
        connects: how often to try to connect again, where that is not as often as all else.
    """

    tries: int = 15
    backoff: float = 1.0
    timeout: float = 60.0
    connects: int | None = None

    @contextmanager
    def client(self, path: str) -> Iterator[Client]:
        """A client for requests, while it is needed.

        Args:
            path: URL or URI that they are about.

        Raises:
            UsageError: when it is malformed.
        """
        try:
            throttles = urlsplit(path).hostname in THROTTLING
        except ValueError as error:
            raise UsageError(f"{path}: not a URL ({error})") from error
        client = Client(
            tries=self.tries,
            backoff=self.backoff,
            timeout=self.timeout,
            busy=BUSY | {403} if throttles else BUSY,
        )
        try:
            yield client
        finally:
            client.close()


PATIENCE = Patience()


def is_url(path: str) -> bool:
    """Whether a path is a URL of a web server.

    Args:
        path: path, URI or URL.
    """
    return re.match("https?://", path, re.IGNORECASE) is not None


@contextmanager
def local_copy(
    path: str, folder: Path, watch: Watch | None = None, patience: Patience = PATIENCE
) -> Iterator[Path]:
    """Have a file on this machine: where it is, or as a copy that goes when it was read.

    What a killed run leaves is removed by `drop_temporaries` of the folder.

    Args:
        path: path, URI that fsspec knows, or URL.
        folder: for the copy; made where it is missing.
        watch: listened to while the copy comes.
        patience: how long to bear with a server or store.

    Yields:
        Where it is; a copy's name has the file's ending.

    Raises:
        UsageError: when there is no way to it.
        MissingError: when it is not there.
        InputError: when it is refused, or does not come after some tries.
        UnreachableError: when no connection to its server comes about.
        MetacurateError: when the copy can't be written.
        StoppedError: when the run is to end; it is heard in pauses, too.
    """
    here = _path_here(path)
    if here is not None:
        yield here
        return
    with _temporary(folder) as beside:
        place = beside / f"copy{_ending(path)}"
        with patience.client(path) as client, _heeding(client, watch):
            try:
                if is_url(path):
                    part = Part(place)
                    complete(client, path, part, connects=patience.connects)
                    part.put_in_place(to_stay=False)
                else:
                    client.persist(path, lambda: _copy(path, place, client.check))
            except OSError as error:
                raise MetacurateError(f"{folder}: can't be written: {error}") from error
        yield place


def _path_here(path: str) -> Path | None:
    """The path of what lies on this machine, or None."""
    if "://" not in path:
        return Path(path)
    if is_url(path):
        return None
    filesystem, name = locate(path)
    return Path(name) if isinstance(filesystem, LocalFileSystem) else None


def _ending(path: str) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", re.split("[?#]", path)[0])
    return found[0] if found else ""


@contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    """A hidden folder that goes again; named as others that runs write to and may leave."""
    make_folder(folder)
    try:
        made = tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".tmp")
    except OSError as error:
        raise MetacurateError(f"{folder}: can't be written: {error}") from error
    with made as name:
        yield Path(name)


def _copy(path: str, place: Path, check: Callable[[], None]) -> None:
    """Copy a file from a store, from its beginning.

    Raises:
        TransientError: when the store does not answer, or too little comes.
        InputError: when it has no such file, or refuses.
        OSError: when the copy can't be written.
        StoppedError: when the run is to end.
    """
    filesystem, name = locate(path)
    told = _Told(check)
    # one request for all of it: Common Crawl asks for that, where s3fs would send ten at a time
    options = at_once(filesystem)
    try:
        filesystem.get_file(name, str(place), callback=told, **options)
    except FileNotFoundError as error:
        raise MissingError(path, "there is no such file") from error
    except PermissionError as error:
        raise InputError(path, f"is refused: {first_line(error)}") from error
    except storage_errors(filesystem) as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise TransientError(ProtocolError(first_line(error))) from error
    if told.size is not None and place.stat().st_size < told.size:
        raise TransientError(ProtocolError("the connection broke"))


class _Told(Callback):  # type: ignore[misc]
    """Hears from fsspec how large a file is, and each time that some of it has come."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def call(self, hook_name: str | None = None, **kwargs: object) -> None:  # noqa: ARG002
        """Go on only while the run is not to end.

        Raises:
            StoppedError: when it is.
        """
        self._check()


class _Ended:
    """Whether a run is to end, as its watch knows it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def is_set(self) -> bool:
        """Whether it is."""
        try:
            self._watch.advance(0)
        except StoppedError:
            return True
        return False


def _heeding(client: Client, watch: Watch | None) -> AbstractContextManager[None]:
    return nullcontext() if watch is None else client.heeding(_Ended(watch))
