"""Which files make a pool: folders, globs, lists and URIs, and the format of each."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal, TypeAlias

from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate
from upath import UPath

from metacurate.engine.manifest import MANIFEST, WORK, read_manifest
from metacurate.engine.storage import is_file, is_folder
from metacurate.engine.stores import (
    EXTRAS,
    Place,
    answering,
    locate,
    place_of,
    protocol_of,
    storage_errors,
)
from metacurate.errors import InputError, UsageError, first_line

Source: TypeAlias = str | Place | Sequence[str | Place]
Info: TypeAlias = dict[str, Any] | None  # what a listing told of a file
Format: TypeAlias = Literal["parquet", "csv", "tsv", "jsonl", "tar"]

ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".tar": "tar",
}
COMPRESSED = (".gz", ".zst")
NAMES: dict[Format, str] = {
    "parquet": "Parquet", "csv": "CSV", "tsv": "TSV", "jsonl": "JSON lines", "tar": "tar",
}  # fmt: skip
POOL_KINDS = f"file of a pool ({', '.join(ENDINGS)})"
COUNTS_FILE = "counts.parquet"
CURATED_FOLDER = "curated"  # in an output folder: the table that was made
TAGS = ("ETag", "etag", "blob_id", "mtime", "LastModified", "created")  # what changes with a file


@dataclass(frozen=True)
class InputFile:
    """A file of a pool.

    Attributes:
        path: path or URI.
        identity: size and time of change, or what else the storage knows.
        format: by the ending of its name.
        sidecar: True for a Parquet file that tells what is in the tar beside it.
        size: in bytes.
    """

    path: str
    identity: str
    format: Format
    sidecar: bool = False
    size: int = 0


def format_of(path: str) -> Format | None:
    """The format that a file's name tells, or None.

    Args:
        path: path or URI; .gz and .zst behind the ending are passed over.
    """
    name = path.rsplit("/", 1)[-1].lower()
    for ending in COMPRESSED:
        if name.endswith(ending) and not name.endswith(f".parquet{ending}"):
            name = name.removesuffix(ending)
    return ENDINGS.get(name[name.rfind(".") :]) if "." in name else None


def absolute_sources(source: Source) -> list[str]:
    """What a pool argument names, wherever it is called from: sorted, absolute, without "..".

    Args:
        source: one path, glob or URI, or several.
    """
    named = list_sources(source)
    return sorted(one if "://" in one else os.path.abspath(one) for one in named)  # noqa: PTH100


def list_sources(source: Source) -> list[str]:
    """What a pool argument names, one by one.

    Args:
        source: one path, glob or URI, or several.
    """
    return [str(s) for s in ([source] if isinstance(source, str | Path | UPath) else source)]


def find_files(source: Source, out: Place | None = None) -> list[InputFile]:
    """List the files that a pool argument means.

    In folders, and by globs, hidden files and those that begin with an underscore are passed
    over; in an output folder of metacurate, all but the table that it holds. Where img2dataset
    left a Parquet file beside a tar, that is taken and the tar is not.

    Args:
        source: a file, a folder, a glob, or a list of these; paths or URIs that fsspec knows.
        out: the output folder, which must not lie among them.

    Returns:
        Files sorted by path, each once, all of one format.

    Raises:
        UsageError: when one of them means no file, formats are mixed, or outputs would lie
            among the pool's files.
        InputError: when a file can't be looked at.
    """
    found = _paths(source, _is_pool_file, POOL_KINDS, out)
    if not found:
        raise UsageError("no pool: the list of files is empty")
    inputs = [_input_file(path, info) for path, info in sorted(found.values(), key=itemgetter(0))]
    refuse_incomplete(path for path, _ in found.values())
    files = _with_sidecars(inputs)
    _refuse_mixture(files)
    if out is not None:
        _refuse_held(out, (file.path for file in files))
    return files


def list_files(
    source: Source, known: Callable[[str], bool], kinds: str, out: Place | None = None
) -> list[str]:
    """List the files of another kind than a pool's that an argument means.

    Args:
        source: as for `find_files`.
        known: whether a file in a folder is one of them, by its path.
        kinds: how they are named, for errors.
        out: the output folder, which must not lie among them.

    Returns:
        Paths or URIs, sorted, each once.

    Raises:
        UsageError: when one of them means no file, or outputs would lie among them.
        InputError: when a folder can't be looked through.
    """
    found = sorted(path for path, _ in _paths(source, known, kinds, out).values())
    if out is not None:
        _refuse_held(out, found)
    return found


def _paths(
    source: Source, known: Callable[[str], bool], kinds: str, out: Place | None = None
) -> dict[str, tuple[str, Info]]:
    """Files that an argument means, by what tells whether two are the same: path or URI, and info.

    What a store tells in its listing is kept: asking for each file would take longer than all else.
    """
    found: dict[str, tuple[str, Info]] = {}
    for one in list_sources(source):
        filesystem, path = locate(one)
        local = isinstance(filesystem, LocalFileSystem)
        if out is not None and local == isinstance(out, Path):
            _refuse_inside(out, one, path if local else filesystem.unstrip_protocol(path))
        try:
            names = _names(filesystem, path, one, known, kinds)
        except storage_errors(filesystem) as error:
            raise InputError(one, f"can't be looked at: {first_line(error)}") from error
        for name, info in names.items():
            place = name if local else filesystem.unstrip_protocol(name)
            found.setdefault(os.path.realpath(place) if local else place, (place, info))
    return found


def identity_of(path: str) -> tuple[str, int]:
    """What changes when a file does, and its size in bytes.

    Args:
        path: path or URI.

    Raises:
        OSError: when it can't be looked at; of S3, what `storage_errors` names.
    """
    filesystem, name = locate(path)
    if isinstance(filesystem, LocalFileSystem):
        status = Path(name).stat()
        return f"{status.st_size} {status.st_mtime_ns}", status.st_size
    return _identity_in(filesystem.info(name))


def _identity_in(info: dict[str, Any]) -> tuple[str, int]:
    """What a store tells of a file: its size, and a tag that changes with it."""
    tag = next((str(info[name]).strip('"') for name in TAGS if info.get(name)), "")
    return f"{info['size']} {tag}", int(info["size"] or 0)


def refuse_changed(path: str, identity: str) -> None:
    """Refuse a file that is another one than when the run was planned.

    Args:
        path: path or URI. identity: what it was then.

    Raises:
        InputError: when it has changed, or gone.
        StorageError: when its store does not answer.
    """
    try:
        with answering(path):
            now, _ = identity_of(path)
    except OSError as error:
        reason = f"it went away while it was read: {first_line(error)}"
        raise InputError(path, reason) from error
    if now != identity:
        raise InputError(path, "it changed while it was read")


def _is_pool_file(path: str) -> bool:
    return format_of(path) is not None


def _names(
    filesystem: Any, path: str, one: str, known: Callable[[str], bool], kinds: str
) -> dict[str, Info]:
    if filesystem.isdir(path):
        names = _files_of_folder(filesystem, path, known)
        if not names:
            raise UsageError(f"{one}: the folder holds no {kinds}")
        return names
    if filesystem.exists(path):
        return {path: None}
    names = {}
    fixed = _fixed_part(path)
    asked = _is_hidden(path[len(fixed) :])  # for what is hidden, by its name
    for name, info in _with_infos(filesystem, filesystem.glob, path).items():
        if _is_hidden(name[len(fixed) :]) and not asked:
            continue
        if filesystem.isdir(name) if info is None else info["type"] == "directory":
            names.update(_files_of_folder(filesystem, name, known))
        else:
            names[name] = info
    if not names:
        raise UsageError(f"{one}: no such file or folder")
    return names


def _with_infos(filesystem: Any, listing: Callable[..., Any], path: str) -> dict[str, Info]:
    """Names from a listing; with what a store tells of each, which costs nothing there."""
    if protocol_of(filesystem.unstrip_protocol(path)) not in EXTRAS:  # others may tell other things
        return dict.fromkeys(listing(path))
    found: dict[str, Info] = listing(path, detail=True)
    return {name: info for name, info in found.items() if info and name.strip("/")}


def _is_output(folder: Place) -> bool:
    """Whether a folder holds what a finished run of metacurate left."""
    if not is_file(folder / MANIFEST):
        return False
    if is_folder(folder / WORK):
        return True
    try:
        return read_manifest(folder) is not None
    except InputError:  # of another program, as it seems
        return False


def _fixed_part(pattern: str) -> str:
    """The folder of a glob that is the same for all that it finds."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]


