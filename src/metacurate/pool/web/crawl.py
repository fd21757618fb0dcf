"""Which archives there are: of a crawl of Common Crawl, or those that arguments name."""

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import fsspec.config
import numpy as np
from fsspec.implementations.local import LocalFileSystem

from metacurate.engine.stores import Place, locate, storage_errors
from metacurate.errors import InputError, UsageError, first_line
from metacurate.hashing.pairs import hash_pairs
from metacurate.http.client import content_length
from metacurate.http.failures import MissingError
from metacurate.pool.files import (
    Source,
    identity_of,
    list_files,
    list_sources,
)
from metacurate.pool.streams import open_stream
from metacurate.pool.web.nearby import PATIENCE, Patience, is_url, local_copy

ArchiveKind: TypeAlias = Literal["wat", "warc"]

PATHS_ROOT = "https://data.commoncrawl.org"
OWN_ROOTS = (f"{PATHS_ROOT}/", "s3://commoncrawl/", "s3a://commoncrawl/")  # of Common Crawl
IMMUTABLE = "immutable"  # identity of a file that never changes
MOST_LISTING = 256 << 20  # bytes, decompressed; Common Crawl's have 15 MB
ARCHIVE = re.compile(r"\.(warc|wat)(\.(gz|zst))?$", re.IGNORECASE)
ARCHIVES = "archive (.warc, .wat; also .gz, .zst)"
CRAWL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
PART = r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*"
LINE = re.compile(rf"{PART}(/{PART})*")  # no way out of the root, nor into another storage


@dataclass(frozen=True)
class ArchiveFile:
    """A WARC or WAT file.

    Attributes:
        path: path, URI or URL.
        identity: size and time of change, or what else its storage knows.
        size: in bytes; 0 where nobody has asked.
    """

    path: str
    identity: str
    size: int


def listing_of(crawl: str, kind: ArchiveKind, paths_root: str = PATHS_ROOT) -> str:
    """Where a crawl's archives are listed.

    Args:
        crawl: its name, as CC-MAIN-2024-22. kind: of archives.
        paths_root: where crawls are: URL, URI or folder.

    Returns:
        URL, URI, or absolute path.

    Raises:
        UsageError: when it is no name of a crawl, there is no such kind, or no way there.
    """
    if not CRAWL.fullmatch(crawl):
        raise UsageError(f"crawl {crawl!r}: not a name as Common Crawl's, like CC-MAIN-2024-22")
    if kind not in get_args(ArchiveKind):
        raise UsageError(f"kind {kind!r} is none of: {', '.join(get_args(ArchiveKind))}")
    return f"{_absolute(paths_root)}/crawl-data/{crawl}/{kind}.paths.gz"


