"""metacurate counts all entries over a pool."""

import metacurate
from benchmarks import data
from benchmarks.count.digest import digest
from benchmarks.fresh import Figures, answer, peak_memory, warm_seconds
from metacurate import Matcher, Metadata


def main(rows: int, threads: int) -> Figures:
    """Count a pool.

    Args:
        rows: of the pool. threads: number of workers.
    """
    matcher = Matcher(Metadata.read(data.metadata_path()))
    path = data.pool_path(rows)
    counts = metacurate.count(path, matcher, workers=threads)
    times = warm_seconds(lambda: metacurate.count(path, matcher, workers=threads))
    memory = peak_memory()
    return {**times, "memory": memory, "answer": digest(counts), "texts": counts.texts}


if __name__ == "__main__":
    answer(main)
