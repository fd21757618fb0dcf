"""Matching: all entries of each text, exact, ids ascending, one thread."""

from benchmarks.matching.compare import run

__all__ = ["run"]
