"""metacurate writes one row of each pair."""

import tempfile
from pathlib import Path

from benchmarks import data
from benchmarks.fresh import Figures, answer, peak_memory, seconds
from metacurate.pool.dedup import dedup


def main(rows: int, out: str, workers: int) -> Figures:
    """Deduplicate a pool.

    Args:
        rows: of the pool. out: the output folder, which must not be there.
        workers: number of threads.
    """
    path = data.repeating_pool_path(rows)
    with tempfile.TemporaryDirectory(dir=data.WORK) as folder:
        dedup(data.repeating_pool_path(data.SMALL), Path(folder) / "out", workers=workers)
    time = seconds(lambda: dedup(path, out, workers=workers))
    return {"seconds": time, "memory": peak_memory()}


if __name__ == "__main__":
    answer(main)
