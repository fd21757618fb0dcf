"""What a list of concepts holds."""

from collections import Counter
from typing import Any

from metacurate.matching.automaton import unreachable
from metacurate.metadata.metadata import Metadata


def describe_metadata(metadata: Metadata) -> dict[str, Any]:
    """Numbers of entries, and of those that can match no text in mode `paper`, by source.

    Args:
        metadata: the list.

    Returns:
        JSON: entries, repeats_dropped, sources, never_match_in_mode_paper (in all),
        never_match_by_source (of those that have such entries), digest.
    """
    never = metadata.sources.filter(unreachable(metadata.entries))
    lost = Counter(never.to_pylist())
    return {
        "entries": len(metadata),
        "repeats_dropped": metadata.repeats,
        "sources": metadata.per_source(),
        "never_match_in_mode_paper": len(never),
        "never_match_by_source": dict(lost),
        "digest": metadata.digest,
    }
