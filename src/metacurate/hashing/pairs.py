"""XXH64 of pairs and texts, with seeds that never serve two choices."""

import operator
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.errors import UsageError
from metacurate.hashing import kernel
from metacurate.matching.automaton import string_buffers
from metacurate.matching.matcher import Texts, string_arrays, without_nulls

Purpose: TypeAlias = Literal["sample", "online", "caption", "crop", "dedup", "shuffle"]
MAX_SEED = 2**64 - 1

Hashes: TypeAlias = npt.NDArray[np.uint64]


def check_seed(seed: int, name: str = "seed") -> int:
    """Refuse a seed that is no uint64.

    Args:
        seed: of any integer type. name: what to call it.

    Returns:
        It, as an int.

    Raises:
        UsageError: naming it.
    """
    if not hasattr(seed, "__index__") or not 0 <= seed <= MAX_SEED:
        raise UsageError(f"{name} {seed} is no whole number from 0 to 2^64 - 1")
    return operator.index(seed)


def draw_seed(seed: int, purpose: Purpose = "sample", index: int = 0) -> int:
    """Seed of the hash that makes the draws of one purpose.

    XXH64 of the purpose in ASCII and the index in 8 bytes, little-endian, seeded with `seed`:
    one random number never serves two choices.

    Args:
        seed: the user's, uint64.
        purpose: what the draw decides.
        index: round for `sample`, epoch for `online`, else 0; uint64.

    Returns:
        uint64.

    Raises:
        UsageError: for a seed or index out of range, or an unknown purpose.
    """
    seed, index = check_seed(seed), check_seed(index, "index")
    if purpose not in get_args(Purpose):
        raise UsageError(f"purpose {purpose!r} is none of: {', '.join(get_args(Purpose))}")
    return xxh64(purpose.encode() + index.to_bytes(8, "little"), seed)


def xxh64(message: bytes, seed: int) -> int:
    """XXH64 of one message (xxHash specification, version 0.1.1).

    Args:
        message: any bytes. seed: uint64.

    Returns:
        uint64.
    """
    lanes = np.zeros(len(message) // 8 + 2, np.uint64)
    lanes.view(np.uint8)[: len(message)] = np.frombuffer(message, np.uint8)
    return int(kernel.xxh64(lanes.view(np.uint8), lanes, len(message), np.uint64(seed)))


def hash_pairs(
    urls: Texts, texts: Texts, seed: int, purpose: Purpose = "sample", index: int = 0
) -> Hashes:
    """XXH64(url, a zero byte, text) of each pair, seeded by `draw_seed`; null counts as empty.

    Args:
        urls: Arrow string array or sequence of str, the pairs' urls.
        texts: the same for their texts; equally many.
        seed: uint64.
        purpose: what the hash decides.
        index: round or epoch.

    Returns:
        uint64[pairs].

    Raises:
        UsageError: when lengths differ, types are no strings, or the seed is out of range.
    """
    hashes: Hashes = hash_columns([urls, texts], [draw_seed(seed, purpose, index)])[0]
    return hashes


def hash_columns(columns: Sequence[Texts], seeds: Sequence[int]) -> Hashes:
    """XXH64 of each row of one column of texts, or of two with a zero byte between them.

    Args:
        columns: Arrow string arrays or sequences of str, equally long; null counts as empty.
        seeds: of the hash, uint64.

    Returns:
        uint64[seeds, rows].

    Raises:
        UsageError: when lengths differ, or types are no strings.
    """
    arrays = [one_array(column) for column in columns]
    if len({len(array) for array in arrays}) > 1:
        raise UsageError(f"{len(arrays[0])} urls and {len(arrays[1])} texts are no pairs")
    hashes = np.empty((len(seeds), len(arrays[0])), np.uint64)
    buffers = [part for array in arrays for part in string_buffers(without_nulls(array))]
    hash_ = kernel.hash_pairs if len(arrays) == 2 else kernel.hash_texts
    hash_(*buffers, np.array(seeds, np.uint64), hashes)
    return hashes


def one_array(texts: Texts) -> pa.Array:
    """Bring texts into one string or large_string array.

    Args:
        texts: Arrow string array, chunked or not, or sequence of str.

    Raises:
        UsageError: when they are no strings.
    """
    arrays = list(string_arrays(texts))
    if len(arrays) == 1:
        return arrays[0]
    large = [array.cast(pa.large_string()) for array in arrays]
    return pa.concat_arrays(large) if large else pa.array([], pa.large_string())
