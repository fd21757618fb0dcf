"""NLTK's BigramCollocationFinder, over words that were cut beforehand: that is not timed."""

from importlib.metadata import version
from itertools import chain

import pyarrow.parquet as pq
from nltk.collocations import BigramAssocMeasures, BigramCollocationFinder

from benchmarks.fresh import Figures, answer, peak_memory, seconds
from benchmarks.ngrams.corpus import corpus_path
from benchmarks.ngrams.digest import digests
from metacurate.metadata.words import cut_words


def main(megabytes: int) -> Figures:
    """Count a corpus.

    Args:
        megabytes: of text.
    """
    texts = pq.read_table(corpus_path(megabytes))["text"].to_pylist()
    runs = list(chain.from_iterable(map(cut_words, texts)))
    found: list[BigramCollocationFinder] = []
    time = seconds(lambda: found.append(BigramCollocationFinder.from_documents(runs)))
    (finder,) = found
    pmi = dict(finder.score_ngrams(BigramAssocMeasures.pmi))
    return {
        "seconds": time, "memory": peak_memory(), "words": finder.word_fd.N(),
        **digests(finder.word_fd, finder.ngram_fd, pmi), "version": version("nltk"),
    }  # fmt: skip


if __name__ == "__main__":
    answer(main)
