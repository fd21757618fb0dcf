"""The compiled half of counting words: cut texts, look words up, count them and their neighbours.

`metacurate.metadata.words.cut_words` is the definition that this follows. All of it is in this one
file, because Numba's cache does not notice a change in a function that lives in another file.

Words are numbered from 0 as they come. A table of slots, open addressing, leads from a word's hash
to its number plus one (0 is an empty slot), and another from a pair of numbers to its count. Tables
don't grow here: where one is full, `count_texts` leaves with the place where it stopped, before the
word that found no room has changed anything.
"""

from typing import Any

import numpy as np

from metacurate.compiled import compiled, inlined, prefetch
from metacurate.metadata.words import JOINER, LETTER, MARK, SPACE

U64 = np.uint64
ASCII = U64(0x80)
TRAIL = U64(0x3F)
ONE = U64(1)
THIRTY_TWO = U64(32)
PRIME = U64(0x100000001B3)  # FNV-1a's
GOLDEN = U64(0x9E3779B97F4A7C15)

WAITING = 32  # bigrams whose places in the table have been asked for, and are on their way

TEXT, AT, PREVIOUS, WORDS, USED, PAIRS, TOKENS = range(7)  # places in the state
STATE_SIZE = 7
DONE, WORDS_FULL, BYTES_FULL, PAIRS_FULL = range(4)


@inlined
def _look(data: Any, at: Any, classes: Any) -> Any:
    """Class and size in bytes of the character at a place of valid UTF-8: class * 8 + size."""
    first = U64(data[at])
    if first < ASCII:
        return np.int64(classes[first]) * 8 + 1
    if first < U64(0xE0):
        code = (first & U64(0x1F)) << U64(6) | (U64(data[at + 1]) & TRAIL)
        return np.int64(classes[code]) * 8 + 2
    if first < U64(0xF0):
        code = (
            (first & U64(0x0F)) << U64(12)
            | (U64(data[at + 1]) & TRAIL) << U64(6)
            | (U64(data[at + 2]) & TRAIL)
        )
        return np.int64(classes[code]) * 8 + 3
    code = (
        (first & U64(0x07)) << U64(18)
        | (U64(data[at + 1]) & TRAIL) << U64(12)
        | (U64(data[at + 2]) & TRAIL) << U64(6)
        | (U64(data[at + 3]) & TRAIL)
    )
    return np.int64(classes[code]) * 8 + 4


@inlined
def _end_of_word(data: Any, at: Any, stop: Any, classes: Any) -> Any:
    """Where a word that begins at a place ends."""
    end = at
    while end < stop:
        look = _look(data, end, classes)
        kind, size = look >> 3, look & 7
        if kind == LETTER or (kind == MARK and end > at):
            end += size
        elif kind == JOINER and end + size < stop:
            after = _look(data, end + size, classes)
            if after >> 3 != LETTER:
                break
            end += size + (after & 7)
        else:
            break
    return end


@inlined
def _hash_word(data: Any, at: Any, end: Any, seed: Any) -> Any:
    value = seed
    for place in range(at, end):
        value = (value ^ U64(data[place])) * PRIME
    return value ^ (value >> THIRTY_TWO)


@inlined
def _slot_of_pair(key: Any, seed: Any, mask: Any) -> Any:
    value = (key ^ seed) * GOLDEN
    value = (value ^ (value >> THIRTY_TWO)) * ((seed << ONE) ^ GOLDEN)  # odd
    return (value ^ (value >> THIRTY_TWO)) & mask


@inlined
def _count_pair(key: Any, seed: Any, mask: Any, keys: Any, counts: Any) -> Any:
    """Count a pair; 1 where it is new, else 0."""
    place = _slot_of_pair(key, seed, mask)
    while keys[place] != key and keys[place] != 0:
        place = (place + ONE) & mask
    if keys[place] == 0:
        keys[place] = key
        counts[place] = np.uint32(1)
        return 1
    counts[place] += np.uint32(1)
    return 0


