"""What two lists of concepts share, and what each of them lacks."""

from collections import Counter
from typing import Any

from metacurate.metadata.metadata import Metadata

SHOWN = 10  # entries of each source that are named


def diff_metadata(left: Metadata, right: Metadata, shown: int = SHOWN) -> dict[str, Any]:
    """Compare two lists of concepts, by source.

    Args:
        left, right: the lists. shown: how many entries to name that the other lacks.

    Returns:
        JSON: `same` (whether they are the same, in the same order), `same_until` (number of
        entries from the beginning that are), `shared`, `left`, `right` (numbers of entries), and
        `sources`: for each source `left` and `right` (its entries), `shared` (those of the left
        that the right has, of whatever source), `other_source` (of these, those which the right
        has of another source), `only_left`, `only_right` (those that the other lacks), and the
        first of them as `only_left_first`, `only_right_first`.
    """
    left_sources = _sources(left)
    right_sources = _sources(right)
    names = dict.fromkeys([*left_sources.values(), *right_sources.values()])
    in_left, in_right = Counter(left_sources.values()), Counter(right_sources.values())
    only_left = [entry for entry in left_sources if entry not in right_sources]
    only_right = [entry for entry in right_sources if entry not in left_sources]
    lacking_right = Counter(left_sources[entry] for entry in only_left)
    lacking_left = Counter(right_sources[entry] for entry in only_right)
    moved = Counter(
        source
        for entry, source in left_sources.items()
        if right_sources.get(entry, source) != source
    )
    same_until = 0
    for one, other in zip(left_sources, right_sources, strict=False):
        if one != other:
            break
        same_until += 1
    return {
        "same": left.digest == right.digest,
        "same_until": same_until,
        "left": len(left),
        "right": len(right),
        "shared": len(left) - len(only_left),
        "sources": [
            {
                "source": name,
                "left": in_left[name],
                "right": in_right[name],
                "shared": in_left[name] - lacking_right[name],
                "other_source": moved[name],
                "only_left": lacking_right[name],
                "only_right": lacking_left[name],
                "only_left_first": [e for e in only_left if left_sources[e] == name][:shown],
                "only_right_first": [e for e in only_right if right_sources[e] == name][:shown],
            }
            for name in names
        ],
    }


def _sources(metadata: Metadata) -> dict[str, str]:
    entries, sources = metadata.entries.to_pylist(), metadata.sources.to_pylist()
    return dict(zip(entries, sources, strict=True))
