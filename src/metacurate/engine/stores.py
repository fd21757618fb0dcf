"""Stores: which there are, where a path leads, and what their errors mean."""

import functools
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import fsspec
import fsspec.config
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from metacurate.errors import MetacurateError, StorageError, UsageError, first_line

Place: TypeAlias = Path | UPath

EXTRAS = {"s3": "s3", "gs": "gcs", "hf": "hf"}  # by protocol
OTHER_NAMES = {"s3a": "s3", "gcs": "gs"}  # of the same stores
WRITABLE = frozenset({"file", "s3", "gs", "memory"})  # an upload is seen as a whole
GLOB = frozenset("*?[]")
ATTEMPTS = 10  # of a request to S3, with growing pauses: about a minute
FORESEEN = ("AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS")  # how users tell botocore their own patience


def locate(one: str) -> tuple[Any, str]:
    """Where a path or URI leads.

    Args:
        one: path or URI.

    Returns:
        The file system of fsspec, and the path in it. What a store has is asked anew each time.

    Raises:
        UsageError: when there is no way to it; where a package is missing, naming the extra.
    """
    protocol = protocol_of(canonical(one))
    try:
        filesystem, path = fsspec.core.url_to_fs(canonical(one), **_options(protocol))
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(protocol)
        hint = f': pip install "metacurate[{extra}]"' if extra else ""
        raise UsageError(f"{one}: can't be reached ({first_line(error)}){hint}") from error
    if isinstance(filesystem, LocalFileSystem):
        path = os.path.normpath(path)
    return filesystem, path


def canonical(one: str) -> str:
    """A path or URI with its protocol as all code names it.

    Args:
        one: path or URI.
    """
    protocol, found, rest = one.partition("://")
    if not found:
        return one
    return f"{OTHER_NAMES.get(protocol.lower(), protocol.lower())}://{rest}"


def protocol_of(one: str) -> str:
    """The protocol of a URI that is `canonical`; "" of a path."""
    return one.split("://")[0] if "://" in one else ""


@functools.cache
def _has_own_patience() -> bool:
    """Whether the user's own files of AWS say how often to try."""
    from botocore.session import get_session

    found = get_session().get_scoped_config()
    return "max_attempts" in found or "retry_mode" in found


def _options(protocol: str) -> dict[str, Any]:
    """How a store is asked; what users tell fsspec or botocore themselves goes first."""
    if protocol not in EXTRAS or protocol == "hf":
        return {}
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol == "s3" and not any(name in os.environ for name in FORESEEN):
        try:
            foreseen = _has_own_patience()
        except ImportError:  # which fsspec will tell
            return options
        if not foreseen:
            retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
            options["config_kwargs"] = {"retries": retries}
    return {**options, **fsspec.config.conf.get(protocol, {})}


def literal(path: str) -> str:
    """A path as DuckDB takes it, which otherwise reads all files that a pattern stands for.

    Args:
        path: of a file, or its URI.
    """
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def storage_errors(filesystem: Any) -> tuple[type[Exception], ...]:
    """The errors that tell that a storage does not answer, or refuses.

    Args:
        filesystem: of fsspec.

    Returns:
        For `except`: not all are OSErrors where there are no credentials, or no connection.
    """
    protocols = _protocols(filesystem)
    if "s3" in protocols:
        from aiohttp import ClientError as ConnectionBrokeError
        from botocore.exceptions import BotoCoreError, ClientError

        return OSError, BotoCoreError, ClientError, ConnectionBrokeError
    if "gs" in protocols:
        from aiohttp import ClientError as ConnectionBrokeError
        from gcsfs.retry import HttpError
        from google.auth.exceptions import GoogleAuthError

        return OSError, HttpError, GoogleAuthError, ConnectionBrokeError
    if "hf" in protocols:
        from huggingface_hub.errors import HfHubHTTPError

        return OSError, *HfHubHTTPError.__bases__  # those of the HTTP client that it is made with
    if "http" in protocols:
        from aiohttp import ClientError as ConnectionBrokeError

        return OSError, ConnectionBrokeError
    return (OSError,)


