"""daachorse, a double array in Rust: `find_overlapping` finds all occurrences.

At its best: over bytes, and laid out by a profile of other captions (its `corpus`), each of
which was measured to be faster here than what it does without.
"""

from importlib.metadata import version
from typing import Any

import daachorse

from benchmarks import data
from metacurate.matching.spacing import space_text

VERSION = version("daachorse")
PROFILE = 20_000  # captions from the end, which are not among those matched


def build(entries: list[str]) -> Any:
    profile = space(data.captions()[-PROFILE:].to_pylist())
    needles = [f" {entry} ".encode() for entry in entries]
    return daachorse.DoubleArrayAhoCorasick(needles, corpus=profile)


def space(texts: list[str]) -> list[bytes]:
    return [space_text(text).encode() for text in texts]


def match(built: Any, spaced: list[bytes]) -> list[list[int]]:
    find = built.find_overlapping
    return [sorted({found[2] for found in find(text)}) for text in spaced]