def _files_of_folder(filesystem: Any, folder: str, known: Callable[[str], bool]) -> dict[str, Info]:
    base = folder.rstrip("/")
    place = _place_in(filesystem, base)
    if place is not None and _is_output(place):
        if is_folder(place / CURATED_FOLDER):
            base = f"{base}/{CURATED_FOLDER}"
        elif is_file(place / COUNTS_FILE):
            raise UsageError(f"{folder}: holds counts, not pairs")
    local = isinstance(filesystem, LocalFileSystem)
    try:
        names = _with_infos(filesystem, _find_here if local else filesystem.find, base)
    except OSError as error:  # a folder in it that may not be read
        raise InputError(folder, f"can't be looked through: {first_line(error)}") from error
    return {
        name: info
        for name, info in names.items()
        if known(name) and not _is_hidden(name[len(base) :])
    }


def _find_here(folder: str) -> Iterator[str]:
    """All files below a folder of this machine.

    Raises:
        OSError: when it or a folder in it can't be read; fsspec would pass over the latter.
    """

    def fail(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=fail):
        yield from (f"{parent.rstrip('/')}/{name}" for name in names)


def _place_in(filesystem: Any, path: str) -> Place | None:
    """A folder as a run's output could be; None where runs write nothing."""
    if isinstance(filesystem, LocalFileSystem):
        return Path(path)
    try:
        return place_of(filesystem.unstrip_protocol(path))
    except UsageError:
        return None


