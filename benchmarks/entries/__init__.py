"""What the options of `metadata build` that the paper does not have do to real captions."""

from benchmarks.entries.compare import run

__all__ = ["run"]
