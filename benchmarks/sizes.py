"""How much is measured: in full, and quickly to see whether it works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        runs: of each measurement, in turns.
        texts: that all matchers match.
        pools: rows of the pools that are counted and curated.
        memory: rows of the pools over which memory must stay flat.
        text: MB of text that is counted beside NLTK, and of text that is counted in little memory.
    """

    runs: int
    texts: int
    pools: tuple[int, ...]
    memory: tuple[int, ...]
    text: tuple[int, int]


FULL = Sizes(5, 100_000, (1_000_000, 5_000_000), (1_000_000, 5_000_000, 20_000_000), (20, 2_000))
QUICK = Sizes(3, 10_000, (200_000,), (200_000, 400_000), (5, 20))
