"""Some images of shards with their captions, on one page that needs nothing besides."""

import base64
import heapq
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from metacurate.engine.storage import write_text
from metacurate.errors import UsageError
from metacurate.hashing.pairs import draw_seed, hash_columns
from metacurate.images.decoding import MAX_PIXELS, ImageError, resize
from metacurate.images.shards import SUCCESS, Shard, read_table
from metacurate.pool.tar_images import read_tar_image
from metacurate.reporting.standalone import make_standalone, page_file

SIDE = 200  # pixels of a picture's smallest side
QUALITY = 80
COLUMNS = ["key", "url", "status"]


def write_contact_sheet(
    shards: Sequence[Shard], place: Path, images: int, seed: int = 0
) -> dict[str, Any]:
    """Write a page with some images, drawn from all that are there.

    Args:
        shards: of this machine, not compressed. place: of the page.
        images: how many. seed: of the draw, uint64.

    Returns:
        JSON: `images` that are shown, and the `file`.

    Raises:
        UsageError: for fewer than one image, or shards elsewhere.
        InputError: when a shard can't be read.
        MetacurateError: when the page can't be written.
    """
    if images < 1:
        raise UsageError(f"{images} images are too few: at least 1 is needed")
    for shard in shards:
        if "://" in shard.tar:
            raise UsageError(f"{shard.tar}: contact sheets are made of shards of this machine")
    shown = [_show(shard, row) for shard, row in draw_images(shards, images, seed)]
    page = make_standalone(
        "contact_sheet.html.jinja",
        page_file("contact_sheet.css"),
        [],
        {},
        pictures=True,
        shown=shown,
        seed=seed,
    )
    write_text(place, page)
    return {"images": len(shown), "file": str(place)}


def draw_images(
    shards: Sequence[Shard], images: int, seed: int
) -> list[tuple[Shard, list[dict[str, Any]]]]:
    """Draw images: those whose keys have the smallest hashes, whatever shard they are in.

    Args:
        shards: which. images: how many. seed: uint64.

    Returns:
        The shard of each, and its rows in the table.

    Raises:
        InputError: when a shard has no table, or it is broken.
    """
    best: list[tuple[int, int, str]] = []  # hash, number of the shard, key
    for number, shard in enumerate(shards):
        table = read_table(shard)
        if "status" in table.column_names:
            table = table.filter(pa.compute.equal(table["status"], SUCCESS))
        keys = table["key"].unique().cast(pa.string())
        hashes = hash_columns([keys], [draw_seed(seed, "shuffle")])[0]
        drawn = np.argsort(hashes)[:images].tolist()
        found = [(int(hashes[place]), number, keys[place].as_py()) for place in drawn]
        best = heapq.nsmallest(images, best + found)
    return list(_with_rows(shards, best))


def _with_rows(
    shards: Sequence[Shard], drawn: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[Shard, list[dict[str, Any]]]]:
    ordered = sorted(one[1:] for one in drawn)
    for number, some in groupby(ordered, key=itemgetter(0)):
        table = read_table(shards[number])
        for _, key in some:
            yield shards[number], table.filter(pa.compute.equal(table["key"], key)).to_pylist()


def _show(shard: Shard, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the page has of an image."""
    first = rows[0]
    text = "text" if "text" in first else "caption"
    found = read_tar_image(shard.tar, first["key"])
    picture, fault = "", None
    if found is None:
        fault = "not in the tar, or of over 64 MB"
    else:
        try:
            small = resize(found[0], SIDE, QUALITY, MAX_PIXELS)
            picture = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
        except ImageError as error:
            fault = str(error)
    return {
        "key": first["key"],
        "url": str(first.get("url") or ""),
        "size": f"{first['width']} \u00d7 {first['height']}" if first.get("width") else "",
        "captions": [str(row[text]) for row in rows if row.get(text) is not None],
        "picture": picture,
        "fault": fault,
    }
