"""Answers of `metacurate explore` over HTTP, held to a plain scan of the same files."""

from benchmarks.explore.compare import run

__all__ = ["run"]
