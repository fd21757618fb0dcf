"""Counting words and bigrams of running text, beside NLTK; and within how much memory."""

from benchmarks.ngrams.compare import run

__all__ = ["run"]
