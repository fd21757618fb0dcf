"""The compiled half of curation: draws, keep probabilities and smallest thresholds.

All compiled functions of curation are in this one file, because Numba's cache does not notice a
change in a function that lives in another file.
"""

from typing import Any

import numpy as np

from metacurate.compiled import compiled

P1 = np.uint64(11400714785074694791)  # the five primes of the XXH64 specification
P2 = np.uint64(14029467366897019727)
P3 = np.uint64(1609587929392839161)
P4 = np.uint64(9650029242287828579)
P5 = np.uint64(2870177450012600261)
MASK32 = np.uint64(0xFFFFFFFF)
UNIT = 2.0**-53
NEWTON_STEPS = 64


@compiled
def _rotate(value: Any, bits: Any) -> Any:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@compiled
def _round(accumulator: Any, lane: Any) -> Any:
    return _rotate(accumulator + lane * P2, 31) * P1


@compiled
def _merge(value: Any, accumulator: Any) -> Any:
    return (value ^ _round(np.uint64(0), accumulator)) * P1 + P4


@compiled
def xxh64(data: Any, lanes: Any, size: Any, seed: Any) -> Any:
    """XXH64 of data[:size] (xxHash specification, version 0.1.1).

    Args:
        data: uint8. lanes: the same bytes as uint64, little-endian, filled up to a whole one.
        size: number of bytes. seed: uint64.
    """
    n_lanes = size // 8
    lane = 0
    if size >= 32:
        v1, v2, v3, v4 = seed + P1 + P2, seed + P2, seed, seed - P1
        while lane + 4 <= n_lanes:
            v1 = _round(v1, lanes[lane])
            v2 = _round(v2, lanes[lane + 1])
            v3 = _round(v3, lanes[lane + 2])
            v4 = _round(v4, lanes[lane + 3])
            lane += 4
        value = _rotate(v1, 1) + _rotate(v2, 7) + _rotate(v3, 12) + _rotate(v4, 18)
        for accumulator in (v1, v2, v3, v4):
            value = _merge(value, accumulator)
    else:
        value = seed + P5
    value += np.uint64(size)
    while lane < n_lanes:
        value = _rotate(value ^ _round(np.uint64(0), lanes[lane]), 27) * P1 + P4
        lane += 1
    at = 8 * lane
    if at + 4 <= size:
        half = lanes[lane] & MASK32
        value = _rotate(value ^ (half * P1), 23) * P2 + P3
        at += 4
    while at < size:
        value = _rotate(value ^ (np.uint64(data[at]) * P5), 11) * P1
        at += 1
    value = (value ^ (value >> np.uint64(33))) * P2
    value = (value ^ (value >> np.uint64(29))) * P3
    return value ^ (value >> np.uint64(32))


@compiled
def hash_pairs(
    urls: Any, url_offsets: Any, texts: Any, text_offsets: Any, seed: Any, hashes: Any
) -> None:
    """XXH64 of each pair's url, a zero byte, and text.

    Args:
        urls: uint8, bytes of the urls; url_offsets: int32 or int64[pairs + 1].
        texts: uint8, bytes of the texts; text_offsets: int32 or int64[pairs + 1].
        seed: uint64.
        hashes: uint64[pairs], filled.
    """
    longest = 0
    for i in range(hashes.size):
        size = url_offsets[i + 1] - url_offsets[i] + text_offsets[i + 1] - text_offsets[i]
        longest = max(longest, size)
    lanes = np.zeros(longest // 8 + 2, np.uint64)
    data = lanes.view(np.uint8)
    for i in range(hashes.size):
        size = 0
        for k in range(url_offsets[i], url_offsets[i + 1]):
            data[size] = urls[k]
            size += 1
        data[size] = 0
        size += 1
        for k in range(text_offsets[i], text_offsets[i + 1]):
            data[size] = texts[k]
            size += 1
        hashes[i] = xxh64(data, lanes, size, seed)


@compiled
def keep_probabilities(ends: Any, ids: Any, misses: Any, result: Any) -> None:
    """1 less the product of the entries' misses, in ascending order of id.

    Args:
        ends: int32[texts + 1], where each text's ids begin and end.
        ids: uint32, entry ids, ascending within a text.
        misses: float64[entries], 1 less an entry's keep probability.
        result: float64[texts], filled; 0 for a text without entries.
    """
    for i in range(result.size):
        product = 1.0
        for k in range(ends[i], ends[i + 1]):
            product *= misses[ids[k]]
        result[i] = 1.0 - product


@compiled
def _is_kept(threshold: Any, counts: Any, ids: Any, start: Any, stop: Any, draw: Any) -> Any:
    product = 1.0
    for k in range(start, stop):
        product *= 1.0 - threshold / max(counts[ids[k]], threshold)
    return draw < 1.0 - product


@compiled
def min_thresholds(ends: Any, ids: Any, counts: Any, draws: Any, result: Any) -> None:
    """The smallest float64 threshold at which each pair is kept.

    Every step of the keep probability is a correctly rounded monotone function of the threshold,
    so the pairs that are kept change only once along the floats. Newton's method lands next to
    that place (below the rarest entry's count the product is a convex polynomial), and a search
    over neighbouring floats finds it exactly.

    Args:
        ends: int32[texts + 1]. ids: uint32, as for `keep_probabilities`.
        counts: float64[entries].
        draws: float64[texts], in [0, 1).
        result: float64[texts], filled; infinity for a text without entries.
    """
    number = np.empty(1, np.float64)
    bits = number.view(np.int64)
    for i in range(result.size):
        start, stop = ends[i], ends[i + 1]
        if start == stop:
            result[i] = np.inf
            continue
        ceiling = np.inf
        for k in range(start, stop):
            ceiling = min(ceiling, counts[ids[k]])
        if ceiling == 0.0:  # an entry that its counts never saw is kept at any threshold
            bits[0] = 1
            result[i] = number[0]
            continue
        wanted = 1.0 - draws[i]
        guess = 0.0
        for _ in range(NEWTON_STEPS):
            product = 1.0
            slope = 0.0
            for k in range(start, stop):
                count = counts[ids[k]]
                product *= 1.0 - guess / count
                slope += 1.0 / (count - guess)
            step = (product - wanted) / (product * slope)
            guess += step
            if not (abs(step) > 1e-15 * guess and guess < ceiling):
                break
        if not 0.0 < guess <= ceiling:
            guess = ceiling
        number[0] = ceiling
        high = bits[0]  # kept at `high`, not at `low`
        low = np.int64(0)
        number[0] = guess
        near = bits[0]
        step_bits = np.int64(1)
        if _is_kept(guess, counts, ids, start, stop, draws[i]):
            high = near
            while high - step_bits > low:
                bits[0] = high - step_bits
                if _is_kept(number[0], counts, ids, start, stop, draws[i]):
                    high = bits[0]
                    step_bits *= 2
                else:
                    low = bits[0]
                    break
        else:
            low = near
            while low + step_bits < high:
                bits[0] = low + step_bits
                if _is_kept(number[0], counts, ids, start, stop, draws[i]):
                    high = bits[0]
                    break
                low = bits[0]
                step_bits *= 2
        while high - low > 1:
            middle = low + (high - low) // 2
            bits[0] = middle
            if _is_kept(number[0], counts, ids, start, stop, draws[i]):
                high = middle
            else:
                low = middle
        bits[0] = high
        result[i] = number[0]
