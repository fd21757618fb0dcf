"""Images from a server on this machine, beside img2dataset."""

from benchmarks.download.compare import run

__all__ = ["run"]
