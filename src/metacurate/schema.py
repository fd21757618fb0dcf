"""The Arrow schema of every table that one part of metacurate hands to another."""

from typing import Final

import pyarrow as pa

METADATA: Final = pa.schema(
    [
        pa.field("entry", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("language", pa.string()),
    ]
)
"""metadata.parquet: the row number is the entry id."""

COUNTS: Final = pa.schema(
    [
        pa.field("entry_id", pa.uint32(), nullable=False),
        pa.field("entry", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("count", pa.uint64(), nullable=False),
    ]
)
"""counts.parquet: all entries, zero counts too; totals and digests in the file's metadata."""

KEPT: Final = pa.field("kept", pa.uint64(), nullable=False)
"""The last column of a curated set's counts.parquet: kept pairs that match the entry."""

NGRAMS: Final = pa.schema(
    [
        pa.field("first", pa.string(), nullable=False),
        pa.field("second", pa.string()),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
"""Counts of words, whose second is null, and of bigrams; a row may come more than once."""

RANKED: Final = pa.schema(
    [pa.field("entry", pa.string(), nullable=False), pa.field("score", pa.float64())]
)
"""Candidates for entries, the best first."""

ENTRIES: Final = pa.list_(pa.field("item", pa.uint32(), nullable=False))
"""A text's entry ids, ascending."""

CURATED: Final = pa.schema(
    [
        pa.field("entries", ENTRIES, nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("min_threshold", pa.float64(), nullable=False),
    ]
)
"""curated/*.parquet: what is added to the pool's own columns."""

EXTRACTED: Final = pa.schema(
    [
        pa.field("url", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("uid", pa.string(), nullable=False),
        pa.field("attribute", pa.string(), nullable=False),
        pa.field("page_url", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("language_score", pa.float32(), nullable=False),
        pa.field("archive", pa.string(), nullable=False),
    ]
)
"""A pool that was extracted from web archives."""

SHARDS: Final = pa.schema(
    [
        pa.field("input", pa.string(), nullable=False),
        pa.field("first_row", pa.int64(), nullable=False),
        pa.field("rows_read", pa.int64(), nullable=False),
        pa.field("kept", pa.int64()),
        pa.field("balanced_away", pa.int64()),
        pa.field("unmatched", pa.int64()),
        pa.field("other_caption", pa.int64()),
        pa.field("duplicate", pa.int64()),
        pa.field("held_elsewhere", pa.int64()),
        pa.field("invalid", pa.int64(), nullable=False),
        pa.field("filtered", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("output", pa.string()),
        pa.field("error", pa.string()),
    ]
)
"""shards.parquet: a row for each unit of work; fates are null where a stage decides none."""


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts: strings of any layout.

    Args:
        kind: an Arrow type; of a dictionary, the type of its values decides.
    """
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)
