"""What is measured on: captions and metadata entries, real ones where there are any.

With METACURATE_DATA set to a folder of redcaps.parquet (column text) and metadata.parquet
(column entry), these are used; else a stand-in of the same size is drawn from the word
frequencies of the package wordfreq, the same on every machine.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "bench"
ROW_GROUP = 131_072
SMALL = 10_000  # rows of the pool that everything warms up with

CAPTIONS = 321_338
WORDS = 250_000
BIGRAMS = 200_000
MARKS = (",", ".", "!", "?", ":")

Ids: TypeAlias = npt.NDArray[np.int64]


def kind() -> str:
    """Name of the data in use: real or generated."""
    return "real" if os.environ.get("METACURATE_DATA") else "generated"


def describe() -> str:
    """One sentence about the data, for reports."""
    if kind() == "real":
        return "Real data: RedCaps captions and 450k entries of WordNet, Wikipedia and bigrams."
    return "Generated data: captions and entries drawn from wordfreq's English word frequencies."


def metadata_path() -> Path:
    """The file of metadata entries."""
    return _folder() / "metadata.parquet"


@cache
def captions() -> pa.StringArray:
    """All captions, in a random order that is always the same."""
    column = pq.read_table(_folder() / "redcaps.parquet", columns=["text"])["text"]
    order = np.random.default_rng(0).permutation(len(column))
    return column.take(pa.array(order)).combine_chunks().cast(pa.string())


def pool_path(rows: int) -> Path:
    """A pool of `rows` pairs: the captions over and over, each with a url of its own.

    It is written once: one file, row groups of 131,072 rows, zstd.
    """
    schema = pa.schema([("url", pa.string()), ("text", pa.string())])
    groups = (_pairs(ids) for ids in _row_groups(rows))
    return _write_once(f"pool-{kind()}-{rows}.parquet", schema, groups)


def repeating_pool_path(rows: int) -> Path:
    """The same pool, but every fourth row repeats the pair of any earlier one.

    A third column, `score`, tells rows of a pair apart.
    """
    schema = pa.schema([("url", pa.string()), ("text", pa.string()), ("score", pa.float32())])

    def columns(ids: Ids) -> list[pa.Array]:
        random = np.random.default_rng(ids[0])
        pairs = np.where(ids % 4 == 3, (random.random(len(ids)) * ids).astype(np.int64), ids)
        return [*_pairs(pairs), pa.array(random.random(len(ids), np.float32))]

    groups = (columns(ids) for ids in _row_groups(rows))
    return _write_once(f"repeating-{kind()}-{rows}.parquet", schema, groups)


def _row_groups(rows: int) -> Iterator[Ids]:
    return (np.arange(at, min(at + ROW_GROUP, rows)) for at in range(0, rows, ROW_GROUP))


def _pairs(ids: Ids) -> list[pa.Array]:
    """Urls and texts of some rows."""
    texts = captions()
    # an odd multiple modulo 2^64: distinct, and as hard to compress as real names
    names = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    urls = pa.array([f"https://images.example.org/{name:016x}.jpg" for name in names])
    return [urls, texts.take(pa.array(ids % len(texts)))]


def _write_once(name: str, schema: pa.Schema, groups: Iterable[list[pa.Array]]) -> Path:
    path = WORK / name
    if path.exists():
        return path
    WORK.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for columns in groups:
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROW_GROUP)
    unfinished.rename(path)
    return path


def _folder() -> Path:
    if named := os.environ.get("METACURATE_DATA"):
        return Path(named)
    folder = WORK / "generated-1"  # raise the number when what is generated changes
    if not folder.exists():
        _generate(folder)
    return folder


def _generate(folder: Path) -> None:
    """Entries: frequent words and bigrams. Captions: words by frequency, some punctuation."""
    from wordfreq import get_frequency_dict

    frequencies = get_frequency_dict("en", wordlist="large")
    words = sorted(frequencies, key=lambda word: (-frequencies[word], word))
    weights = np.array([frequencies[word] for word in words])
    random = np.random.default_rng(0)

    def draw_captions(n: int) -> list[list[str]]:
        lengths = np.minimum(1 + random.poisson(random.gamma(2.0, 4.5, n)), 80)
        drawn = iter(random.choice(len(words), lengths.sum(), p=weights / weights.sum()).tolist())
        return [[words[next(drawn)] for _ in range(length)] for length in lengths]

    seen = Counter(pair for caption in draw_captions(CAPTIONS) for pair in pairwise(caption))
    bigrams = sorted(seen, key=lambda pair: (-seen[pair], pair))[:BIGRAMS]
    entries = [*words[:WORDS], *(f"{first} {second}" for first, second in bigrams)]
    texts = []
    for caption in draw_captions(CAPTIONS):
        if random.random() < 0.5:
            caption[random.integers(len(caption))] += MARKS[random.integers(len(MARKS))]
        texts.append(" ".join(caption))
    unfinished = folder.with_suffix(".tmp")
    unfinished.mkdir(parents=True, exist_ok=True)
    unique = list(dict.fromkeys(entries))
    pq.write_table(pa.table({"entry": unique}), unfinished / "metadata.parquet")
    pq.write_table(pa.table({"text": texts}), unfinished / "redcaps.parquet")
    unfinished.rename(folder)
