"""A digest of counts and of PMI, by which answers are compared."""

import hashlib
from collections.abc import Mapping


def digest(
    words: Mapping[str, int], bigrams: Mapping[tuple[str, str], int],
    pmi: Mapping[tuple[str, str], float],
) -> str:  # fmt: skip
    """Hash all counts, and PMI to 9 places behind the point."""
    hashed = hashlib.sha256()
    for word in sorted(words):
        hashed.update(f"{word}\t{words[word]}\n".encode())
    for pair in sorted(bigrams):
        hashed.update(f"{pair}\t{bigrams[pair]}\t{pmi[pair]:.9f}\n".encode())
    return hashed.hexdigest()
