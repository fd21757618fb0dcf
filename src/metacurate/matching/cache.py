"""Compiled automata on disk: built once per metadata, then mapped by every process."""

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from metacurate.matching.automaton import FORMAT, Automaton

log = logging.getLogger(__name__)

MAGIC = b"metacurate automaton\n"
ALIGNMENT = 64
CHECKED = len(MAGIC) + hashlib.sha256().digest_size  # from here on the checksum holds


def cache_folder() -> Path | None:
    """Where automata are kept: METACURATE_CACHE, else the user's cache folder (XDG).

    Returns:
        The folder; None for a user without a home, who is to have none in a place of others.
    """
    if named := os.environ.get("METACURATE_CACHE"):
        return Path(named)
    if named := os.environ.get("XDG_CACHE_HOME"):
        return Path(named) / "metacurate"
    try:
        return Path.home() / ".cache" / "metacurate"
    except RuntimeError:
        return None


def cache_path(digest: str, mode: str) -> Path | None:
    """The file of one automaton.

    Args:
        digest: of the metadata, in hex. mode: the matching mode.

    Returns:
        A path that changes with the digest, the mode and the version of the format; None where
        there is no cache folder.
    """
    folder = cache_folder()
    return None if folder is None else folder / f"{digest[:32]}-{mode}-v{FORMAT}.automaton"


def save_automaton(automaton: Automaton, path: Path) -> None:
    """Write an automaton under a temporary name and rename it, in a folder of mode 0700.

    A folder that can't be written costs time in later runs, and is reported, not fatal.

    Args:
        automaton: what to write. path: where to.
    """
    arrays = {f.name: np.ascontiguousarray(getattr(automaton, f.name)) for f in fields(automaton)}
    layout = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    header = json.dumps({"name": path.name, "arrays": layout}).encode()
    pieces: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header]
    position = CHECKED + len(pieces[0]) + len(header)
    for array in arrays.values():
        padding = bytes(-position % ALIGNMENT)
        pieces += [padding, array.data]
        position += len(padding) + array.nbytes
    checksum = hashlib.sha256()
    for piece in pieces:
        checksum.update(piece)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            try:
                file.write(MAGIC + checksum.digest())
                for piece in pieces:
                    file.write(piece)
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        log.warning("the automaton could not be kept for later runs: %s", error)


def load_automaton(path: Path) -> Automaton | None:
    """Map an automaton from its file.

    Args:
        path: where it may be.

    Returns:
        The automaton; None where there is no file, or one that is damaged or belongs to
        another user, which a message reports.
    """
    try:
        if path.stat().st_uid not in (0, os.getuid()):
            log.warning("%s belongs to another user and is not trusted", path)
            return None
        content = np.memmap(path, np.uint8, mode="r")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s can't be read and is built again: %s", path, error)
        return None
    try:
        return _parse(content, path.name)
    except ValueError as error:
        log.warning("%s is damaged and is built again: %s", path, error)
        return None


def _parse(content: "np.memmap[tuple[int], np.dtype[np.uint8]]", name: str) -> Automaton:
    if content[: len(MAGIC)].tobytes() != MAGIC:
        raise ValueError("it is no automaton")
    if hashlib.sha256(content[CHECKED:].data).digest() != content[len(MAGIC) : CHECKED].tobytes():
        raise ValueError("its checksum does not fit")
    start = CHECKED + 8
    position = start + int.from_bytes(content[CHECKED:start].tobytes(), "little")
    header = json.loads(content[start:position].tobytes())
    if header["name"] != name:
        raise ValueError(f"it holds {header['name']}")
    arrays = {}
    for field, (kind, shape) in header["arrays"].items():
        position += -position % ALIGNMENT
        length = int(np.prod(shape)) * np.dtype(kind).itemsize
        array = np.asarray(content[position : position + length]).view(kind).reshape(shape)
        arrays[field] = array
        position += length
    return Automaton(**arrays)
