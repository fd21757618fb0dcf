"""Which files make a pool: folders, globs, lists and URIs, and the format of each."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from metacurate.engine.manifest import MANIFEST, WORK, read_manifest
from metacurate.errors import InputError, UsageError, first_line

Source: TypeAlias = str | Path | Sequence[str | Path]
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
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hf"}  # by protocol


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
    return [str(s) for s in ([source] if isinstance(source, str | Path) else source)]


def find_files(source: Source, out: Path | None = None) -> list[InputFile]:
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
    inputs = [_input_file(path) for path in sorted(found.values())]
    _refuse_incomplete(found)
    files = _with_sidecars(inputs)
    _refuse_mixture(files)
    if out is not None:
        _refuse_held(out, (file.path for file in files))
    return files


def list_files(
    source: Source, known: Callable[[str], bool], kinds: str, out: Path | None = None
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
    found = sorted(_paths(source, known, kinds, out).values())
    if out is not None:
        _refuse_held(out, found)
    return found


def _paths(
    source: Source, known: Callable[[str], bool], kinds: str, out: Path | None = None
) -> dict[str, str]:
    """Paths or URIs of the files that an argument means, by what tells whether two are the same."""
    found: dict[str, str] = {}
    for one in list_sources(source):
        filesystem, path = locate(one)
        local = isinstance(filesystem, LocalFileSystem)
        if out is not None and local:
            _refuse_inside(out, one, path)
        try:
            names = _names(filesystem, path, one, known, kinds)
        except storage_errors(filesystem) as error:
            raise InputError(one, f"can't be looked at: {first_line(error)}") from error
        for name in names:
            place = name if local else filesystem.unstrip_protocol(name)
            found.setdefault(os.path.realpath(place) if local else place, place)
    return found


def identity_of(path: str) -> tuple[str, int]:
    """What changes when a file does, and its size in bytes.

    Args:
        path: path or URI.

    Raises:
        OSError: when it can't be looked at.
    """
    filesystem, name = fsspec.core.url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        status = Path(name).stat()
        return f"{status.st_size} {status.st_mtime_ns}", status.st_size
    details = filesystem.info(name)
    tag = details.get("ETag") or details.get("mtime") or details.get("created") or ""
    return f"{details['size']} {tag}", int(details["size"] or 0)


def refuse_changed(path: str, identity: str) -> None:
    """Refuse a file that is another one than when the run was planned.

    Args:
        path: path or URI. identity: what it was then.

    Raises:
        InputError: when it has changed, or gone.
    """
    try:
        now, _ = identity_of(path)
    except OSError as error:
        reason = f"it went away while it was read: {first_line(error)}"
        raise InputError(path, reason) from error
    if now != identity:
        raise InputError(path, "it changed while it was read")


def locate(one: str) -> tuple[Any, str]:
    """Where a path or URI leads.

    Args:
        one: path or URI.

    Returns:
        The file system of fsspec, and the path in it.

    Raises:
        UsageError: when there is no way to it; where a package is missing, naming the extra.
    """
    try:
        filesystem, path = fsspec.core.url_to_fs(one)
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(one.split("://")[0])
        hint = f': pip install "metacurate[{extra}]"' if extra else ""
        raise UsageError(f"{one}: can't be reached ({first_line(error)}){hint}") from error
    if isinstance(filesystem, LocalFileSystem):
        path = os.path.normpath(path)
    return filesystem, path


def storage_errors(filesystem: Any) -> tuple[type[Exception], ...]:
    """The errors that tell that a storage does not answer, or refuses.

    Args:
        filesystem: of fsspec.

    Returns:
        For `except`: not all are OSErrors where there are no credentials, or no connection.
    """
    if not {"s3", "s3a"}.intersection(_protocols(filesystem)):
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError

    return OSError, BotoCoreError, ClientError


def _protocols(filesystem: Any) -> tuple[str, ...]:
    told = filesystem.protocol
    return (told,) if isinstance(told, str) else tuple(told)


def _is_pool_file(path: str) -> bool:
    return format_of(path) is not None


def _names(
    filesystem: Any, path: str, one: str, known: Callable[[str], bool], kinds: str
) -> list[str]:
    if filesystem.isdir(path):
        names = _files_of_folder(filesystem, path, known)
        if not names:
            raise UsageError(f"{one}: the folder holds no {kinds}")
        return names
    if filesystem.exists(path):
        return [path]
    names = []
    fixed = _fixed_part(path)
    asked = _is_hidden(path[len(fixed) :])  # for what is hidden, by its name
    for name in filesystem.glob(path):
        if _is_hidden(name[len(fixed) :]) and not asked:
            continue
        if filesystem.isdir(name):
            names += _files_of_folder(filesystem, name, known)
        else:
            names.append(name)
    if not names:
        raise UsageError(f"{one}: no such file or folder")
    return names


def _is_output(filesystem: Any, folder: str) -> bool:
    """Whether a folder holds what a finished run of metacurate left."""
    if not filesystem.exists(f"{folder}/{MANIFEST}"):
        return False
    if filesystem.isdir(f"{folder}/{WORK}") or not isinstance(filesystem, LocalFileSystem):
        return bool(filesystem.isdir(f"{folder}/{WORK}"))
    try:
        return read_manifest(Path(folder)) is not None
    except InputError:  # of another program, as it seems
        return False


def _fixed_part(pattern: str) -> str:
    """The folder of a glob that is the same for all that it finds."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0].rpartition("/")[0]


