"""What the figures were measured on."""

import hashlib
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from benchmarks.fresh import Figures, seconds

LIBRARIES = ("numpy", "numba", "llvmlite", "pyarrow")


def describe() -> Figures:
    """Processor, memory, system and versions."""
    import metacurate

    return {
        "processor": _processor(),
        "cores": cores(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "metacurate": metacurate.__version__,
        **{name: version(name) for name in LIBRARIES},
    }


def cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def best_efficiency() -> float:
    """Parallel efficiency of two threads that share nothing: what the machine allows just now.

    Each computes SHA-256, which needs no memory and no interpreter lock.
    """
    block = bytes(1 << 20)

    def work(_: int = 0) -> None:
        digest = hashlib.sha256()
        for _ in range(500):
            digest.update(block)

    with ThreadPoolExecutor(2) as threads:
        alone = seconds(work, 3)
        both = seconds(lambda: list(threads.map(work, range(2))), 3)
    return alone / both


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
