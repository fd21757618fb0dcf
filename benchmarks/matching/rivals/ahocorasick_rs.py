"""ahocorasick_rs, over Rust's aho-corasick: `overlapping=True` finds all occurrences.

The implementation is left to its heuristic: for this many patterns its full DFA takes 2 GB and
is slower, and searching bytes is no faster than searching strings.
"""

from importlib.metadata import version
from typing import Any

import ahocorasick_rs

from metacurate.matching.spacing import space_text

VERSION = version("ahocorasick_rs")


def build(entries: list[str]) -> Any:
    return ahocorasick_rs.AhoCorasick(f" {entry} " for entry in entries)


def space(texts: list[str]) -> list[str]:
    return [space_text(text) for text in texts]


def match(built: Any, spaced: list[str]) -> list[list[int]]:
    find = built.find_matches_as_indexes
    return [sorted({found[0] for found in find(text, overlapping=True)}) for text in spaced]
