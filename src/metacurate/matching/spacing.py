"""How a text is spaced before entries are looked up in it.

The paper matches entries as substrings that are bounded by spaces, so the whole method rests on
where spaces stand. This module is the one place that says so; the oracle uses it as it is, and the
kernel is built from the same constants.
"""

from typing import Final, Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["paper", "spaced"]

MODES: Final[tuple[Mode, ...]] = get_args(Mode)
PUNCTUATION: Final = ",.;:?!`"
WHITE_SPACE: Final = "\t\n\r"


def space_text(text: str) -> str:
    """Space a text as the paper does (PAPER: arXiv 2309.16671, section 3; the authors' rules).

    One space goes in front and behind, one on either side of each of ``, . ; : ? !`` and the
    backtick; tab, newline and carriage return become a space. Runs of spaces stay as they are.

    Args:
        text: any string.

    Returns:
        The spaced text: a space, the words with single spaces between them, a space.
    """
    spaced = f" {text} "
    for mark in PUNCTUATION:
        spaced = spaced.replace(mark, f" {mark} ")
    for blank in WHITE_SPACE:
        spaced = spaced.replace(blank, " ")
    return spaced


def space_entry(entry: str, mode: Mode) -> str:
    """Return the exact string that is looked for in spaced texts.

    Args:
        entry: a metadata entry.
        mode: ``paper`` puts one space in front and behind and leaves the entry alone, so that an
            entry with inner punctuation never matches; ``spaced`` treats the entry like a text.

    Returns:
        The needle of the substring search.
    """
    return space_text(entry) if mode == "spaced" else f" {entry} "


def words_of(spaced: str) -> list[str]:
    """Split a spaced text or entry into its words, which may be empty.

    A spaced entry is a substring of a spaced text exactly when the entry's words stand in the
    text's words one after another: both begin and end with a space, and single spaces separate
    words, so two spaces in a row hold an empty word.
    """
    return spaced[1:-1].split(" ")
