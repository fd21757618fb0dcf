"""The matcher that is too simple to be wrong: it defines what matching means."""

from collections.abc import Sequence

from metacurate.matching.spacing import Mode, space_entry, space_text


def match_by_substring(text: str | None, entries: Sequence[str], mode: Mode = "paper") -> list[int]:
    """Find all entries of a text with Python's own substring search.

    Args:
        text: a text, or None, which matches nothing.
        entries: the metadata entries; a position in them is an entry id.
        mode: the spacing of entries, see `metacurate.matching.spacing`.

    Returns:
        The ids of the entries that match, ascending, each once.
    """
    if text is None:
        return []
    spaced = space_text(text)
    return [i for i, entry in enumerate(entries) if space_entry(entry, mode) in spaced]
