"""Running text to count: words drawn by English frequencies, in articles of about 600 words."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.data import WORK

ARTICLE = 600  # words
STOP = 0.06  # of all words: a full stop
ARTICLES = 8_192  # in a row group


def corpus_path(megabytes: int) -> Path:
    """A Parquet file with a column `text` of so many MB (10^6 bytes); written once.

    Words are drawn one by one, so that there are more different bigrams than people write.

    Args:
        megabytes: of text.
    """
    path = WORK / f"text-{megabytes}.parquet"
    if path.exists():
        return path
    words, upto = _vocabulary()
    random = np.random.default_rng(0)
    WORK.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    schema = pa.schema([("text", pa.string())])
    left = megabytes * 1_000_000
    with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        while left > 0:
            drawn = np.searchsorted(upto, random.random(ARTICLES * ARTICLE), side="right")
            chosen = words.take(pa.array(np.minimum(drawn, len(words) - 1)))
            offsets = pa.array(np.arange(0, len(chosen) + 1, ARTICLE, dtype=np.int32))
            texts = pc.binary_join(pa.ListArray.from_arrays(offsets, chosen), " ")
            sizes = np.cumsum(pc.binary_length(texts).to_numpy())
            texts = texts.slice(0, int(np.searchsorted(sizes, left)) + 1)
            left -= int(sizes[len(texts) - 1])
            writer.write_table(pa.table([texts], schema=schema))
    unfinished.rename(path)
    return path


def _vocabulary() -> tuple[pa.StringArray, np.ndarray]:
    from wordfreq import get_frequency_dict

    known = get_frequency_dict("en", wordlist="large")
    words = sorted((word for word in known), key=lambda word: (-known[word], word))
    weights = np.array([known[word] for word in words])
    weights = np.append(weights / weights.sum() * (1 - STOP), STOP)
    return pa.array([*words, "."]), np.cumsum(weights)
