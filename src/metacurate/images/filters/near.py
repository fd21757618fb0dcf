"""Near duplicates by 64-bit codes: which images stay, exactly, whatever the distance.

Multi-index hashing (Norouzi, Punjani, Fleet 2012): the bits of a code are cut into chunks. Where
two codes differ in no more than D bits, they differ in few bits of at least one chunk, and a table
of the codes by that chunk finds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from metacurate.errors import UsageError

Codes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BITS = 64
WIDEST = 22  # bits of a chunk: its table of buckets is to stay small
MISS = 60.0  # what looking into a bucket costs, in codes that are compared


class Near(NamedTuple):
    """What is decided about codes.

    Attributes:
        keeper: int64[n], the position of the nearest code that stays; -1 for one that stays.
        distance: uint8[n], in bits, to that; 0 for one that stays.
    """

    keeper: Ints
    distance: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Chunks:
    """How codes are cut, and in how many bits each chunk may differ.

    Attributes:
        widths: bits of each chunk, from the lowest on. radii: bits, as many.
    """

    widths: tuple[int, ...]
    radii: tuple[int, ...]

    @classmethod
    def plan(cls, distance: int, size: int) -> "Chunks":
        """The cut that costs least; one chunk without bits compares every two codes.

        Args:
            distance: in bits. size: number of codes.
        """
        choices = [cls((0,), (0,))]
        for n in range(-(-BITS // WIDEST), BITS + 1):
            widths = tuple(BITS // n + (i < BITS % n) for i in range(n))
            low, more = divmod(distance, n)
            # Not all of the first chunks can differ in more than `low` bits, nor all of the
            # others in more than `low - 1`: that would be more than `distance`.
            radii = tuple(low if i <= more else low - 1 for i in range(n))
            kept = [(w, r) for w, r in zip(widths, radii, strict=True) if r >= 0]
            choices.append(cls(tuple(w for w, _ in kept), tuple(r for _, r in kept)))
        return min(choices, key=lambda one: one.cost(size))

    def cost(self, size: int) -> float:
        """About what a search costs, in codes that are compared.

        Args:
            size: number of codes.
        """
        return sum(
            float(sum(comb(width, k) for k in range(radius + 1))) * (MISS + size / (1 << width))
            for width, radius in zip(self.widths, self.radii, strict=True)
        )

    def masks(self) -> Iterator[Codes]:
        """The bits in which each chunk may differ: uint64 each."""
        for width, radius in zip(self.widths, self.radii, strict=True):
            flips = (c for k in range(radius + 1) for c in combinations(range(width), k))
            yield np.array([sum(1 << bit for bit in c) for c in flips], np.uint64)


def check_distance(distance: int) -> int:
    """Refuse a distance that two codes can't have.

    Args:
        distance: in bits.

    Raises:
        UsageError: naming it.
    """
    if not 0 <= distance <= BITS:
        raise UsageError(f"distance {distance} is none of 64-bit hashes: 0 to {BITS}")
    return distance


def near_duplicates(codes: Codes, distance: int, fixed: int = 0) -> Near:
    """Which codes stay: those that have none within the distance that stays and comes before.

    Codes that are equal are looked up once: a placeholder that comes a million times costs
    nothing. 48 bytes a code and table, of which there are three to five, are held.

    Args:
        codes: uint64[n], in the order in which they are decided on.
        distance: in bits, 0 to 64.
        fixed: so many of the first stay whatever is near.

    Returns:
        For each that goes the nearest one that stays, of equally near ones the first.
    """
    from metacurate.images.filters import kernel  # compiled on its first use: --help is not to wait

    unique, first, inverse = _unique(codes)
    # Of the fixed ones equal codes all stay: the first of them stands for them.
    n_fixed = int(np.searchsorted(first, fixed))
    tables = _Tables(unique, Chunks.plan(check_distance(distance), len(unique)))
    stays = np.zeros(len(unique), np.bool_)
    kernel.stay(unique, n_fixed, np.uint64(distance), *tables.arrays, stays)
    asked = np.flatnonzero(~stays)
    found, distances = np.zeros(len(asked), np.int64), np.zeros(len(asked), np.int64)
    kernel.nearest(unique, asked, *tables.arrays, found, distances)
    keepers, apart = first.copy(), np.zeros(len(unique), np.uint8)
    keepers[asked], apart[asked] = first[found], distances
    keeper, apart = keepers[inverse], apart[inverse]
    keeper[keeper == np.arange(len(codes))] = -1
    keeper[:fixed], apart[:fixed] = -1, 0
    return Near(keeper, apart)


def near_references(references: Codes, codes: Codes, distance: int) -> Near:
    """Which codes have one of some others within a distance.

    Args:
        references: uint64[m]. codes: uint64[n]. distance: in bits, 0 to 64.

    Returns:
        For each the position of the nearest reference, of equally near ones the first; -1 for
        one that has none within the distance.
    """
    from metacurate.images.filters import kernel

    keeper, apart = np.full(len(codes), -1, np.int64), np.zeros(len(codes), np.uint8)
    if len(references) and len(codes):
        tables = _Tables(references, Chunks.plan(check_distance(distance), len(references)))
        all_stay = np.zeros(len(references), np.bool_)
        kernel.stay(references, len(references), np.uint64(distance), *tables.arrays, all_stay)
        found, distances = np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
        kernel.nearest(codes, np.arange(len(codes)), *tables.arrays, found, distances)
        near = distances <= distance
        keeper[near], apart[near] = found[near], distances[near]
    return Near(keeper, apart)


def near_references_oracle(references: Codes, codes: Codes, distance: int) -> Near:
    """The same as `near_references`, by comparing each code with all references.

    Args:
        references, codes, distance: as there.
    """
    best = [min(((_apart(c, r), j) for j, r in enumerate(references)), default=(65, -1))
        for c in codes]  # fmt: skip
    near = [(d, j) if d <= distance else (0, -1) for d, j in best]
    return Near(np.array([j for _, j in near], np.int64), np.array([d for d, _ in near], np.uint8))


def near_duplicates_oracle(codes: Codes, distance: int, fixed: int = 0) -> Near:
    """The same as `near_duplicates`, by comparing each code with all that stay.

    Args:
        codes, distance, fixed: as there.
    """
    staying: list[int] = []
    for i, code in enumerate(codes):
        if i < fixed or all(_apart(code, codes[j]) > distance for j in staying):
            staying.append(i)
    keeper = np.full(len(codes), -1, np.int64)
    apart = np.zeros(len(codes), np.uint8)
    for i in sorted(set(range(len(codes))) - set(staying)):
        apart[i], keeper[i] = min((_apart(codes[i], codes[j]), j) for j in staying)
    return Near(keeper, apart)


def _apart(left: Any, right: Any) -> int:
    return (int(left) ^ int(right)).bit_count()


def _unique(codes: Codes) -> tuple[Codes, Ints, Ints]:
    """Codes each once, in the order in which they come first; where; and which each one is."""
    values, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return values[order], first[order], rank[inverse]


class _Tables:
    """Empty tables of codes by the value of each chunk; every bucket has the room it may need."""

    def __init__(self, codes: Codes, chunks: Chunks) -> None:
        n, size = len(chunks.widths), len(codes)
        shifts = np.concatenate([[0], np.cumsum(chunks.widths)[:-1]]).astype(np.int64)
        widths = np.array(chunks.widths, np.int64)
        starts = np.zeros((n, 1 << max(chunks.widths)), np.int64)
        for c in range(n):
            values = (codes >> np.uint64(shifts[c])) & np.uint64((1 << chunks.widths[c]) - 1)
            counts = np.bincount(values.astype(np.int64), minlength=starts.shape[1])
            np.cumsum(counts[:-1], out=starts[c, 1:])
        masks = list(chunks.masks())
        ends = np.cumsum([0, *map(len, masks)]).astype(np.int64)
        self.arrays = (
            shifts, widths, ends, np.concatenate(masks), starts, starts.copy(),
            np.zeros((n, size), np.uint64), np.zeros((n, size), np.uint32),
        )  # fmt: skip
