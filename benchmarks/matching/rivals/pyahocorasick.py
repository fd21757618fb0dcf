"""pyahocorasick: `Automaton.iter` finds all occurrences, overlapping ones too."""

from importlib.metadata import version
from typing import Any

import ahocorasick

from metacurate.matching.spacing import space_text

VERSION = version("pyahocorasick")


def build(entries: list[str]) -> Any:
    automaton = ahocorasick.Automaton()
    for entry_id, entry in enumerate(entries):
        automaton.add_word(f" {entry} ", entry_id)
    automaton.make_automaton()
    return automaton


def space(texts: list[str]) -> list[str]:
    return [space_text(text) for text in texts]


def match(built: Any, spaced: list[str]) -> list[list[int]]:
    find = built.iter
    return [sorted({entry_id for _, entry_id in find(text)}) for text in spaced]
