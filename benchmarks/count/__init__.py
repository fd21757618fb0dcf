"""Counting over Parquet, beside only reading the column of texts."""

from benchmarks.count.compare import run

__all__ = ["run"]
