"""Draws: each pair's own uniform number, and the choice that it makes."""

import numpy as np
import numpy.typing as npt

from metacurate.hashing.pairs import Purpose, hash_pairs, one_array
from metacurate.matching.matcher import Texts

UNIT = 2.0**-53


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
    left, right = one_array(urls), one_array(texts)
    hashes = hash_pairs(left, right, seed, purpose, index)
    result = (hashes >> np.uint64(11)).astype(np.float64) * UNIT
    for array in (left, right):
        if array.null_count:
            result[array.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return result
