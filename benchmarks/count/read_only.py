"""The floor: pyarrow reads the column of texts, and that is all."""

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.fresh import Figures, answer, peak_memory, warm_seconds


def main(rows: int, threads: int) -> Figures:
    """Read a pool's texts into one table.

    Args:
        rows: of the pool. threads: that pyarrow may use.
    """
    pa.set_cpu_count(threads)
    path = data.pool_path(rows)
    times = warm_seconds(lambda: pq.read_table(path, columns=["text"], use_threads=threads > 1))
    return {**times, "memory": peak_memory()}


if __name__ == "__main__":
    answer(main)
