"""One string for the pairs that were left, whatever their order."""

from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.curate.digest import Digest
from benchmarks.fresh import Figures, answer

COLUMNS = ["url", "text"]


def main(out: str) -> Figures:
    """Digest pairs, in batches.

    Args:
        out: a folder of Parquet files.
    """
    left = Digest(COLUMNS)
    for path in sorted(Path(out).glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(50_000, columns=COLUMNS):
            left.add(batch)
    return {"rows": left.rows, "answer": f"{left.rows} {left.value()}"}


if __name__ == "__main__":
    answer(main)
