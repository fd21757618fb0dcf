"""Curation end to end: a second worker's use, and memory over pools of growing size."""

from benchmarks.curate.compare import run

__all__ = ["run"]
