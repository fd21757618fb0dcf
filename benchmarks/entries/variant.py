"""A list of entries with some options of `metadata build`, and what it matches."""

from itertools import groupby

import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.fresh import Figures, answer
from metacurate import Matcher, Metadata
from metacurate.metadata.assemble import Source, assemble, listed
from metacurate.metadata.describe import describe_metadata

NO_LIMIT = 2**32 - 1


def main(captions: str, **options: bool) -> Figures:
    """Put the entries of the data together again, and count their matches in captions.

    Args:
        captions: a Parquet file beside the entries, with a column text.
        **options: of `metacurate.metadata.assemble.assemble`.
    """
    whole = Metadata.read(data.metadata_path())
    pairs = zip(whole.sources.to_pylist(), whole.entries.to_pylist(), strict=True)
    sources = []
    for name, group in groupby(pairs, key=lambda pair: pair[0]):
        ranking = listed([entry for _, entry in group])
        sources.append(Source(name, lambda _, ranking=ranking: ranking))  # type: ignore[misc]
    metadata, _ = assemble(sources, NO_LIMIT, **options)
    texts = pq.read_table(data.metadata_path().parent / captions, columns=["text"])["text"]
    counts = Matcher(metadata).count(texts)
    told = describe_metadata(metadata)
    return {
        "entries": len(metadata),
        "never": told["never_match_by_source"],
        "sources": told["sources"],
        "texts": counts.texts,
        "matched": counts.matched_texts,
        "matches": int(counts.values.sum()),
        "found": int((counts.values > 0).sum()),
    }


if __name__ == "__main__":
    answer(main)
