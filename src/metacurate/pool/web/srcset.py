"""The ``srcset`` attribute: an image in several sizes (HTML standard, "Parsing a srcset attribute")."""  # noqa: E501

import re

LINK = re.compile(r"[\s,]*([^\s,]\S*)")
DESCRIPTORS = re.compile(r"(?:[^,(]|\([^)]*\)?)*")
SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)([wx])(?:\s|\Z)")
MOST_CANDIDATES = 100


def largest(srcset: str) -> str | None:
    """The link of the largest image that a srcset names, by width or by density.

    Args:
        srcset: the attribute's value.

    Returns:
        The link; of several that are as large the first, None where there is none.
    """
    best: str | None = None
    size = -1.0
    position = 0
    for _ in range(MOST_CANDIDATES):
        found = LINK.match(srcset, position)
        if found is None:
            break
        link = found[1].rstrip(",")
        position = found.end()
        told = 1.0
        if link == found[1]:
            descriptors = DESCRIPTORS.match(srcset, position)
            assert descriptors is not None
            position = descriptors.end()
            if measure := SIZE.match(descriptors[0]):
                told = float(measure[1])
        if told > size and not link.lower().startswith("data:"):
            best, size = link, told
    return best
