"""Balancing while training reads, beside the same pipeline without it."""

from benchmarks.online.compare import run

__all__ = ["run"]
