"""Deduplication, beside a plain Python set; and memory over pools of growing size."""

from benchmarks.dedup.compare import run

__all__ = ["run"]