def _is_hidden(path: str) -> bool:
    return any(part[:1] in (".", "_") for part in path.split("/") if part)


def refuse_incomplete(paths: Iterable[str]) -> None:
    """Refuse what a run has left that is at work, or was cut off.

    Args:
        paths: of files.

    Raises:
        UsageError: naming its folder.
    """
    for folder in {path.rpartition("/")[0] for path in paths}:
        try:
            place = place_of(folder)
        except UsageError:  # runs write nothing there
            continue
        out = place.parent if place.name == CURATED_FOLDER else place
        if is_folder(out / WORK) and not is_file(out / MANIFEST):
            raise UsageError(f"{out}: its run is not complete: the same command finishes it")


def _input_file(path: str, info: Info) -> InputFile:
    try:
        path.encode()
        identity, size = identity_of(path) if info is None else _identity_in(info)
    except UnicodeEncodeError as error:
        raise InputError(path, "its name is no UTF-8") from error
    except storage_errors(locate(path)[0]) as error:  # it went away since it was listed
        raise InputError(path, f"can't be looked at: {first_line(error)}") from error
    return InputFile(path, identity, format_of(path) or "parquet", size=size)


def _with_sidecars(files: Sequence[InputFile]) -> list[InputFile]:
    def stem(file: InputFile) -> str:
        return re.sub(r"\.(parquet|tar)(\.gz|\.zst)?$", "", file.path, flags=re.IGNORECASE)

    tars = {stem(file) for file in files if file.format == "tar"}
    tables = {stem(file) for file in files if file.format == "parquet"}
    return [
        replace(file, sidecar=True) if file.format == "parquet" and stem(file) in tars else file
        for file in files
        if not (file.format == "tar" and stem(file) in tables)
    ]


def _refuse_mixture(files: Sequence[InputFile]) -> None:
    formats = Counter(file.format for file in files)
    if len(formats) == 1:
        return
    first = {kind: next(f.path for f in files if f.format == kind) for kind in formats}
    if formats.keys() == {"tar", "parquet"} and all(
        file.sidecar for file in files if file.format == "parquet"
    ):
        raise UsageError(
            f"tars without the Parquet file that lies beside others ({formats['tar']}, as "
            f"{first['tar']}): name the ones to read"
        )
    told = "; ".join(f"{n} {NAMES[kind]} ({first[kind]})" for kind, n in sorted(formats.items()))
    raise UsageError(f"the pool mixes formats: {told}: name the files of one, as 'pool/*.csv'")


def _refuse_inside(out: Place, one: str, path: str) -> None:
    """Refuse outputs where this source would look for inputs, whether they are there or not."""
    place = _absolute(out)
    if any(char in path for char in "*?[") and not os.path.exists(path):  # noqa: PTH110 - never raises
        fixed = _fixed_part(path)
        begin = os.path.realpath(fixed) if isinstance(out, Path) else fixed
        pattern = re.compile(glob_translate(begin + path[len(fixed) :]))
        made = (place / "x.parquet", place / CURATED_FOLDER / "x.parquet")
        inside = any(pattern.fullmatch(str(p)) for p in (*made, place, *place.parents))
    elif isinstance(out, Path):
        inside = Path(path).is_dir() and place.is_relative_to(Path(path).resolve())
    else:
        inside = place.is_relative_to(path.rstrip("/"))
    if inside:
        raise UsageError(f"the output folder {out} lies in the pool's folder {one}")


def _absolute(place: Place) -> PurePath:
    """A place by its true path, to be compared with others."""
    return place.resolve() if isinstance(place, Path) else PurePosixPath(str(place))


def _refuse_held(out: Place, paths: Iterable[str]) -> None:
    """Refuse inputs that lie where the outputs would."""
    place = _absolute(out)
    for path in paths:
        if "://" in path:
            inside = path.startswith(f"{place}/".replace(":/", "://", 1))
        else:
            inside = Path(path).resolve().is_relative_to(place)
        if inside:
            raise UsageError(f"the output folder {out} holds files of the pool: {path}")
