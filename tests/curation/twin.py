"""Curation again in plain Python, to hold the compiled one to: no NumPy, no Arrow, no Numba."""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import xxhash

from metacurate.matching.spacing import Mode, space_entry, space_text, words_of

LARGEST = 0x7FEF_FFFF_FFFF_FFFF  # the bits of the largest finite float64


class Kept(NamedTuple):
    url: str
    text: str
    entries: list[int]
    probability: float
    min_threshold: float


class Twin:
    def __init__(self, entries: Sequence[str], mode: Mode = "paper") -> None:
        """Index entries by their words, as half a million substring searches a text are too slow.

        An entry and a spaced text both begin and end with a space, and single spaces separate
        their words: so the entry is a substring exactly where its words follow one another.
        """
        self.ids: dict[tuple[str, ...], list[int]] = {}
        for i, entry in enumerate(entries):
            self.ids.setdefault(tuple(words_of(space_entry(entry, mode))), []).append(i)
        self.lengths = sorted({len(words) for words in self.ids})

    def match(self, text: str) -> list[int]:
        words = tuple(words_of(space_text(text)))
        found: set[int] = set()
        for start in range(len(words)):
            for length in self.lengths:
                if start + length > len(words):
                    break
                found.update(self.ids.get(words[start : start + length], ()))
        return sorted(found)


def count(matches: Iterable[list[int]]) -> Counter[int]:
    return Counter(i for ids in matches for i in ids)


def keep_probability(counts: Iterable[int], threshold: float) -> float:
    """Of a pair, from the counts of its entries in ascending order of id."""
    product = 1.0
    for number in counts:
        product *= 1.0 - threshold / max(float(number), threshold)
    return 1.0 - product


def draw(url: str, text: str, seed: int, round_: int = 0) -> float:
    key = xxhash.xxh64_intdigest(b"sample" + struct.pack("<Q", round_), seed)
    return (xxhash.xxh64_intdigest(f"{url}\0{text}".encode(), key) >> 11) / 2**53


def min_threshold(counts: Sequence[int], drawn: float) -> float:
    """The smallest positive float64 that keeps a pair, by bisection over all of them."""
    low, high = 0, LARGEST
    while high - low > 1:
        middle = (low + high) // 2
        if drawn < keep_probability(counts, from_bits(middle)):
            high = middle
        else:
            low = middle
    return from_bits(high)


def from_bits(bits: int) -> float:
    """Positive floats are in the order of their bits."""
    (number,) = struct.unpack("<d", struct.pack("<Q", bits))
    return float(number)


def sample(
    pairs: Iterable[tuple[str, str]],
    matches: Iterable[list[int]],
    counts: Counter[int],
    threshold: float,
    seed: int,
    round_: int = 0,
) -> Iterator[Kept]:
    for (url, text), ids in zip(pairs, matches, strict=True):
        numbers = [counts[i] for i in ids]
        probability = keep_probability(numbers, threshold)
        drawn = draw(url, text, seed, round_)
        if drawn < probability:
            yield Kept(url, text, ids, probability, min_threshold(numbers, drawn))
