"""metacurate curates a pool: count, balance, sample, write."""

import shutil
import tempfile
from pathlib import Path

import metacurate
from benchmarks import data
from benchmarks.fresh import Figures, answer, peak_memory, seconds
from metacurate import Metadata


def main(rows: int, workers: int, out: str) -> Figures:
    """Curate a pool.

    Args:
        rows: of the pool. workers: number of threads. out: the output folder, replaced.
    """
    metadata = Metadata.read(data.metadata_path())
    path = data.pool_path(rows)
    with tempfile.TemporaryDirectory(dir=data.WORK) as folder:
        metacurate.curate(
            data.pool_path(data.SMALL), metadata, out=Path(folder) / "out", workers=workers
        )
    shutil.rmtree(out, ignore_errors=True)
    results = []
    time = seconds(
        lambda: results.append(metacurate.curate(path, metadata, out=out, seed=0, workers=workers))
    )
    return {"seconds": time, "memory": peak_memory(), **results[-1].summary}


if __name__ == "__main__":
    answer(main)
