"""Draws: each pair's own uniform number, and the choice that it makes."""

import operator
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation import kernel
from metacurate.errors import UsageError
from metacurate.matching.automaton import string_buffers
from metacurate.matching.matcher import Texts, string_arrays, without_nulls

Purpose: TypeAlias = Literal["sample", "online", "caption", "dedup", "shuffle"]
MAX_SEED = 2**64 - 1


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


def draws(
    urls: Texts, texts: Texts, seed: int, purpose: Purpose = "sample", index: int = 0
) -> npt.NDArray[np.float64]:
    """Each pair's draw: a uniform number that depends on the pair, seed and purpose alone.

    The top 53 bits / 2^53 of XXH64(url, a zero byte, text), seeded by `draw_seed`.

    Args:
        urls: Arrow string array or sequence of str, the pairs' urls.
        texts: the same for their texts; equally many.
        seed: uint64.
        purpose: what the draw decides.
        index: round or epoch.

    Returns:
        float64[pairs] in [0, 1); NaN, which is below nothing, where url or text is null.

    Raises:
        UsageError: when lengths differ, types are no strings, or the seed is out of range.
    """
    left, right = _single(urls), _single(texts)
    hashes = hash_pairs(left, right, seed, purpose, index)
    result = (hashes >> np.uint64(11)).astype(np.float64) * kernel.UNIT
    for array in (left, right):
        if array.null_count:
            result[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return result


def hash_pairs(
    urls: Texts, texts: Texts, seed: int, purpose: Purpose = "sample", index: int = 0
) -> npt.NDArray[np.uint64]:
    """XXH64(url, a zero byte, text) of each pair, seeded by `draw_seed`; null counts as empty.

    Args:
        urls, texts, seed, purpose, index: as for `draws`.

    Returns:
        uint64[pairs].

    Raises:
        UsageError: when lengths differ, types are no strings, or the seed is out of range.
    """
    hash_seed = np.uint64(draw_seed(seed, purpose, index))
    left, right = _single(urls), _single(texts)
    if len(left) != len(right):
        raise UsageError(f"{len(left)} urls and {len(right)} texts are no pairs")
    hashes = np.empty(len(left), np.uint64)
    kernel.hash_pairs(
        *string_buffers(without_nulls(left)),
        *string_buffers(without_nulls(right)),
        hash_seed,
        hashes,
    )
    return hashes


def _single(texts: Texts) -> pa.Array:
    arrays = list(string_arrays(texts))
    if len(arrays) == 1:
        return arrays[0]
    large = [array.cast(pa.large_string()) for array in arrays]
    return pa.concat_arrays(large) if large else pa.array([], pa.large_string())
