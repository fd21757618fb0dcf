"""Pools for tests: captions of common and rare words, and ways to write and read them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.stores import Place

from .twin import Kept

WORDS = 2_000
ENTRIES = [
    *(f"w{i}" for i in range(0, WORDS, 2)),
    *(f"w{i} w{i + 1}" for i in range(200)),
    ",",
    "w0, w1",  # never matches
    "nowhere",
]


def zipf_pool(rows: int, odd: bool = True) -> pa.Table:
    """Captions of 1 to 8 words that follow Zipf's law; with `odd`, some rows out of the ordinary.

    Every 97th row repeats the one before; every 501st has no url, every 503rd no text, every
    509th an empty text and every 521st an empty url.
    """
    random = np.random.default_rng(7)
    chances = 1 / np.arange(1, WORDS + 1)
    words = random.choice(WORDS, (rows, 8), p=chances / chances.sum())
    lengths = random.integers(1, 9, rows)
    texts: list[str | None] = [
        (", " if i % 7 == 0 else " ").join(f"w{word}" for word in row[:length])
        for i, (row, length) in enumerate(zip(words.tolist(), lengths.tolist(), strict=True))
    ]
    urls: list[str | None] = [f"https://example.org/{i}.jpg" for i in range(rows)]
    if odd:
        for i in range(97, rows, 97):
            urls[i], texts[i] = urls[i - 1], texts[i - 1]
        urls[501::501] = [None] * len(urls[501::501])
        texts[503::503] = [None] * len(texts[503::503])
        texts[509::509] = [""] * len(texts[509::509])
        urls[521::521] = [""] * len(urls[521::521])
    return pa.table({"url": urls, "text": texts})


def valid_pairs(pool: pa.Table) -> list[tuple[str, str]]:
    pairs = zip(pool["url"].to_pylist(), pool["text"].to_pylist(), strict=True)
    return [(url, text) for url, text in pairs if url is not None and text is not None]


def write_pool(folder: Path, tables: Sequence[pa.Table], **options: Any) -> Path:
    folder.mkdir(parents=True)
    for i, table in enumerate(tables):
        pq.write_table(table, folder / f"part-{i:03}.parquet", **options)
    return folder


def read_curated(out: Place) -> pa.Table:
    return pq.read_table(out / "curated")


def read_kept(out: Place) -> list[Kept]:
    """The pairs of an output folder, sorted: what must not depend on how the pool is stored."""
    return sorted(Kept(**row) for row in read_curated(out).select(Kept._fields).to_pylist())
