"""Extraction from web archives, beside other ways to read them."""

from benchmarks.extract.compare import run

__all__ = ["run"]
