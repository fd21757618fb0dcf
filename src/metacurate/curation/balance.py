"""From counts and a threshold to keep probabilities."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation import kernel
from metacurate.curation.count import Counts
from metacurate.errors import UsageError

DEFAULT_TAIL_SHARE = 0.06  # the paper's, section 3

Values = npt.NDArray[np.uint64]


def tail_share_of(values: Values, threshold: float) -> float:
    """Share of the matches that fall to tail entries: sum(count where count < t) / sum(count).

    Args:
        values: uint64[entries], counts.
        threshold: t.

    Returns:
        A share in [0, 1]; 0 where nothing matched.
    """
    total = int(values.sum())
    tail = int(values[values.astype(np.float64) < threshold].sum())
    return tail / total if total else 0.0


def threshold_of(values: Values, tail_share: float) -> float:
    """The threshold whose tail share is nearest to a given one.

    The tail share rises in steps, at the counts that occur; so those are the thresholds to
    choose from. Of two that are equally near, the smaller is taken. Arithmetic is exact.

    Args:
        values: uint64[entries], counts.
        tail_share: the share wanted, in [0, 1].

    Returns:
        A count that occurs; 1.0 where nothing matched.

    Raises:
        UsageError: for a share out of range.
    """
    if not 0.0 <= tail_share <= 1.0:
        raise UsageError(f"tail share {tail_share} is not between 0 and 1")
    levels, entries = np.unique(values[values > 0], return_counts=True)
    if len(levels) == 0:
        return 1.0
    upto = np.cumsum(levels * entries.astype(np.uint64))
    below = np.concatenate([np.zeros(1, np.uint64), upto[:-1]])
    wanted = Fraction(tail_share) * int(upto[-1])
    after = int(np.searchsorted(below, np.uint64(math.floor(wanted)), side="right"))
    near = range(max(0, after - 1), min(len(levels), after + 1))
    best = min(near, key=lambda i: (abs(int(below[i]) - wanted), i))
    return float(levels[best])


class Balance:
    """Keep probabilities of entries and pairs at one threshold (Algorithm 1, steps 2 and 3).

    Attributes:
        counts: float64[entries].
        threshold: t.
        tail_share: of t over these counts.
        entry_probabilities: float64[entries], t / max(count, t).
    """

    def __init__(
        self,
        counts: Counts | npt.NDArray[Any],
        threshold: float | None = None,
        tail_share: float | None = None,
    ) -> None:
        """Balance counts at a threshold, or at the threshold of a tail share.

        Args:
            counts: of all entries.
            threshold: t, above 0. Without one, the tail share decides.
            tail_share: in [0, 1]; 0.06 where neither is given.

        Raises:
            UsageError: when both are given, or one is out of range; when counts are no whole
                numbers from 0 on.
        """
        values = counts.values if isinstance(counts, Counts) else _whole(np.asarray(counts))
        if threshold is None:
            share = DEFAULT_TAIL_SHARE if tail_share is None else tail_share
            threshold = threshold_of(values, share)
        elif tail_share is not None:
            raise UsageError("give a threshold or a tail share, not both")
        self.threshold = check_threshold(threshold)
        self.counts = values.astype(np.float64)
        self.tail_share = tail_share_of(values, self.threshold)
        self.entry_probabilities = self.threshold / np.maximum(self.counts, self.threshold)
        self._misses = 1.0 - self.entry_probabilities

    def keep_probabilities(self, matches: pa.ListArray) -> npt.NDArray[np.float64]:
        """Probability that a pair is kept: 1 less the product of 1 - p over its entries.

        Args:
            matches: list<uint32>[texts], from `Matcher.match`.

        Returns:
            float64[texts]; 0 for texts that match nothing and for null.
        """
        ends, ids = self._known(matches)
        result = np.empty(len(matches), np.float64)
        kernel.keep_probabilities(ends, ids, self._misses, result)
        return result

    def _known(self, matches: pa.ListArray) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        ends, ids = list_arrays(matches)
        if len(ids) and int(ids.max()) >= len(self.counts):
            raise UsageError(f"entry {int(ids.max())} has no count: there are {len(self.counts)}")
        return ends, ids

    def min_thresholds(
        self, matches: pa.ListArray, draws: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """The smallest threshold at which each pair is kept, for these counts.

        It does not depend on this balance's own threshold: a pair is kept here exactly when
        its smallest threshold is at most t.

        Args:
            matches: list<uint32>[texts].
            draws: float64[texts], in [0, 1).

        Returns:
            float64[texts]; infinity for texts that match nothing.
        """
        ends, ids = self._known(matches)
        result = np.empty(len(matches), np.float64)
        kernel.min_thresholds(ends, ids, self.counts, draws, result)
        return result


def _whole(counts: npt.NDArray[Any]) -> Values:
    """Counts as uint64, where they are whole numbers and none is below 0."""
    if np.issubdtype(counts.dtype, np.integer) and not (counts < 0).any():
        return counts.astype(np.uint64)
    raise UsageError("counts are whole numbers from 0 on")


def check_threshold(threshold: float) -> float:
    """Refuse a threshold that is not a positive, finite number.

    Args:
        threshold: t, of any numeric type.

    Returns:
        It, as a float.

    Raises:
        UsageError: naming it.
    """
    if not (math.isfinite(threshold) and threshold > 0):
        raise UsageError(f"threshold {threshold:g} is not a number above 0")
    return float(threshold)


def list_arrays(matches: pa.ListArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    """Offsets and values of a list array as NumPy arrays; null lists are empty.

    Args:
        matches: list<uint32>[texts], sliced or not.

    Returns:
        int32[texts + 1] offsets, and the uint32 values that they point into.
    """
    offsets = matches.offsets.to_numpy()
    if matches.null_count:
        null = matches.is_null().to_numpy(zero_copy_only=False)
        if np.diff(offsets)[null].any():  # Arrow lets a null list cover values
            return list_arrays(pa.array([ids or [] for ids in matches.to_pylist()], matches.type))
    return offsets, matches.values.to_numpy()
