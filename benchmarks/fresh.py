"""Measurements in fresh processes: start one, take its answer; and what runs inside it."""

import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.data import ROOT, WORK

Figures = dict[str, Any]


class MeasurementError(Exception):
    """A measurement failed, or its answer is wrong: there is no time to report."""


def measure(module: str, *, cache: Path | None = None, **options: Any) -> Figures:
    """Run a module's `answer` in a fresh process.

    Args:
        module: below `benchmarks`, run with -m.
        cache: where compiled automata are kept; the same folder for all without it.
        options: what the module's function takes, as JSON.

    Returns:
        What it gave back.

    Raises:
        MeasurementError: when it failed; what it wrote to standard error is in sight already.
    """
    environment = {**os.environ, "METACURATE_CACHE": str(cache or WORK / "cache")}
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(options)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise MeasurementError(f"{module} {options}: exit code {done.returncode}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def answer(function: Callable[..., Figures]) -> None:
    """The other end of `measure`: call a function with the options given, print its figures."""
    figures = function(**json.loads(sys.argv[1]))
    print(json.dumps(figures))


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Wall-clock time of the fastest of some calls, without Python's garbage collection."""
    best = float("inf")
    for _ in range(times):
        gc.collect()
        gc.disable()
        start = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - start)
        gc.enable()
        del result
    return best


def warm_seconds(work: Callable[[], object], times: int = 3) -> Figures:
    """Time a call whose first run is not counted, though it is told.

    The first run asks the system for memory: handing out pages can take longer than the work
    itself, and more so for whoever holds more of them. A warm-up on less data would leave that
    in the figure.

    Args:
        work: the call, on the data that is measured.
        times: how often it is called again.

    Returns:
        first and seconds (the fastest of the others), wall-clock; and cpu, processor time of
        all threads, the least.
    """
    first = seconds(work)
    walls, used = [], []
    for _ in range(times):
        start = time.process_time()
        walls.append(seconds(work))
        used.append(time.process_time() - start)
    return {"first": first, "seconds": min(walls), "cpu": min(used)}


def peak_memory() -> float:
    """Largest resident set of this process so far, in MB (10^6 bytes).

    VmHWM where there is one: ru_maxrss would begin with that of the process that started us.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def agree(what: str, digests: dict[str, str]) -> None:
    """Refuse answers that differ.

    Args:
        what: was answered.
        digests: of the answers, by who gave them.

    Raises:
        MeasurementError: naming all.
    """
    if len(set(digests.values())) != 1:
        listed = ", ".join(f"{name} {digest[:12]}" for name, digest in digests.items())
        raise MeasurementError(f"{what}: the answers differ: {listed}")
