"""Tables of counts on disk, in buckets: what is counted of a word lies in the bucket of its hash.

So counts of any size are added up in as little memory as there is, a few buckets at a time.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from metacurate.errors import InputError
from metacurate.schema import NGRAMS

BUCKETS = 256
KEY = b"metacurate.buckets"  # in the schema's metadata: bucket and rows of each record batch

Part = Callable[[], Iterator[pa.RecordBatch]]


def bucketed(batches: Sequence[pa.RecordBatch], buckets: Sequence[int]) -> pa.Table:
    """Make a table of batches that each belong to one bucket.

    Args:
        batches: of `metacurate.schema.NGRAMS`. buckets: as many.
    """
    places = [(bucket, batch.num_rows) for bucket, batch in zip(buckets, batches, strict=True)]
    return pa.Table.from_batches(batches, NGRAMS).replace_schema_metadata({KEY: json.dumps(places)})


def join(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables that `bucketed` made.

    Args:
        tables: at least one.
    """
    places = [place for table in tables for place in json.loads(table.schema.metadata[KEY])]
    return pa.concat_tables(tables).replace_schema_metadata({KEY: json.dumps(places)})


def cut(paths: Sequence[Path], most_rows: int) -> list[Part]:
    """Cut tables into parts that have no word in common: ranges of buckets.

    Args:
        paths: Arrow files of such tables. most_rows: of a part, where a bucket does not have more.

    Returns:
        Functions that read a part.

    Raises:
        InputError: when a file is none of these.
    """
    places = {path: _read_places(path) for path in paths}
    rows = [0] * BUCKETS
    for found in places.values():
        for bucket, n in found:
            rows[bucket] += n
    edges, size = [0], 0
    for bucket, n in enumerate(rows):
        if size and size + n > most_rows:
            edges.append(bucket)
            size = 0
        size += n
    edges.append(BUCKETS)
    return [partial(_read, places, range(start, stop)) for start, stop in pairwise(edges)]


def _read_places(path: Path) -> list[tuple[int, int]]:
    with pa.OSFile(str(path)) as source:
        metadata = pa.ipc.open_file(source).schema.metadata or {}
    if KEY not in metadata:
        raise InputError(str(path), "holds no counts in buckets")
    return [(bucket, rows) for bucket, rows in json.loads(metadata[KEY])]


def _read(places: dict[Path, list[tuple[int, int]]], buckets: range) -> Iterator[pa.RecordBatch]:
    for path, found in places.items():
        with pa.OSFile(str(path)) as source:
            file = pa.ipc.open_file(source)
            for i, (bucket, _) in enumerate(found):
                if bucket in buckets:
                    batch = file.get_batch(i)
                    yield pa.record_batch(batch.columns, schema=NGRAMS)
