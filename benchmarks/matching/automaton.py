"""How long it takes to have an automaton: built from scratch, and out of the cache."""

import time

from benchmarks import data
from benchmarks.fresh import Figures, answer, peak_memory
from metacurate import Matcher, Metadata
from metacurate.matching.automaton import build_automaton


def main() -> Figures:
    """Build the automaton of all entries, and load it."""
    entries = Metadata.read(data.metadata_path())
    Matcher(entries)  # so that it is in the cache
    small = Metadata.from_entries(["a", "a b", "b c d"])
    build_automaton(small.entries, "paper")  # so that compiled code is loaded

    start = time.perf_counter()
    automaton = build_automaton(entries.entries, "paper")
    built = time.perf_counter()
    del automaton
    memory = peak_memory()
    loading = time.perf_counter()
    Matcher(Metadata(entries.table))  # a new one: its digest is not known yet
    loaded = time.perf_counter()
    return {
        "entries": len(entries),
        "build": built - start,
        "load": loaded - loading,
        "memory": memory,
    }


if __name__ == "__main__":
    answer(main)
