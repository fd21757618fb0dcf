"""Which images go because of others: near duplicates, and images of benchmarks."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from metacurate.engine.storage import list_folder, read_bytes, remove, table_of, write_arrow
from metacurate.engine.stores import Place
from metacurate.images.filters.hash_lists import HashLists
from metacurate.images.filters.near import Codes, Ints, near_duplicates, near_references
from metacurate.images.filters.references import References
from metacurate.images.filters.verdicts import Filters, any_of, own_verdicts
from metacurate.images.shards import Shard

DECIDED: Final = pa.schema(
    [
        pa.field("shard", pa.int32(), nullable=False),  # its position among all
        pa.field("row", pa.int32(), nullable=False),  # of the image in it
        pa.field("benchmark", pa.bool_(), nullable=False),  # or else a near duplicate
        pa.field("of", pa.string(), nullable=False),  # key, or name of the benchmark's image
        pa.field("of_shard", pa.string()),
        pa.field("distance", pa.uint8(), nullable=False),
    ]
)
"""A row for each image that goes, in the order of shards and rows."""

NEEDED = [
    "key", "draw", "problem", "sha256", "original", "pdq", "width", "height", "perceptual_hash",
    "nsfw_score",
]  # fmt: skip


def ranked(pixels: Ints, draws: Codes) -> Ints:
    """The order in which images are decided on: larger ones first, equally large ones by draw.

    Args:
        pixels: int64[images]. draws: uint64[images].

    Returns:
        int64[images], positions; those that draw the same stay in their order.
    """
    return np.lexsort((draws, -pixels))


def decide(
    folder: Place,
    key: str,
    shards: Sequence[Shard],
    measured: Sequence[Place | None],
    filters: Filters,
    lists: HashLists,
    references: References,
) -> Place:
    """Decide over all shards, or take what was decided before.

    An image that is near one of a benchmark goes for that. Of the others, those against which
    nothing else speaks are decided on from the largest to the smallest: each stays unless one
    that stays already is near; so one that stays stands for all that go.

    Args:
        folder: where the decision is kept, in place of an earlier one.
        key: names all that it depends on, in hex.
        shards: all of them. measured: the file of each; None where it could not be read.
        filters: what is asked. lists: those that it names, read.
        references: images of benchmarks.

    Returns:
        A file of schema DECIDED.
    """
    name = f"decided-{key[:16]}.arrow"
    there = list_folder(folder)
    if name not in there or not there[name].size:
        remove(folder / old for old in there if old.startswith("decided-"))
        write_arrow(folder / name, _decide(shards, measured, filters, lists, references))
    return folder / name


def _decide(
    shards: Sequence[Shard],
    measured: Sequence[Place | None],
    filters: Filters,
    lists: HashLists,
    references: References,
) -> pa.Table:
    if not filters.perceptual:
        return DECIDED.empty_table()
    tables, places = [], []
    for number, place in enumerate(measured):
        if place is None:
            continue
        table = table_of(read_bytes(place), NEEDED)
        against = any_of(list(own_verdicts(table, filters, lists).values()), len(table))
        rows = np.flatnonzero(~against)
        tables.append(
            table.select(["key", "draw", "width", "height", "perceptual_hash"]).take(rows)
        )
        places.append(np.stack([np.full(len(rows), number), rows]))
    if not tables:
        return DECIDED.empty_table()
    images = pa.concat_tables(tables)
    where = np.concatenate(places, axis=1)
    codes = images["perceptual_hash"].to_numpy()
    pixels = images["width"].to_numpy().astype(np.int64) * images["height"].to_numpy()
    order = ranked(pixels, images["draw"].to_numpy())
    keys = images["key"]

    known = near_references(references.codes, codes[order], filters.distance)
    kept_out = known.keeper >= 0
    n = int(kept_out.sum())
    goes: dict[str, list[Any]] = {
        "position": [order[kept_out]],
        "benchmark": [np.ones(n, np.bool_)],
        "of": [pa.array([references.names[i] for i in known.keeper[kept_out]], pa.string())],
        "of_shard": [pa.nulls(n, pa.string())],
        "distance": [known.distance[kept_out]],
    }
    if filters.near_duplicates:
        left = order[~kept_out]
        near = near_duplicates(codes[left], filters.distance)
        gone = near.keeper >= 0
        keepers = left[near.keeper[gone]]
        names = pa.array([shard.name for shard in shards], pa.string())
        goes["position"].append(left[gone])
        goes["benchmark"].append(np.zeros(int(gone.sum()), np.bool_))
        goes["of"].append(keys.take(pa.array(keepers)).combine_chunks().cast(pa.string()))
        goes["of_shard"].append(names.take(pa.array(where[0, keepers])))
        goes["distance"].append(near.distance[gone])
    positions = np.concatenate(goes["position"])
    found = pa.table(
        {
            "shard": where[0, positions],
            "row": where[1, positions],
            **{
                name: pa.chunked_array([pa.array(part) for part in goes[name]])
                for name in ("benchmark", "of", "of_shard", "distance")
            },
        }
    ).cast(DECIDED)
    by_place = np.lexsort((where[1, positions], where[0, positions]))
    return found.take(pa.array(by_place)).combine_chunks()
