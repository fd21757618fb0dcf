"""What measurements have in common, each in a process of its own."""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.scale.amount import WORKERS
from metacurate.engine.local import LocalEngine
from metacurate.engine.ray import RayEngine
from metacurate.engine.slurm import SlurmEngine
from metacurate.engine.work import Engine


@contextmanager
def engine_named(name: str) -> Iterator[Engine]:
    """An engine; of Ray, a cluster that ends with the block, and none that happens to be here."""
    if name == "slurm":
        yield SlurmEngine(cpus=1, mem="2G", array_parallelism=WORKERS[-1], time="1:00:00")
    elif name == "ray":
        import ray

        ray.init("local", include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        try:
            yield RayEngine("local")
        finally:
            ray.shutdown()
    else:
        yield LocalEngine()


@contextmanager
def work_folder() -> Iterator[Path]:
    data.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.WORK) as folder:
        yield Path(folder)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def forget_peak() -> None:
    """Have `peak_memory` begin again with what this process holds now, where Linux lets it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def memory_field(field: str, process: int | None = None) -> float:
    """A field of a process's memory in MB: this one's, or another's; 0 where it can't be told."""
    try:
        status = Path(f"/proc/{process or 'self'}/status").read_text()
    except OSError:
        return 0.0
    found = (line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(next(found, "0")) * 1024 / 1e6
