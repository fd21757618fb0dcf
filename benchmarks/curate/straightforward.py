"""The pairs that should be kept: matching, probabilities and draws, batch by batch."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.curate.digest import Digest
from benchmarks.fresh import Figures, answer
from metacurate import Balance, Matcher, Metadata, draws


def main(rows: int) -> Figures:
    """Draw the subset that `metacurate.curate` draws by default, with seed 0.

    Args:
        rows: of the pool.
    """
    matcher = Matcher(Metadata.read(data.metadata_path()))
    counts = np.zeros(len(matcher.metadata), np.uint64)
    for batch in _batches(rows):
        counts += matcher.count(batch["text"]).values
    balance = Balance(counts, tail_share=0.06)
    kept = Digest()
    for batch in _batches(rows):
        matches = matcher.match(batch["text"])
        draw = draws(batch["url"], batch["text"], seed=0)
        probabilities = balance.keep_probabilities(matches)
        chosen = pa.array(draw < probabilities)
        columns = [*batch.columns, matches, pa.array(probabilities)]
        names = ["url", "text", "entries", "probability"]
        kept.add(pa.RecordBatch.from_arrays(columns, names).filter(chosen))
    return {"kept": kept.rows, "answer": kept.value()}


def _batches(rows: int) -> Iterator[pa.RecordBatch]:
    file = pq.ParquetFile(data.pool_path(rows))
    return file.iter_batches(50_000, columns=["url", "text"])  # type: ignore[no-any-return]


if __name__ == "__main__":
    answer(main)
