"""Scale: what engines and bookkeeping cost, and what that makes of whole crawls.

`run` measures and models. Each measurement is a call of `main` (`__main__.py`) in a process of its
own, on made pools and units; `model` needs nothing but the figures.
"""

from benchmarks.scale.compare import run

__all__ = ["run"]
