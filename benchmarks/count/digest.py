"""One string for all counts."""

import hashlib
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Counted(Protocol):
    """What `metacurate.count` and `Matcher.count` have in common."""

    @property
    def values(self) -> npt.NDArray[np.uint64]:
        """Of all entries."""

    @property
    def texts(self) -> int:
        """Valid ones."""

    @property
    def matched_texts(self) -> int:
        """Those that match an entry."""

    @property
    def matches(self) -> int:
        """Sum of the values."""


def digest(counts: Counted) -> str:
    """SHA-256 over the totals and all values."""
    totals = f"{counts.texts} {counts.matched_texts} {counts.matches} "
    return hashlib.sha256(totals.encode() + counts.values.astype("<u8").tobytes()).hexdigest()
