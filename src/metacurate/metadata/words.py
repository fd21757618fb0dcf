"""What a word of running text is: the one place that says so, and its oracle.

Captions are cut at spaces and at ``, . ; : ? !`` and the backtick (`metacurate.matching.spacing`),
and an entry matches whole words. So words of running text are cut such that they can occur there:

- A word is made of letters, marks and digits of any script, as they stand: case is kept, nothing is
  normalised. It begins with a letter or a digit.
- One apostrophe, hyphen, ampersand, underscore, middle dot or (zero-width) joiner between a letter
  or digit and another belongs to the word: "don't", "well-known", "R&B".
- All else separates. Where nothing but spaces lies between two words, they are neighbours and make
  a bigram; punctuation, symbols and line breaks part them.

Classes of characters are those of Unicode 3.2, which Python carries beside the newest, so that no
version of Python cuts differently. What was not yet assigned then is a letter, outside the blocks
that hold symbols, emoji and punctuation only.
"""

import re
from functools import cache
from typing import Final
from unicodedata import ucd_3_2_0

import numpy as np
import numpy.typing as npt

BREAK: Final = 0
SPACE: Final = 1
LETTER: Final = 2  # or digit
MARK: Final = 3
JOINER: Final = 4

JOINERS: Final = "'-&_\u00b7\u2019\u2010\u2011\u200c\u200d"
SYMBOL_BLOCKS: Final = (
    (0x2000, 0x2BFF), (0x2E00, 0x2E7F), (0x3000, 0x303F), (0xFDD0, 0xFDEF), (0xFE10, 0xFE1F),
    (0xFE50, 0xFE6F), (0xFFF0, 0xFFFF), (0x1F000, 0x1FFFF), (0xE0000, 0x10FFFF),
)  # fmt: skip
LETTERS: Final = "LN"  # initials of general categories

_CODES = {BREAK: "b", SPACE: "s", LETTER: "w", MARK: "m", JOINER: "j"}
_WORD = re.compile("w[wm]*(?:jw[wm]*)*")


def class_of(char: str) -> int:
    """The class of a character: BREAK, SPACE, LETTER, MARK or JOINER.

    Args:
        char: one character.
    """
    if char in JOINERS:
        return JOINER
    category = ucd_3_2_0.category(char)
    if category == "Cn":
        code = ord(char)
        plane_end = code & 0xFFFE == 0xFFFE
        symbol = plane_end or any(first <= code <= last for first, last in SYMBOL_BLOCKS)
        return BREAK if symbol else LETTER
    if category == "Zs" or char == "\t":
        return SPACE
    if category[0] == "M":
        return MARK
    return LETTER if category[0] in LETTERS else BREAK


@cache
def class_table() -> npt.NDArray[np.uint8]:
    """Classes of all code points, uint8[0x110000]; those of surrogates are BREAK."""
    table = np.fromiter((class_of(chr(code)) for code in range(0x110000)), np.uint8, 0x110000)
    table.setflags(write=False)
    return table


def cut_words(text: str) -> list[list[str]]:
    """Cut a text into runs of words that are neighbours: the oracle of the compiled counter.

    Args:
        text: any string.

    Returns:
        Runs of words, in their order; a bigram is two words that follow one another in a run.
    """
    classes = "".join(_CODES[class_of(char)] for char in text)
    runs: list[list[str]] = []
    end = 0
    for found in _WORD.finditer(classes):
        between = classes[end : found.start()]
        if not runs or between.strip("s"):
            runs.append([])
        runs[-1].append(text[found.start() : found.end()])
        end = found.end()
    return runs


def is_punctuation(entry: str) -> bool:
    """Whether an entry is a single character that is no letter, digit or mark.

    Args:
        entry: any string.
    """
    return len(entry) == 1 and class_of(entry) in (BREAK, JOINER)
