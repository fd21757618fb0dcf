"""The compiled half of curation: keep probabilities and smallest thresholds.

All compiled functions of curation are in this one file, because Numba's cache does not notice a
change in a function that lives in another file.
"""

from typing import Any

import numpy as np

from metacurate.compiled import compiled

NEWTON_STEPS = 64


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
