"""Training on this machine: what its data pipeline gives, and what the model takes."""

from benchmarks.train.compare import run

__all__ = ["run"]