def crawl_archives(
    crawl: str,
    kind: ArchiveKind,
    *,
    limit: int | None = None,
    seed: int = 0,
    paths_root: str = PATHS_ROOT,
    patience: Patience = PATIENCE,
) -> list[ArchiveFile]:
    """The archives of a crawl, or a sample of them without replacement.

    The sample has the archives with the smallest XXH64 of their paths in the listing, of purpose
    `shuffle`: so it depends on the seed alone, and a larger one holds a smaller one.

    Args:
        crawl, kind, paths_root: as for `listing_of`.
        limit: number of archives, at most; all without it.
        seed: of the sample, uint64.
        patience: how long to bear with a server or store.

    Returns:
        Archives in the listing's order. What lies elsewhere is not asked after: it never changes.

    Raises:
        UsageError: for an argument that can't be.
        UnreachableError: when there is no network.
        InputError: when the listing can't be had or is damaged, or a local archive is missing.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: at least 1 archive is needed")
    listing = listing_of(crawl, kind, paths_root)
    _refuse_strangers([listing])
    try:
        content = _read_listing(listing, replace(patience, connects=1))
    except MissingError as error:
        raise InputError(
            listing,
            f"{error.reason}: is {crawl} the name of a crawl? https://index.commoncrawl.org "
            "lists them",
        ) from error
    lines = _checked(listing, content)
    if limit is not None:
        lines = _sample(lines, limit, seed)
    root = _absolute(paths_root)
    return [_crawled(f"{root}/{line}") for line in lines]


def _absolute(root: str) -> str:
    """A root without a slash at its end; a folder of this machine by its whole path."""
    if not is_url(root):
        filesystem, path = locate(root)
        if isinstance(filesystem, LocalFileSystem):
            return str(path).rstrip("/")
    return root.rstrip("/")


def _read_listing(listing: str, patience: Patience) -> bytes:
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            local_copy(listing, Path(folder), patience=patience) as path,
            open_stream(str(path)) as stream,
        ):
            content: bytes = stream.read(MOST_LISTING + 1)
    except FileNotFoundError as error:
        raise MissingError(listing, "there is no such file") from error
    except OSError as error:
        raise InputError(listing, f"can't be read: {first_line(error)}") from error
    if len(content) > MOST_LISTING:
        raise InputError(listing, "larger than any listing")
    return content


def _checked(listing: str, content: bytes) -> list[str]:
    """The paths that a listing holds, each once, in its order; none is trusted.

    Raises:
        InputError: for anything that is no plain path below the root.
    """
    lines: dict[str, None] = {}
    for number, line in enumerate(content.splitlines(), 1):
        text = line.decode("ascii", "replace")
        if not LINE.fullmatch(text):
            raise InputError(listing, f"line {number} is no path of an archive: {text[:80]!a}")
        lines[text] = None
    if not lines:
        raise InputError(listing, "lists no archive")
    return list(lines)


def _sample(lines: Sequence[str], limit: int, seed: int) -> list[str]:
    hashes = hash_pairs(lines, [""] * len(lines), seed, "shuffle")
    return [lines[i] for i in sorted(np.argsort(hashes, kind="stable")[:limit])]


def _crawled(path: str) -> ArchiveFile:
    return _here(path) if "://" not in path else ArchiveFile(path, IMMUTABLE, 0)


def list_archives(
    source: Source, out: Place | None = None, *, patience: Patience = PATIENCE
) -> list[ArchiveFile]:
    """The archives that arguments name.

    In folders, files that are named as archives are taken, and those that are hidden are not. A
    URL of a web server is one file; it is asked for its size and ETag, but Common Crawl's own
    servers are not: their files never change.

    Args:
        source: a file, a folder, a glob, or a list of these; paths, URIs that fsspec knows, URLs.
        out: the output folder, which must not lie among them.
        patience: how long to bear with a server or store.

    Returns:
        Archives sorted by path, each once.

    Raises:
        UsageError: when one of them means no file, or outputs would lie among them.
        UnreachableError: when there is no network.
        InputError: when a file can't be looked at.
    """
    named = list_sources(source)
    if not named:
        raise UsageError("no archives: the list of files is empty")
    _refuse_strangers(named)
    urls = {one for one in named if is_url(one)}
    others = [one for one in named if one not in urls]
    paths = list_files(others, _is_archive, ARCHIVES, out) if others else []
    return sorted(
        (_looked_at(path, patience) for path in {*urls, *paths}), key=lambda file: file.path
    )


def _is_archive(path: str) -> bool:
    return ARCHIVE.search(path) is not None


def _looked_at(path: str, patience: Patience) -> ArchiveFile:
    """A file with its identity, by whatever storage it is in."""
    if path.startswith(OWN_ROOTS):
        return ArchiveFile(path, IMMUTABLE, 0)
    return _at_server(path, patience) if is_url(path) else _here(path)


def _at_server(url: str, patience: Patience) -> ArchiveFile:
    with patience.client(url) as client:
        headers = client.head(url)
    size = content_length(headers)
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    return ArchiveFile(url, f"{'' if size is None else size} {tag}", size or 0)


def _here(path: str) -> ArchiveFile:
    filesystem, _ = locate(path)
    try:
        path.encode()
        return ArchiveFile(path, *identity_of(path))
    except UnicodeEncodeError as error:
        raise InputError(path, "its name is no UTF-8") from error
    except storage_errors(filesystem) as error:
        raise InputError(path, f"can't be looked at: {first_line(error)}") from error


def _refuse_strangers(named: Iterable[str]) -> None:
    """Refuse to ask Common Crawl's bucket without credentials: since 2022 it answers nobody then.

    Raises:
        UsageError: saying what to do instead.
    """
    for one in named:
        if not re.match("s3a?://commoncrawl(/|$)", one):
            continue
        locate(one)
        if fsspec.config.conf.get("s3"):  # the user's own, and may hold credentials
            continue
        from botocore.session import get_session

        if get_session().get_credentials() is None:
            raise UsageError(
                f"{one}: Common Crawl's bucket answers AWS accounts only, and there are no "
                f"credentials: {PATHS_ROOT} has the same files for everybody"
            )
