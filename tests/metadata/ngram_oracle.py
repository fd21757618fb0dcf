"""Counts of words and bigrams in plain Python, and texts to count."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import pyarrow as pa
from hypothesis import strategies as st

from metacurate.metadata.words import cut_words


class Counted(NamedTuple):
    """Counts by word, and by pair of words."""

    words: dict[str, int]
    bigrams: dict[tuple[str, str], int]


def count(texts: Iterable[str | None]) -> Counted:
    words: Counter[str] = Counter()
    bigrams: Counter[tuple[str, str]] = Counter()
    for text in texts:
        for run in cut_words(text or ""):
            words.update(run)
            bigrams.update(pairwise(run))
    return Counted(dict(words), dict(bigrams))


def read(tables: Iterable[pa.Table]) -> Counted:
    """Add up tables of counts."""
    words: Counter[str] = Counter()
    bigrams: Counter[tuple[str, str]] = Counter()
    for table in tables:
        for row in table.to_pylist():
            if row["second"] is None:
                words[row["first"]] += row["count"]
            else:
                bigrams[row["first"], row["second"]] += row["count"]
    return Counted(dict(words), dict(bigrams))


def association(pair: int, first: int, second: int, total: int) -> float:
    """What PMI is the logarithm of."""
    return (float(pair) * float(total)) / (float(first) * float(second))


# few characters of every class, so that the same words come again, and all Unicode
TEXTS = st.one_of(
    st.text(alphabet="aaab é.'-\u2019& \t\n\u00a0\u0301\u200d北😀_1İ\u0378", max_size=60),
    st.text(max_size=40),
)