def at_once(filesystem: Any) -> dict[str, Any]:
    """Options with which a small file is read by one request: s3fs would ask for its size first.

    Args:
        filesystem: of fsspec.
    """
    return {"max_concurrency": 1} if "s3" in _protocols(filesystem) else {}


def _protocols(filesystem: Any) -> set[str]:
    told = filesystem.protocol
    return {told} if isinstance(told, str) else set(told)


def does_not_answer(path: str, error: Exception) -> bool:
    """Whether an error tells of a store that does not answer, rather than of a broken file.

    Args:
        path: what was read, path or URI. error: what came of it.
    """
    if "://" not in path or isinstance(error, FileNotFoundError):
        return False
    if type(error).__name__ == "FileExpired":  # s3fs's, of a file that was replaced
        return False
    if type(error) is OSError and error.errno is None:
        return not _is_arrows(error)
    if isinstance(error, OSError):
        return not type(error).__module__.startswith(__package__.partition(".")[0])
    return isinstance(error, storage_errors(locate(path)[0]))


@contextmanager
def answering(path: str) -> Iterator[None]:
    """Tell errors of a store that does not answer from those of the file that is read.

    Args:
        path: what is read, path or URI.

    Raises:
        StorageError: when its store does not answer; other errors pass, and are OSErrors or
            what the reader of its format raises.
    """
    errors = storage_errors(locate(path)[0])
    try:
        yield
    except errors as error:
        if does_not_answer(path, error):
            raise StorageError(path, error) from error
        raise


def _is_arrows(error: OSError) -> bool:
    """Whether Arrow raised an error itself, of the content that it read."""
    frames = traceback.extract_tb(error.__traceback__)
    return not frames or "pyarrow" in frames[-1].filename


def place_of(path: str | Path | UPath) -> Place:
    """Where a run may write.

    Args:
        path: of this machine, or URI of an object store.

    Raises:
        UsageError: for a storage that files can't be written to as runs need it.
    """
    if not isinstance(path, str):
        return path
    if "://" not in path:
        return Path(path)
    path = canonical(path)
    protocol = protocol_of(path)
    if protocol in ("http", "https"):
        raise UsageError(f"{path}: web servers are read from only")
    if protocol == "hf":
        raise UsageError(
            f"{path}: each file that is written to the Hub is a commit: write to a folder, and "
            "upload that (hf upload)"
        )
    if protocol not in WRITABLE:
        raise UsageError(f"{path}: outputs are written to folders, s3:// and gs:// only")
    filesystem, name = locate(path)
    if isinstance(filesystem, LocalFileSystem):
        return Path(name)
    if not name.strip("/"):
        raise UsageError(f"{path}: names no bucket")
    if set(name) & GLOB:
        raise UsageError(f"{path}: stores take {' '.join(sorted(GLOB))} for patterns")
    place: Place = UPath(path.rstrip("/"), **_options(protocol))
    return place


def here(path: str | Path) -> Path:
    """A path of this machine.

    Args:
        path: what was given for one.

    Raises:
        UsageError: for a URI.
    """
    if re.match(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise UsageError(f"{path}: this is made on this machine: name a path, and copy it then")
    return Path(path)


@contextmanager
def reaching(place: Place, what: str = "read") -> Iterator[None]:
    """Turn the errors of a storage into one that names the place.

    What is not there, or no file, or no folder, stays the OSError that it is.

    Args:
        place: which. what: that can't be done.

    Raises:
        MetacurateError: when the storage does not answer, or refuses.
    """
    errors = (OSError,) if isinstance(place, Path) else storage_errors(place.fs)
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise
    except errors as error:
        raise MetacurateError(f"{place}: can't be {what}: {first_line(error)}") from error
