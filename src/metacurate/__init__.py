"""metacurate: balanced, reproducible training sets for CLIP, by the MetaCLIP method.

The names below are the whole of the top level; they are loaded when they are first used, so
that importing metacurate costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metacurate.curation.balance import Balance
    from metacurate.curation.curate import count, curate
    from metacurate.curation.sample import draws
    from metacurate.engine.local import LocalEngine
    from metacurate.engine.ray import RayEngine
    from metacurate.engine.slurm import SlurmEngine
    from metacurate.matching.matcher import Matcher
    from metacurate.metadata.metadata import Metadata
    from metacurate.reporting.report import Report

__version__ = "0.1.0.dev0"
__all__ = [
    "Balance", "LocalEngine", "Matcher", "Metadata", "RayEngine", "Report", "SlurmEngine",
    "__version__", "count", "curate", "draws",
]  # fmt: skip

_HOMES = {
    "Balance": "metacurate.curation.balance",
    "LocalEngine": "metacurate.engine.local",
    "Matcher": "metacurate.matching.matcher",
    "Metadata": "metacurate.metadata.metadata",
    "RayEngine": "metacurate.engine.ray",
    "Report": "metacurate.reporting.report",
    "SlurmEngine": "metacurate.engine.slurm",
    "count": "metacurate.curation.curate",
    "curate": "metacurate.curation.curate",
    "draws": "metacurate.curation.sample",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'metacurate' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Show the public names, loaded or not."""
    return sorted(__all__)
