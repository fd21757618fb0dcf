"""The exact distribution of a sum of binomial numbers."""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def p_value(numbers: Integers, chances: Floats, kept: int) -> float:
    """Chance of a sum of binomial numbers to be so far from its middle, on either side.

    The Fourier transform of a sum's distribution is the product of its parts'. Sums more than 12
    standard deviations away wrap around, but are less likely than 1e-30.

    Args:
        numbers: of pairs, by kind. chances: that a pair of a kind is kept. kept: the sum.
    """
    deviation = math.sqrt(float((numbers * chances * (1 - chances)).sum()))
    half = 2 ** math.ceil(math.log2(12 * deviation + 32))
    first = int((numbers * chances).sum()) - half
    at = int(kept) - first
    if not 0 <= at < 2 * half:
        return 0.0
    turns = np.arange(half + 1)
    # a whole number of turns is taken off, as a million of them would cost the last digits
    whole = np.exp(1j * np.pi * (first * turns % (2 * half)) / half)
    once = np.exp(-1j * np.pi * turns / half)
    for number, chance in zip(numbers.tolist(), chances.tolist(), strict=True):
        whole *= (1 - chance + chance * once) ** number
    distribution = np.fft.irfft(whole)
    below, above = distribution[: at + 1].sum(), distribution[at:].sum()
    return float(min(1.0, 2 * min(below, above)))
