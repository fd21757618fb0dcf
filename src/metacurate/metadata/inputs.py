"""The files that metadata is built of: which there are, and their digests."""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import fsspec

from metacurate.engine.progress import Progress
from metacurate.engine.storage import write_json
from metacurate.errors import InputError, UsageError, first_line
from metacurate.pool.files import identity_of, list_files

BLOCK = 4 << 20  # bytes that are hashed at a time


def list_inputs(
    named: Sequence[str], known: Callable[[str], bool], kinds: str, outputs: Sequence[Path]
) -> list[str]:
    """List files that are named, without those that an earlier build has left among them.

    Args:
        named: files, folders and globs; perhaps none. known: which files of a folder are meant.
        kinds: how they are named, for errors. outputs: files and folders that are no inputs.

    Returns:
        Paths or URIs, sorted.

    Raises:
        UsageError: when one of those that are named means no file.
    """
    if not named:
        return []
    places = [str(place.resolve()) for place in outputs]

    def is_output(path: str) -> bool:
        real = "" if "://" in path else str(Path(path).resolve())
        return any(real == place or real.startswith(f"{place}/") for place in places)

    found = [path for path in list_files(named, known, kinds) if not is_output(path)]
    if not found:
        raise UsageError(f"{', '.join(named)}: holds no {kinds}")
    return found


def require_file(path: str) -> None:
    """Refuse a file that can't be looked at.

    Args:
        path: path or URI.

    Raises:
        UsageError: naming it.
    """
    try:
        identity_of(path)
    except OSError as error:
        raise UsageError(f"{path}: can't be looked at: {first_line(error)}") from error


def hash_files(
    paths: Sequence[str], known_path: Path, *, workers: int, progress: Progress, skip: bool
) -> list[dict[str, Any]]:
    """Name, size and SHA-256 of files; those that are known and unchanged are not read again.

    Args:
        paths: paths or URIs. known_path: a JSON file that keeps what is known.
        workers: number of threads. progress: told of bytes.
        skip: whether a file that can't be read has no digest, rather than being an error.

    Returns:
        For each path file (its name), bytes, and sha256 (in hex, or None).

    Raises:
        InputError: when a file can't be read.
    """
    try:
        known = json.loads(known_path.read_text("utf-8"))
    except (OSError, ValueError):  # none yet
        known = {}
    found = {path: identity_of(path) for path in paths}
    todo = [path for path in paths if known.get(path, [None])[0] != found[path][0]]
    if todo:
        progress.start("digests", sum(found[path][1] for path in todo), "bytes")
        with ThreadPoolExecutor(workers) as pool:
            digests = list(pool.map(partial(_digest, progress.advance, skip), todo))
        progress.end()
        known.update({p: [found[p][0], d] for p, d in zip(todo, digests, strict=True)})
        write_json(known_path, known)
    return [
        {"file": path.rsplit("/", 1)[-1], "bytes": found[path][1], "sha256": known[path][1]}
        for path in paths
    ]


def _digest(advance: Callable[[int], None], skip: bool, path: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with fsspec.open(path, "rb") as file:
            while content := file.read(BLOCK):
                digest.update(content)
                advance(len(content))
    except OSError as error:
        if skip:
            return None
        raise InputError(path, f"can't be read: {first_line(error)}") from error
    return digest.hexdigest()
