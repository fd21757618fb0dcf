"""The compiled half of near duplicates: codes within a Hamming distance of those that stay.

All compiled functions of images are in this one file, because Numba's cache does not notice a
change in a function that lives in another file.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from metacurate.compiled import compiled, inlined


@intrinsic  # type: ignore[untyped-decorator]
def popcount(context: Any, word: Any) -> Any:
    """Number of ones in a uint64: an instruction that Numba has no name for."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@inlined
def _nearest_in(held: Any, start: Any, stop: Any, code: Any) -> Any:
    """The smallest distance to codes that lie one behind another; without a branch."""
    best = np.uint64(65)
    for j in range(start, stop):
        distance = popcount(held[j] ^ code)
        best = min(best, distance)
    return best


@inlined
def _chunk(code: Any, shift: Any, width: Any) -> Any:
    """The bits of a chunk of a code, uint64."""
    return (code >> np.uint64(shift)) & np.uint64((1 << width) - 1)


@compiled
def stay(
    codes: Any,
    fixed: Any,
    within: Any,
    shifts: Any,
    widths: Any,
    mask_ends: Any,
    masks: Any,
    starts: Any,
    fills: Any,
    held: Any,
    ids: Any,
    stays: Any,
) -> None:
    """Take codes one after another: each stays unless one that stays already is near.

    Codes that stay lie in a table for each chunk of their bits, in the bucket of the chunk's
    value, one behind another. Two codes within the distance agree in some chunk but for a few
    bits, so that it is enough to look into the buckets of those values: `masks`.

    Args:
        codes: uint64[n], each once, in the order of their rank.
        fixed: so many of the first stay whatever is near.
        within: the distance, in bits.
        shifts, widths: int64[chunks], where in a code each chunk begins, and its bits.
        mask_ends: int64[chunks + 1]. masks: uint64, bits in which a chunk may differ.
        starts: int64[chunks, buckets], where each bucket begins in `held`.
        fills: the same, where what it holds ends; filled.
        held: uint64[chunks, n], codes by bucket; filled.
        ids: uint32[chunks, n], which they are; filled.
        stays: bool[n], filled.
    """
    for i in range(codes.size):
        code = codes[i]
        near = False
        if i >= fixed:
            for c in range(shifts.size):
                value = _chunk(code, shifts[c], widths[c])
                for k in range(mask_ends[c], mask_ends[c + 1]):
                    bucket = np.int64(value ^ masks[k])
                    if _nearest_in(held[c], starts[c, bucket], fills[c, bucket], code) <= within:
                        near = True
                        break
                if near:
                    break
        stays[i] = not near
        if near:
            continue
        for c in range(shifts.size):
            value = np.int64(_chunk(code, shifts[c], widths[c]))
            place = fills[c, value]
            held[c, place] = code
            ids[c, place] = i
            fills[c, value] = place + 1


@compiled
def nearest(
    codes: Any,
    asked: Any,
    shifts: Any,
    widths: Any,
    mask_ends: Any,
    masks: Any,
    starts: Any,
    fills: Any,
    held: Any,
    ids: Any,
    found: Any,
    distances: Any,
) -> None:
    """The nearest code that stays, for some; of equally near ones the first.

    It is found for those that have one within the distance; for others, what is found is farther.

    Args:
        codes: uint64[n]. asked: int64[some], which.
        shifts, widths, mask_ends, masks, starts, fills, held, ids: as `stay` left them.
        found: int64[some], filled. distances: int64[some], filled.
    """
    for a in range(asked.size):
        code = codes[asked[a]]
        best = np.uint64(65)
        who = np.uint32(0)
        for c in range(shifts.size):
            value = _chunk(code, shifts[c], widths[c])
            for k in range(mask_ends[c], mask_ends[c + 1]):
                bucket = np.int64(value ^ masks[k])
                start, stop = starts[c, bucket], fills[c, bucket]
                distance = _nearest_in(held[c], start, stop, code)
                if distance > best:
                    continue
                for j in range(start, stop):
                    if popcount(held[c, j] ^ code) == distance and (
                        distance < best or ids[c, j] < who
                    ):
                        best = distance
                        who = ids[c, j]
        found[a] = who
        distances[a] = np.int64(best)


@compiled
def within_256(codes: Any, listed: Any, within: Any, result: Any) -> None:
    """Which codes of 256 bits have one of a list within a distance.

    Args:
        codes: uint64[n, 4]. listed: uint64[m, 4]. within: in bits. result: bool[n], filled.
    """
    for i in range(codes.shape[0]):
        result[i] = False
        for j in range(listed.shape[0]):
            distance = np.uint64(0)
            for k in range(4):
                distance += popcount(codes[i, k] ^ listed[j, k])
            if distance <= within:
                result[i] = True
                break
