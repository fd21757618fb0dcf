"""The compiled half of hashing: XXH64 of pairs, of texts, and of what columns hold.

All compiled functions of hashing are in this one file, because Numba's cache does not notice a
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
def _longest(offsets: Any, size: Any) -> Any:
    longest = 0
    for i in range(size):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest


@compiled
def hash_pairs(
    urls: Any, url_offsets: Any, texts: Any, text_offsets: Any, seeds: Any, hashes: Any
) -> None:
    """XXH64 of each pair's url, a zero byte, and text, with each of some seeds.

    Args:
        urls: uint8, bytes of the urls; url_offsets: int32 or int64[pairs + 1].
        texts: uint8, bytes of the texts; text_offsets: int32 or int64[pairs + 1].
        seeds: uint64[seeds].
        hashes: uint64[seeds, pairs], filled.
    """
    n = hashes.shape[1]
    longest = _longest(url_offsets, n) + _longest(text_offsets, n)
    lanes = np.zeros(longest // 8 + 2, np.uint64)
    data = lanes.view(np.uint8)
    for i in range(n):
        size = 0
        for k in range(url_offsets[i], url_offsets[i + 1]):
            data[size] = urls[k]
            size += 1
        data[size] = 0
        size += 1
        for k in range(text_offsets[i], text_offsets[i + 1]):
            data[size] = texts[k]
            size += 1
        for j in range(seeds.size):
            hashes[j, i] = xxh64(data, lanes, size, seeds[j])


@compiled
def hash_texts(texts: Any, offsets: Any, seeds: Any, hashes: Any) -> None:
    """XXH64 of each text, with each of some seeds.

    Args:
        texts: uint8, their bytes; offsets: int32 or int64[texts + 1].
        seeds: uint64[seeds].
        hashes: uint64[seeds, texts], filled.
    """
    n = hashes.shape[1]
    lanes = np.zeros(_longest(offsets, n) // 8 + 2, np.uint64)
    data = lanes.view(np.uint8)
    for i in range(n):
        size = 0
        for k in range(offsets[i], offsets[i + 1]):
            data[size] = texts[k]
            size += 1
        for j in range(seeds.size):
            hashes[j, i] = xxh64(data, lanes, size, seeds[j])


@compiled
def hash_words(words: Any, seed: Any, hashes: Any) -> None:
    """XXH64 of 8 bytes each, little-endian.

    Args:
        words: uint64[words]. seed: uint64. hashes: uint64[words], filled.
    """
    lanes = np.zeros(1, np.uint64)
    data = lanes.view(np.uint8)
    for i in range(words.size):
        lanes[0] = words[i]
        hashes[i] = xxh64(data, lanes, 8, seed)


@compiled
def fold_items(items: Any, starts: Any, stops: Any, hashes: Any) -> None:
    """Take each list's items into its hash, one after another: XXH64 of one, seeded with it.

    Args:
        items: uint64, hashes of the items.
        starts, stops: int64[lists], which of them are a list's.
        hashes: uint64[lists], changed.
    """
    lanes = np.zeros(1, np.uint64)
    data = lanes.view(np.uint8)
    for i in range(hashes.size):
        for k in range(starts[i], stops[i]):
            lanes[0] = items[k]
            hashes[i] = xxh64(data, lanes, 8, hashes[i])


@compiled
def fold_column(name: Any, values: Any, hashes: Any) -> None:
    """Take a column into the hash of each row: XXH64 of its name's and the value's hash.

    Args:
        name: uint64, hash of the name. values: uint64[rows], hashes of the values.
        hashes: uint64[rows], which seed it; changed.
    """
    lanes = np.zeros(2, np.uint64)
    data = lanes.view(np.uint8)
    lanes[0] = name
    for i in range(hashes.size):
        lanes[1] = values[i]
        hashes[i] = xxh64(data, lanes, 16, hashes[i])