@compiled
def count_texts(
    data: Any,
    bounds: Any,
    classes: Any,
    seed: Any,
    state: Any,
    slots: Any,
    hashes: Any,
    ends: Any,
    arena: Any,
    counts: Any,
    keys: Any,
    pair_counts: Any,
) -> Any:
    """Count the words and bigrams of texts, from where `state` says on.

    Args:
        data: uint8, the texts in valid UTF-8. bounds: int64[texts + 1], where each begins and ends.
        classes: uint8[0x110000] of code points. seed: uint64, of the hash.
        state: int64[7]: text, place in data, number of the word before (or -1), words, bytes of
            words, bigrams, and how many words were counted in all.
        slots: uint32, a power of two of them. hashes: uint64[room for words].
        ends: int64[room + 1], where in arena each word begins, and the next. arena: uint8, words.
        counts: int64[room]. keys: uint64, a power of two of them, pairs of words, or 0.
        pair_counts: uint32, as many.

    Returns:
        DONE, or which table is full.
    """
    mask = U64(len(slots) - 1)
    pair_mask = U64(len(keys) - 1)
    most_pairs = len(keys) // 8 * 5 - WAITING
    keys_at, pair_counts_at = U64(keys.ctypes.data), U64(pair_counts.ctypes.data)
    waiting = np.zeros(WAITING, np.uint64)
    n_waiting = 0  # counted through: the place of the next one is the rest of it
    text, at, previous = state[TEXT], state[AT], state[PREVIOUS]
    n_words, used, n_pairs = state[WORDS], state[USED], state[PAIRS]
    n_tokens = state[TOKENS]
    status = DONE
    n_texts = len(bounds) - 1
    while text < n_texts and status == DONE:
        stop = bounds[text + 1]
        while at < stop:
            look = _look(data, at, classes)
            kind = look >> 3
            if kind != LETTER:
                if kind != SPACE:
                    previous = -1
                at += look & 7
                continue
            if n_pairs >= most_pairs:
                status = PAIRS_FULL
                break
            end = _end_of_word(data, at, stop, classes)
            size = end - at
            hashed = _hash_word(data, at, end, seed)
            slot = hashed & mask
            word = np.int64(-1)
            while slots[slot] != 0:
                known = np.int64(slots[slot]) - 1
                begin = ends[known]
                if hashes[known] == hashed and ends[known + 1] - begin == size:
                    same = True
                    for k in range(size):
                        if arena[begin + k] != data[at + k]:
                            same = False
                            break
                    if same:
                        word = known
                        break
                slot = (slot + ONE) & mask
            if word < 0:
                if n_words >= len(hashes):
                    status = WORDS_FULL
                    break
                if used + size > len(arena):
                    status = BYTES_FULL
                    break
                word = n_words
                for k in range(size):
                    arena[used + k] = data[at + k]
                used += size
                n_words += 1
                ends[n_words] = used
                hashes[word] = hashed
                counts[word] = 0
                slots[slot] = np.uint32(n_words)
            counts[word] += 1
            n_tokens += 1
            if previous >= 0:
                key = U64(previous + 1) << THIRTY_TWO | U64(word + 1)
                place = _slot_of_pair(key, seed, pair_mask)
                prefetch(keys_at + place * U64(8))
                prefetch(pair_counts_at + place * U64(4))
                turn = n_waiting % WAITING
                if n_waiting >= WAITING:
                    n_pairs += _count_pair(waiting[turn], seed, pair_mask, keys, pair_counts)
                waiting[turn] = key
                n_waiting += 1
            previous = word
            at = end
        if status == DONE:
            text += 1
            previous = -1
            if text < n_texts:
                at = bounds[text]
    for k in range(min(n_waiting, WAITING)):
        n_pairs += _count_pair(waiting[k], seed, pair_mask, keys, pair_counts)
    state[TEXT], state[AT], state[PREVIOUS] = text, at, previous
    state[WORDS], state[USED], state[PAIRS] = n_words, used, n_pairs
    state[TOKENS] = n_tokens
    return status


@compiled
def fill_slots(slots: Any, hashes: Any, n_words: Any) -> None:
    """Enter words into empty slots.

    Args:
        slots: uint32, zeros, a power of two of them. hashes: uint64. n_words: how many of them.
    """
    mask = U64(len(slots) - 1)
    for word in range(n_words):
        slot = hashes[word] & mask
        while slots[slot] != 0:
            slot = (slot + ONE) & mask
        slots[slot] = np.uint32(word + 1)


@compiled
def move_pairs(keys: Any, counts: Any, seed: Any, new_keys: Any, new_counts: Any) -> None:
    """Enter pairs and their counts into a larger table.

    Args:
        keys: uint64, 0 for none. counts: uint32, as many. seed: uint64, of the hash.
        new_keys: uint64, zeros, a power of two of them. new_counts: uint32, as many.
    """
    mask = U64(len(new_keys) - 1)
    for i in range(len(keys)):
        if keys[i] != 0:
            place = _slot_of_pair(keys[i], seed, mask)
            while new_keys[place] != 0:
                place = (place + ONE) & mask
            new_keys[place] = keys[i]
            new_counts[place] = counts[i]


@compiled
def bucket_words(arena: Any, ends: Any, n_words: Any, n_buckets: Any) -> Any:
    """Tell the bucket of each word, the same in every process.

    Args:
        arena: uint8, words. ends: int64[words + 1], where each begins, and the next.
        n_words: how many. n_buckets: how many.

    Returns:
        uint16[words].
    """
    buckets = np.empty(n_words, np.uint16)
    for word in range(n_words):
        hashed = _hash_word(arena, ends[word], ends[word + 1], PRIME)
        buckets[word] = np.uint16((hashed * GOLDEN >> THIRTY_TWO) % U64(n_buckets))
    return buckets
