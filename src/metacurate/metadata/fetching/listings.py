"""What servers tell of their files. None of it is trusted: names, sizes and URLs are checked."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from metacurate.errors import MetacurateError
from metacurate.metadata.fetching.sources import (
    LATEST,
    RemoteFile,
    Selection,
    hub_url,
    listing_url,
    static_files,
)

log = logging.getLogger(__name__)

MAX_NAME = 200  # bytes: names of parts are a little longer
HEX_DIGITS = {"sha1": 40, "sha256": 64}


def files_of(name: str, selection: Selection, read: Callable[[str], bytes]) -> list[RemoteFile]:
    """The files of a source, with the checksums that it publishes.

    Args:
        name: of the source. selection: which of its files.
        read: gets a listing from a URL.

    Raises:
        MetacurateError: when a listing can't be had, or is not what it should be.
    """
    canonical = listing_url(name, selection)
    if canonical is None:
        return static_files(name, selection)
    url = selection.mirrored(canonical)
    content = read(url)
    try:
        if name == "wikipedia":
            files = list(_hub_files(json.loads(content), selection))
        elif name == "dump" and selection.dump_date != LATEST:
            files = list(_dump_files(json.loads(content), selection, canonical))
        else:
            files = _with_sha1(static_files(name, selection), content.decode(), selection)
        if len({file.name for file in files}) < len(files):
            raise ValueError("it names a file twice")
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or ours
        raise MetacurateError(f"{url}: not a listing that can be used: {error}") from error
    if not files:
        raise MetacurateError(f"{url}: lists no file of {name} in language {selection.language}")
    return files


def _hub_files(listing: Any, selection: Selection) -> Iterator[RemoteFile]:
    """Files of the dataset, from the Hub's list of a folder.

    Raises:
        ValueError: when something in it is not as it should be.
    """
    for entry in _typed(listing, list):
        path = _typed(_typed(entry, dict).get("path"), str)
        if entry.get("type") != "file" or not path.endswith(".parquet"):
            continue
        folder, _, name = path.rpartition("/")
        if folder != selection.config:
            raise ValueError(f"{path!r} is not in {selection.config}")
        sha256 = _typed(entry.get("lfs") or {}, dict).get("oid")
        yield RemoteFile(
            "wikipedia",
            plain_name(name),
            selection.mirrored(hub_url(path)),
            _size(entry.get("size")),
            *_checksum("sha256", sha256),
        )


def _dump_files(status: Any, selection: Selection, canonical: str) -> Iterator[RemoteFile]:
    """Files of a dump, from its dumpstatus.json.

    Raises:
        ValueError: when something in it is not as it should be, or the dump is not done.
    """
    job = status
    for key in ("jobs", "articlesmultistreamdump"):
        job = _typed(job, dict).get(key)
    job = _typed(job, dict)
    if job.get("status") != "done":
        raise ValueError(f"the articles of dump {selection.dump_date} are not done")
    stem = f"{selection.wiki}-{selection.dump_date}-pages-articles-multistream"
    wanted = {
        plain_name(name): _typed(told, dict)
        for name, told in _typed(job.get("files"), dict).items()
        if re.search(r"-pages-articles-multistream[0-9]*\.xml[^/\\]*\.bz2$", name)
    }
    if len(wanted) > 1:
        wanted.pop(f"{stem}.xml.bz2", None)  # it holds again what the numbered parts hold
    for name, told in wanted.items():
        url = urljoin(canonical, _typed(told.get("url"), str))
        if urlsplit(url)[:2] != urlsplit(canonical)[:2]:
            raise ValueError(f"{url!r} is not on {urlsplit(canonical).netloc}")
        if unquote(urlsplit(url).path).rpartition("/")[2] != name:
            raise ValueError(f"{url!r} is not the URL of {name}")
        sha1 = _checksum("sha1", told.get("sha1"))
        yield RemoteFile("dump", name, selection.mirrored(url), _size(told.get("size")), *sha1)


def _with_sha1(files: list[RemoteFile], sums: str, selection: Selection) -> list[RemoteFile]:
    """Files of the latest dump with their checksums, which are published for dated names."""
    known = []
    for file in files:
        rest = re.escape(file.name.removeprefix(f"{selection.wiki}-{LATEST}"))
        line = rf"^([0-9a-f]{{40}})[ \t]+\*?({selection.wiki}-[0-9]{{8}}{rest})\r?$"
        found = set(re.findall(line, sums, re.MULTILINE))
        if len(found) != 1:
            log.warning("%s: no checksum is published for it now; it is not verified", file.name)
            known.append(file)
            continue
        ((sha1, dated),) = found
        known.append(replace(file, algorithm="sha1", checksum=sha1, published_as=dated))
    return known


def plain_name(name: str) -> str:
    """A file's name, if it is harmless: one that leads nowhere else and hides nothing.

    Args:
        name: as somebody else tells it.

    Raises:
        ValueError: for any other.
    """
    harmless = name.isprintable() and not re.search(r"[/\\:]|^[.\-~]|^$", name)
    if not harmless or len(name.encode(errors="replace")) > MAX_NAME:
        raise ValueError(f"{name[:MAX_NAME]!r} is no name for a file")
    return name


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{str(value)[:40]!r} where a {kind.__name__} belongs")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is no size")
    return value


def _checksum(algorithm: str, value: Any) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    if not re.fullmatch(rf"[0-9a-f]{{{HEX_DIGITS[algorithm]}}}", _typed(value, str)):
        raise ValueError(f"{value[:80]!r} is no {algorithm}")
    return algorithm, value
