"""The straightforward way: a Python set of all pairs, on one thread."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.fresh import Figures, answer, peak_memory, seconds


def main(rows: int, out: str) -> Figures:
    """Write the first row of each pair.

    Args:
        rows: of the pool. out: the output folder, which must not be there.
    """
    path = data.repeating_pool_path(rows)
    Path(out).mkdir()
    time = seconds(lambda: _dedup(path, Path(out) / "unique.parquet"))
    return {"seconds": time, "memory": peak_memory()}


def _dedup(source: Path, target: Path) -> None:
    seen: set[tuple[str, str]] = set()
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(data.ROW_GROUP):
            keep = []
            pairs = zip(batch["url"].to_pylist(), batch["text"].to_pylist(), strict=True)
            for pair in pairs:
                keep.append(pair not in seen)
                seen.add(pair)
            writer.write_batch(batch.filter(pa.array(keep)))


if __name__ == "__main__":
    answer(main)
