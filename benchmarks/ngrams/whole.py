"""metacurate builds a list of the words and bigrams of a large corpus, within a limit of memory."""

import tempfile
import time
from pathlib import Path

from benchmarks.fresh import Figures, answer, peak_memory
from benchmarks.ngrams.corpus import corpus_path
from metacurate.metadata.build import build_metadata
from metacurate.metadata.recipe import Recipe


def main(megabytes: int, memory: int) -> Figures:
    """Build from a corpus.

    Args:
        megabytes: of text. memory: to take, in bytes.
    """
    path = corpus_path(megabytes)
    recipe = Recipe(wikipedia=(str(path),), bigrams=100_000, bigram_min_count=20)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        began = time.perf_counter()
        report = build_metadata(recipe, Path(folder) / "metadata.parquet", memory=memory)
        seconds = time.perf_counter() - began
        disk = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    bigram = next(source for source in report["sources"] if source["source"] == "bigram")
    return {
        "seconds": seconds, "memory": peak_memory(), "words": bigram["counted"]["all_words"],
        "bigrams": bigram["read"], "disk": disk, "digest": report["digest"],
    }  # fmt: skip


if __name__ == "__main__":
    answer(main)
