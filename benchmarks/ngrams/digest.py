"""Digests of counts and of PMI, by which answers are compared."""

import hashlib
from collections.abc import Mapping


def digests(
    words: Mapping[str, int], bigrams: Mapping[tuple[str, str], int],
    pmi: Mapping[tuple[str, str], float],
) -> dict[str, str]:  # fmt: skip
    """Hash all counts, and PMI to 4 places: logarithms of quotients and their differences differ.

    Returns:
        counts and pmi, in hex.
    """
    counts, pmis = hashlib.sha256(), hashlib.sha256()
    for word in sorted(words):
        counts.update(f"{word}\t{words[word]}\n".encode())
    for pair in sorted(bigrams):
        counts.update(f"{pair}\t{bigrams[pair]}\n".encode())
        pmis.update(f"{pair}\t{round(pmi[pair], 4) + 0.0}\n".encode())  # no -0.0
    return {"counts": counts.hexdigest(), "pmi": pmis.hexdigest()}
