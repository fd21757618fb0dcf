"""The straightforward way: read the column, then count it in one call, on one thread."""

import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.count.digest import digest
from benchmarks.fresh import Figures, answer, warm_seconds
from metacurate import Matcher, Metadata


def main(rows: int) -> Figures:
    """Count a pool.

    Args:
        rows: of the pool.
    """
    matcher = Matcher(Metadata.read(data.metadata_path()))
    column = pq.read_table(data.pool_path(rows), columns=["text"])["text"]
    counts = matcher.count(column)
    times = warm_seconds(lambda: matcher.count(column))
    return {**times, "answer": digest(counts), "texts": counts.texts}


if __name__ == "__main__":
    answer(main)
