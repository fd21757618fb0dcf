"""Texts from data as a page or a plot may show them: what can't be seen is made visible."""

import unicodedata

SHOWN = 200  # characters of a text in a table
MOST = 5_000  # characters behind a click; of a caption of megabytes, the rest is told by number
REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def visible(text: str) -> str:
    """A text in which controls, and what else leaves no mark, are written as code points.

    What reorders the letters around it would make a name read as another one.

    Args:
        text: any; lone surrogates may be in it.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        char if _leaves_a_mark(char) else f"\u27e8U+{ord(char):04X}\u27e9" for char in text
    )


def shorten(text: str, limit: int = SHOWN) -> str:
    """The beginning of a text, made visible.

    Args:
        text: any. limit: of its length, in characters; one that is cut ends in an ellipsis.
    """
    return visible(text) if len(text) <= limit else visible(text[: limit - 1]) + "\u2026"


def cut(text: str, limit: int = MOST) -> str:
    """A text as it is, up to a limit, and the number of characters that are left out.

    Args:
        text: any. limit: of its length, in characters.
    """
    left = len(text) - limit
    return f"{text[:limit]} \u2026 and {left:,} more characters" if left > 0 else text


def _leaves_a_mark(char: str) -> bool:
    """Marks that join the letter before, spaces, and joiners within emoji stay."""
    if char in REORDERING:
        return False
    kind = unicodedata.category(char)
    return kind == "Zs" or char == "\u200d" or kind[0] not in "CZ"