def _files_of_folder(filesystem: Any, folder: str, known: Callable[[str], bool]) -> list[str]:
    base = folder.rstrip("/")
    if _is_output(filesystem, base):
        if filesystem.isdir(f"{base}/{CURATED_FOLDER}"):
            base = f"{base}/{CURATED_FOLDER}"
        elif filesystem.exists(f"{base}/{COUNTS_FILE}"):
            raise UsageError(f"{folder}: holds counts, not pairs")
    strict = {"on_error": "raise"} if isinstance(filesystem, LocalFileSystem) else {}
    try:
        names = filesystem.find(base, **strict)
    except OSError as error:  # a folder in it that may not be read
        raise InputError(folder, f"can't be looked through: {first_line(error)}") from error
    return [name for name in names if known(name) and not _is_hidden(name[len(base) :])]


def _is_hidden(path: str) -> bool:
    return any(part[:1] in (".", "_") for part in path.split("/") if part)


def _refuse_incomplete(paths: Iterable[str]) -> None:
    """Refuse what a run has left that is at work, or was cut off."""
    for folder in {os.path.dirname(path) for path in paths if "://" not in path}:  # noqa: PTH120
        place = Path(folder)
        out = place.parent if place.name == CURATED_FOLDER else place
        if (out / WORK).is_dir() and not (out / MANIFEST).exists():
            raise UsageError(f"{out}: its run is not complete: the same command finishes it")


def _input_file(path: str) -> InputFile:
    try:
        path.encode()
        identity, size = identity_of(path)
    except UnicodeEncodeError as error:
        raise InputError(path, "its name is no UTF-8") from error
    except OSError as error:  # it went away since it was listed
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


def _refuse_inside(out: Path, one: str, path: str) -> None:
    """Refuse outputs where this source would look for inputs, whether they are there or not."""
    if any(char in path for char in "*?[") and not os.path.exists(path):  # noqa: PTH110 - never raises
        fixed = _fixed_part(path)
        pattern = re.compile(glob_translate(os.path.realpath(fixed) + path[len(fixed) :]))
        place = out.resolve()
        made = (place / "x.parquet", place / CURATED_FOLDER / "x.parquet")
        inside = any(pattern.fullmatch(str(p)) for p in (*made, place, *place.parents))
    else:
        inside = Path(path).is_dir() and out.resolve().is_relative_to(Path(path).resolve())
    if inside:
        raise UsageError(f"the output folder {out} lies in the pool's folder {one}")


def _refuse_held(out: Path, paths: Iterable[str]) -> None:
    """Refuse inputs that lie where the outputs would."""
    for path in paths:
        if "://" not in path and Path(path).resolve().is_relative_to(out.resolve()):
            raise UsageError(f"the output folder {out} holds files of the pool: {path}")
