"""One file per rival, with the same names in each (`Rival`)."""

from importlib import import_module
from typing import Any, Protocol, TypeAlias, cast

import pyarrow as pa

Found: TypeAlias = "list[list[int]] | pa.ListArray"

NAMES = ("metacurate", "pyahocorasick", "ahocorasick_rs", "daachorse")


class Rival(Protocol):
    """What the file of a rival defines."""

    VERSION: str

    def build(self, entries: list[str]) -> Any:
        """Make what searches; an entry's position is its id."""

    def space(self, texts: list[str]) -> Any:
        """Bring texts into the form that `match` searches."""

    def match(self, built: Any, spaced: Any) -> Found:
        """Each text's entry ids, ascending, each once."""


def load(name: str) -> Rival:
    """Import a rival by its name."""
    return cast("Rival", import_module(f"{__name__}.{name}"))
