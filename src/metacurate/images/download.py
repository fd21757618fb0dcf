"""From curated pairs to shards of images: `metacurate images download`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metacurate.engine.progress import Progress
from metacurate.engine.run import Outcome
from metacurate.engine.storage import arrow_tables, list_folder, remove_folder
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.engine.workspace import OnError, open_workspace
from metacurate.errors import UsageError
from metacurate.images.decoding import MAX_PIXELS
from metacurate.images.download_stage import DownloadStage, Making
from metacurate.images.fetching.limits import AGENT, FetchLimits
from metacurate.images.listing import ListStage, list_key, refuse_without_urls, write_lists
from metacurate.images.shards import SUCCESS, drop_incomplete_shards, drop_other_shards
from metacurate.images.spool import SPOOLS
from metacurate.pool.files import Source, absolute_sources, find_files
from metacurate.pool.opening import Asked, open_pools, parse_where

CONTACT = re.compile(r"https?://[!-~]+|[!-~]+@[!-~]+\.[!-~]+")
IMAGES_PER_SHARD = 10_000
QUALITY = 95


def download(
    source: Source,
    out: str,
    *,
    contact: str,
    images_per_shard: int = IMAGES_PER_SHARD,
    resize: int | None = None,
    quality: int = QUALITY,
    max_pixels: int = MAX_PIXELS,
    limits: FetchLimits | None = None,
    columns: Sequence[str] | None = None,
    url_column: str | None = None,
    text_column: str | None = None,
    where: str | None = None,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Download the images of pairs into WebDataset shards, as img2dataset lays them out.

    One sample is one image, with all of its pairs. Which image goes into which shard depends on
    the pairs alone. A run that was cut off goes on; what it has got is not asked for again.

    Args:
        source: a curated set, or any pool with urls: a file, folder, glob or list.
        out: folder for the shards.
        contact: an address of mail or of the web at which site owners reach whoever runs this;
            it is sent with each request.
        images_per_shard: of all shards but the last.
        resize: make JPEGs whose smallest side has so many pixels; None to keep images as they are.
        quality: of these JPEGs, 1 to 95.
        max_pixels: of an image; larger ones are not decoded.
        limits: what a fetch may take; `per_host` is shared by all workers.
        columns: names of the columns of CSV and TSV files without a header.
        url_column, text_column: found by their names without it.
        where: which rows to take.
        engine: what runs it: this machine without it, a `RayEngine` or `SlurmEngine`.
        workers: number of shards at once; as many as there is room for without it.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of images that are done.

    Returns:
        Totals, JSON: images and pairs by status among them.

    Raises:
        UsageError: for an argument that can't be.
        MetacurateError: when inputs are broken, or the folder can't be written.
    """
    check_contact(contact)
    _check_at_least(images_per_shard, 1, "images per shard")
    _check_at_least(max_pixels, 1, "pixels of an image")
    if resize is not None:
        _check_at_least(resize, 1, "pixels of the smallest side")
    if not 1 <= quality <= 95:
        raise UsageError(f"a quality of {quality} is not between 1 and 95")
    folder = place_of(out)
    limits = replace(limits or FetchLimits(), user_agent=f"{AGENT} (+{contact})")
    asked = Asked(find_files(source, folder), url_column, text_column, None, parse_where(where), 0)
    configuration = {
        "command": "images download",
        "pool": absolute_sources(source),
        "columns": None if columns is None else list(columns),
        "url_column": url_column,
        "text_column": text_column,
        "where": asked.where and asked.where.text,
        "images_per_shard": images_per_shard,
        "resize": resize,
        "quality": None if resize is None else quality,
        "max_pixels": max_pixels,
        "max_bytes": limits.max_bytes,
        "respect_opt_out": limits.respect_opt_out,
        "contact": contact,
    }
    with open_workspace(
        folder, configuration, engine=engine, workers=workers, on_error=on_error,
        progress=progress, shards=None,
    ) as space:  # fmt: skip
        (pool,) = open_pools(space, [asked], columns)
        refuse_without_urls(pool)
        space.claim()
        listed = ListStage(pool)
        rows = space.run(listed)
        identity = rows.identity(pool.identity)
        key = list_key(listed, identity, images_per_shard)
        images = write_lists(space.work, key, pool, rows.partials, images_per_shard)
        limits = replace(limits, per_host=max(1, limits.per_host // space.slots))
        stage = DownloadStage(images, Making(resize, quality, max_pixels), limits, space.work)
        drop_incomplete_shards(folder)
        outcome = space.run(stage)
        made = [record.output for record in outcome.records if record.output is not None]
        drop_other_shards(folder, (name.removesuffix(".tar") for name in made))
        if isinstance(space.work, Path):
            remove_folder(space.work / SPOOLS)
        summary = {
            "rows_read": sum(record.rows_read for record in rows.records),
            "invalid": sum(record.invalid for record in rows.records),
            **({"filtered": sum(r.filtered for r in rows.records)} if pool.where else {}),
            "pairs": images.pairs,
            "images": images.images,
            **_totals(outcome),
            "shards": len(made),
            "failed_shards": sum(record.failed for record in outcome.records),
            "resumed_shards": outcome.resumed,
            "bytes": _size_of(folder, outcome),
            "seconds": space.unit_totals(outcome)["seconds"],
        }
        space.write_manifest(summary, {"pool": identity})
    return summary


def check_contact(contact: str) -> None:
    """Refuse a contact that site owners could not use.

    Args:
        contact: an address of mail or of the web.

    Raises:
        UsageError: naming it.
    """
    if not CONTACT.fullmatch(contact):
        raise UsageError(
            f"a contact is an address of mail or of the web, as me@example.org: {contact!r} is "
            "neither"
        )


def _check_at_least(value: int, least: int, what: str) -> None:
    if value < least:
        raise UsageError(f"{value} {what} are too few: at least {least} is needed")


def _totals(outcome: Outcome) -> dict[str, Any]:
    """Images and pairs that are there, and images by status, the most frequent first."""
    images: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for table in arrow_tables(outcome.partials):
        for row in table.to_pylist():
            images[row["status"]] += row["images"]
            pairs[row["status"]] += row["pairs"]
    return {
        "images_downloaded": images[SUCCESS],
        "pairs_with_image": pairs[SUCCESS],
        "status": dict(sorted(images.items(), key=lambda item: (-item[1], item[0]))),
    }


def _size_of(folder: Place, outcome: Outcome) -> int:
    """Bytes of all tars."""
    entries = list_folder(folder)
    return sum(entries[r.output].size for r in outcome.records if r.output is not None)
