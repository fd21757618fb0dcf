"""Texts from data as a page or a plot may show them: what can't be seen is made visible."""

import unicodedata

SHOWN = 200  # characters of a text in a table
MOST = 5_000  # characters behind a click; of a caption of megabytes, the rest is told by number
JOINERS = "\u200c\u200d"  # parts of emoji, and of words in Persian and in India
FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters without ink


def is_hidden(char: str) -> bool:
    """Whether a character has no shape of its own, or changes the direction of others.

    What reorders the letters around it would make a name read as another one.

    Args:
        char: one.
    """
    if char.isprintable() or char in JOINERS:
        return char in FILLERS
    return unicodedata.category(char) != "Zs"


def visible(text: str) -> str:
    """A text in which controls, and what else leaves no mark, are written as code points.

    Args:
        text: any; lone surrogates may be in it.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(f"\u27e8U+{ord(char):04X}\u27e9" if is_hidden(char) else char for char in text)


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
