"""One string for a set of pairs that were kept, whatever their order."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fresh import Figures, answer

COLUMNS = ["url", "text", "entries", "probability"]


class Digest:
    """Sum of the rows' hashes, modulo 2^128."""

    def __init__(self, columns: Sequence[str] = COLUMNS) -> None:
        self.columns = columns
        self.rows = 0
        self._sum = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in rows."""
        columns = (batch[name].to_pylist() for name in self.columns)
        for row in zip(*columns, strict=True):
            hashed = hashlib.blake2b(repr(row).encode(), digest_size=16).digest()
            self._sum += int.from_bytes(hashed, "little")
        self.rows += len(batch)

    def value(self) -> str:
        """The digest of all rows so far, in hex."""
        return f"{self._sum % 2**128:032x}"


def main(out: str) -> Figures:
    """Digest curated pairs, in batches.

    Args:
        out: an output folder of `metacurate.curate`.
    """
    kept = Digest()
    for path in sorted(Path(out, "curated").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(50_000, columns=COLUMNS):
            kept.add(batch)
    return {"kept": kept.rows, "answer": kept.value()}


if __name__ == "__main__":
    answer(main)
