"""Lists of hashes of images that must not be in a set: takedowns, as SHA-256 or PDQ."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.engine.storage import read_bytes
from metacurate.engine.stores import place_of
from metacurate.errors import InputError, first_line

PDQ_DISTANCE = 31  # of 256 bits: what its authors take for the same image
HASH = re.compile(r"[0-9a-f]{64}")
HASH_TYPE = pa.binary(32)


def read_hash_list(path: str) -> list[bytes]:
    """Read a list of hashes of 256 bits: 64 hex digits a line, of either case.

    Empty lines, and what is behind a `#`, are passed over.

    Args:
        path: path or URI.

    Returns:
        32 bytes each, in the order of the lines.

    Raises:
        InputError: when it can't be read, or a line is no such hash: with its number.
    """
    try:
        text = read_bytes(place_of(path)).decode()
    except OSError as error:
        raise InputError(path, f"can't be read: {first_line(error)}") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is no text in UTF-8") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip().lower()
        if content and not HASH.fullmatch(content):
            raise InputError(path, f"line {number} is no hash of 64 hex digits: {content[:80]!r}")
        if content:
            found.append(bytes.fromhex(content))
    return found


def digest_of(paths: Sequence[str]) -> str:
    """What changes when one of some files does.

    Args:
        paths: paths or URIs.

    Returns:
        In hex.

    Raises:
        InputError: when one can't be read.
    """
    found = hashlib.sha256()
    for path in paths:
        try:
            found.update(hashlib.sha256(read_bytes(place_of(path))).digest())
        except OSError as error:
            raise InputError(path, f"can't be read: {first_line(error)}") from error
    return found.hexdigest()


class HashLists:
    """Lists that were read, to be asked."""

    def __init__(self, sha256_lists: Sequence[str], pdq_lists: Sequence[str]) -> None:
        """Read them.

        Args:
            sha256_lists: of the files' bytes. pdq_lists: of what is to be seen; paths or URIs.

        Raises:
            InputError: see `read_hash_list`.
        """
        exact = {one for path in sha256_lists for one in read_hash_list(path)}
        similar = {one for path in pdq_lists for one in read_hash_list(path)}
        self._exact = pa.array(sorted(exact), HASH_TYPE)
        self._similar = _words(sorted(similar))

    def holds(self, sha256: pa.Array, pdq: pa.Array | None) -> npt.NDArray[np.bool_]:
        """Which images one of the lists holds.

        Args:
            sha256: of each, 32 bytes. pdq: the same, or null; None where it was not computed.

        Returns:
            bool[images].
        """
        found = pc.is_in(sha256, self._exact).to_numpy(zero_copy_only=False)
        if pdq is not None and len(self._similar):
            from metacurate.images.filters import kernel

            there = pdq.is_valid().to_numpy(zero_copy_only=False)
            near = np.zeros(int(there.sum()), np.bool_)
            codes = _words(pdq.drop_null().to_pylist())
            kernel.within_256(codes, self._similar, np.uint64(PDQ_DISTANCE), near)
            found = found.copy()
            found[there] |= near
        return found  # type: ignore[no-any-return]


def _words(hashes: Sequence[bytes]) -> npt.NDArray[Any]:
    """Hashes of 32 bytes as uint64[hashes, 4]."""
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 4)
