"""From what became of images to a shard: its samples, its table and its statistics."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.hashing.pairs import hash_pairs
from metacurate.images.fetching.statuses import Status
from metacurate.images.shards import Sample, pair_fields
from metacurate.matching.matcher import Texts

UNDECODED = frozenset({Status.NOT_AN_IMAGE, Status.TOO_MANY_PIXELS, Status.BROKEN_IMAGE})
ROWS_AT_ONCE = 1000
OUTCOME = (
    "status", "error_message", "width", "height", "original_width", "original_height", "sha256",
)  # fmt: skip


def pairs_table(images: pa.Table, outcome: pa.Table, metadata: Mapping[str, str]) -> pa.Table:
    """The table beside a tar: a row for each pair, also of images that could not be had.

    Args:
        images: `key`, `url`, `uid`, `pairs`, as lists have them.
        outcome: the columns `OUTCOME`, a row for each image.
        metadata: of the file.

    Returns:
        `key`, `url`, all columns of the pairs (`text` first), `uid`, and those of the outcome.
    """
    pairs = images["pairs"].combine_chunks()
    parents = pc.list_parent_indices(pairs)
    values = pc.list_flatten(pairs)
    columns: dict[str, Any] = {
        "key": images["key"].take(parents),
        "url": images["url"].take(parents),
    }
    for field in values.type:
        columns[field.name] = pc.struct_field(values, field.name)
    columns.setdefault("uid", images["uid"].take(parents))
    for name in OUTCOME:
        columns[name] = outcome[name].take(parents)
    return pa.table(columns).replace_schema_metadata(dict(metadata) or None)


def choose_captions(
    urls: Texts, texts: Texts, offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The caption that stands in a sample's .txt: the one with the smallest draw.

    The draw has the purpose `caption`, and seed and index 0; of equal ones the first is taken.

    Args:
        urls, texts: strings, of all pairs, image by image.
        offsets: int64[images + 1], where each image's pairs begin; each has at least one.

    Returns:
        int64[images], positions among all pairs.
    """
    draws = hash_pairs(urls, texts, 0, "caption")
    images = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    order = np.lexsort((draws, images))
    return order[offsets[:-1]]


def make_samples(
    images: pa.Table, outcome: pa.Table, image: Callable[[int], bytes]
) -> Iterator[Sample]:
    """The samples of a shard: those whose image is there.

    Args:
        images: as for `pairs_table`. outcome: the columns `OUTCOME` and `ending`.
        image: reads an image, by its index.

    Yields:
        In the order of the images; .json holds `key`, `uid`, `url`, `caption`, `pairs`, and what
        the table tells of the image.
    """
    pairs = images["pairs"].combine_chunks()
    texts = pc.struct_field(pc.list_flatten(pairs), "text")
    urls = images["url"].take(pc.list_parent_indices(pairs))
    offsets = pairs.offsets.to_numpy().astype(np.int64)
    captions = texts.take(pa.array(choose_captions(urls, texts, offsets - offsets[0]))).to_pylist()
    told = outcome.to_pylist()
    for start in range(0, len(images), ROWS_AT_ONCE):
        for index, row in enumerate(images.slice(start, ROWS_AT_ONCE).to_pylist(), start):
            if told[index]["status"] != Status.SUCCESS:
                continue
            fields = {
                "key": row["key"],
                "uid": row["uid"],
                "url": row["url"],
                "caption": captions[index],
                "pairs": [pair_fields(pair) for pair in row["pairs"]],
                **{name: told[index][name] for name in OUTCOME},
            }
            yield Sample(row["key"], image(index), told[index]["ending"], captions[index], fields)


def count_statuses(images: pa.Table, outcome: pa.Table) -> pa.Table:
    """How many images and pairs have which status.

    Args:
        images: as for `pairs_table`. outcome: with the column `status`.

    Returns:
        `status` string, `images` int64, `pairs` int64.
    """
    sizes = pc.list_value_length(images["pairs"]).cast(pa.int64())
    table = pa.table({"status": outcome["status"], "pairs": sizes})
    counted = table.group_by("status").aggregate([([], "count_all"), ("pairs", "sum")])
    return counted.rename_columns(["status", "images", "pairs"]).sort_by("status")


def make_stats(statuses: pa.Table, began: float, ended: float) -> dict[str, Any]:
    """Statistics of a shard, as img2dataset names them; and the number of pairs.

    Args:
        statuses: from `count_statuses`. began, ended: when, in seconds since 1970.

    Returns:
        JSON.
    """
    counts = dict(zip(statuses["status"].to_pylist(), statuses["images"].to_pylist(), strict=True))
    images, successes = sum(counts.values()), counts.get(Status.SUCCESS, 0)
    undecoded = sum(counts.get(status, 0) for status in UNDECODED)
    return {
        "count": images,
        "successes": successes,
        "failed_to_download": images - successes - undecoded,
        "failed_to_resize": undecoded,
        "duration": round(ended - began, 3),
        "start_time": began,
        "end_time": ended,
        "status_dict": counts,
        "pairs": sum(statuses["pairs"].to_pylist()),
    }
