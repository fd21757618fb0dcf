"""The public sources of concepts: which there are, and how they come to a folder."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metacurate.errors import MetacurateError, UsageError
from metacurate.metadata.fetching.sources import (
    SOURCES,
    Selection,
    listing_url,
    select,
    static_files,
)

if TYPE_CHECKING:
    from metacurate.engine.progress import Progress


def list_sources(
    names: Iterable[str] = (),
    *,
    language: str = "en",
    days: Sequence[str] | None = None,
    dump_date: str | None = None,
    mirrors: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Tell which sources there are; nobody is asked.

    Args:
        names: of sources; all without any.
        language, days, dump_date, mirrors: as for `fetch_sources`.

    Returns:
        For each source its name, what it is, licence, flag of `metacurate metadata build` that
        reads it, checksum (sha1, sha256 or None), urls (empty where only a listing tells them),
        listing (its URL, or None), and files and about_bytes, None where they are not known.

    Raises:
        UsageError: for an unknown source, or another argument that is malformed.
    """
    selection = select(language, days, dump_date, mirrors)
    return [_told(name, selection) for name in _known(names) or SOURCES]


def _told(name: str, selection: Selection) -> dict[str, Any]:
    source = SOURCES[name]
    files = static_files(name, selection)
    about: int | None = source.about_bytes
    if name == "pageviews":
        default = static_files(name, select())
        about = source.about_bytes * len(files) // len(default)
    elif source.by_language and selection.language != "en":
        about = None
    listing = listing_url(name, selection)
    return {
        "name": name,
        "what": source.what,
        "licence": source.licence,
        "flag": source.flag,
        "checksum": source.checksum,
        "files": len(files) or None,
        "about_bytes": about,
        "urls": [file.url for file in files],
        "listing": None if listing is None else selection.mirrored(listing),
    }


def _known(names: Iterable[str]) -> list[str]:
    """Names of sources, each once.

    Raises:
        UsageError: for one that is not.
    """
    found = list(dict.fromkeys(names))
    for name in found:
        if name not in SOURCES:
            raise UsageError(f"{name!r} is no source: there are {', '.join(SOURCES)}")
    return found


def fetch_sources(
    names: Iterable[str],
    out: Path | str,
    *,
    language: str = "en",
    days: Sequence[str] | None = None,
    dump_date: str | None = None,
    mirrors: Sequence[str] = (),
    progress: "Progress | None" = None,
    tell: Callable[[list[dict[str, Any]]], None] = lambda _: None,
    tries: int = 6,
    backoff: float = 1.0,
    timeout: float = 60.0,
) -> dict[str, Any]:
    """Download sources to a folder; the same call goes on where one was cut off.

    Args:
        names: of sources.
        out: the folder; each source gets one of its name in it, and checksums.json tells what
            was verified.
        language: Wikipedia's code of it, for wikipedia, dump and titles.
        days: of pageviews, as 2021-01-31; the first of 26 months from January 2021 without it.
        dump_date: of dump, eight digits; the latest without it.
        mirrors: FROM=TO: what lies under one prefix of URLs is taken from under another.
        progress: told of bytes that have come.
        tell: called once all sizes are known, before anything is downloaded, with a dict for
            each source: source, files, bytes, here (files that are), missing (files), and
            missing_bytes.
        tries: how often something is tried in a row.
        backoff: seconds; the pauses between are 0, 2, 4, 8 times as long, unless the server asks
            for others.
        timeout: seconds without a byte, after which a connection counts as dropped.

    Returns:
        folder; sources, with files, bytes, downloaded (files) and path of each; bytes_downloaded,
        seconds, and build: the command that reads them.

    Raises:
        UsageError: when an argument is malformed.
        UnreachableError: when there is no network.
        FetchError: when some files could not be had.
        MetacurateError: when requests is not installed, the files would not fit on the disk,
            another run is at work on the folder, or it can't be written.
    """
    from metacurate.engine.lock import lock
    from metacurate.engine.manifest import work_folder
    from metacurate.engine.progress import Silent
    from metacurate.engine.storage import drop_temporaries
    from metacurate.engine.stores import here

    out, names = here(out), _known(names)
    selection = select(language, days, dump_date, mirrors)
    if not names:
        raise UsageError(f"no source is named: there are {', '.join(SOURCES)}")
    try:
        from metacurate.http.client import Client
        from metacurate.metadata.fetching.transfer import ELSEWHERE, Transfer
    except ModuleNotFoundError as error:
        if error.name not in ("requests", "urllib3"):
            raise
        raise MetacurateError(
            'files are downloaded by requests: pip install "metacurate[metadata]"'
        ) from error
    client = Client(tries=tries, backoff=backoff, timeout=timeout, hint=ELSEWHERE)
    with lock(work_folder(out)):
        drop_temporaries(out)
        for name in names:
            drop_temporaries(out / name)
        try:
            return Transfer(client, out, selection, progress or Silent()).run(names, tell)
        finally:
            client.close()
