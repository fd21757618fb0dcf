"""metacurate counts a corpus in memory, from Arrow strings, on one thread."""

import math

import pyarrow.parquet as pq

from benchmarks.fresh import Figures, answer, peak_memory, seconds
from benchmarks.ngrams.corpus import corpus_path
from benchmarks.ngrams.digest import digests
from metacurate import __version__
from metacurate.metadata.ngrams import NgramCounter


def main(megabytes: int) -> Figures:
    """Count a corpus.

    Args:
        megabytes: of text.
    """
    texts = pq.read_table(corpus_path(megabytes))["text"]
    NgramCounter().add(texts.slice(0, 1))  # compile

    def count() -> NgramCounter:
        counter = NgramCounter()
        counter.add(texts)
        return counter

    time = seconds(count, 3)
    table = count().to_table()
    words: dict[str, int] = {}
    bigrams: dict[tuple[str, str], int] = {}
    for first, second, n in zip(*(column.to_pylist() for column in table.columns), strict=True):
        if second is None:
            words[first] = n
        else:
            bigrams[first, second] = n
    total = sum(words.values())
    pmi = {
        (first, second): math.log2(n * total / (words[first] * words[second]))
        for (first, second), n in bigrams.items()
    }
    return {
        "seconds": time, "memory": peak_memory(), "words": total, "version": __version__,
        **digests(words, bigrams, pmi),
    }  # fmt: skip


if __name__ == "__main__":
    answer(main)
