"""Pools whose rows meet every fate, and what becomes of them, worked out in plain Python."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import xxhash

import metacurate as mc
from metacurate.matching.spacing import Mode
from metacurate.reporting.curated_set import CuratedSet

from ...curation.pools import ENTRIES, zipf_pool
from ...curation.twin import Twin, draw, keep_probability

ROWS = 160  # of a file
FILES = 3
IMAGES = 300  # fewer than rows: some have several captions
WHERE = "similarity > 0.3"
T = 9.0
SEED = 11
HOSTS = ("example.org", "img.example.org", "Pictures.Example.COM", "other.net:8080")
LANGUAGES = ("en", "de", "en", "fr", None)


class Row(NamedTuple):
    url: str | None
    text: str | None
    fate: str
    entries: list[int]
    draw: float | None
    probability: float


def pool_table() -> pa.Table:
    """Pairs of which some share an image, with columns to filter by."""
    table = zipf_pool(ROWS * FILES)
    images = np.random.default_rng(3).integers(0, IMAGES, len(table)).tolist()
    urls = [
        url if not url else f"https://{HOSTS[image % len(HOSTS)]}/{image}.jpg"
        for url, image in zip(table["url"].to_pylist(), images, strict=True)
    ]
    random = np.random.default_rng(5)
    return pa.table(
        {
            "url": urls,
            "text": table["text"],
            "language": [LANGUAGES[i % len(LANGUAGES)] for i in range(len(table))],
            "similarity": random.random(len(table)).round(3),
        }
    )


def write_files(folder: Path, kind: str) -> Path:
    """Write the pool into several files of one format, of small row groups where it has any."""
    folder.mkdir(parents=True)
    table = pool_table()
    for i in range(FILES):
        part = table.slice(i * ROWS, ROWS)
        path = folder / f"part-{i}.{kind}"
        if kind == "parquet":
            pq.write_table(part, path, row_group_size=50)
        elif kind == "csv":
            pa.csv.write_csv(part, path)
        else:
            rows = [{k: v for k, v in row.items() if v is not None} for row in part.to_pylist()]
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def curate(folder: Path, kind: str, mode: Mode, per_image: str, where: str | None) -> Path:
    """A curated set of that pool."""
    pool, out = write_files(folder / "pool", kind), folder / "out"
    metadata = mc.Metadata.from_entries(ENTRIES)
    mc.curate(
        pool, metadata, threshold=T, out=out, seed=SEED, mode=mode, where=where,
        per_image=per_image,  # type: ignore[arg-type]
    )  # fmt: skip
    return out


def fates_of(curated: CuratedSet) -> dict[tuple[int, int], Row]:
    """What became of all rows of the pool, by file and row."""
    configuration = curated.manifest["configuration"]
    twin = Twin(ENTRIES, configuration["mode"])
    counts = curated.counts.values.tolist()
    tables: Sequence[list[dict[str, Any]]] = [
        pq.read_table(file.table).to_pylist() for file in curated.pool.files
    ]
    key = xxhash.xxh64_intdigest(b"caption" + struct.pack("<Q", 0), SEED)
    best: dict[str, tuple[int, tuple[int, int]]] = {}
    rows = {}
    for number, table in enumerate(tables):
        for i, row in enumerate(table):
            url, text = row["url"], row["text"]
            ids = [] if text is None else twin.match(text)
            passes = not configuration["where"] or float(row["similarity"]) > 0.3
            probability = keep_probability((counts[entry] for entry in ids), T)
            drawn = None if url is None or text is None else draw(url, text, SEED)
            if not passes:
                fate = "filtered"
            elif drawn is None:
                fate = "invalid"
            elif not ids:
                fate = "unmatched"
            else:
                fate = "kept" if drawn < probability else "balanced_away"
                rank = xxhash.xxh64_intdigest(f"{url}\0{text}".encode(), key)
                best[url] = min(best.get(url, (rank, (number, i))), (rank, (number, i)))
            rows[number, i] = Row(url, text, fate, ids, drawn, probability)
    if configuration["per_image"] == "one":
        for place, one in rows.items():
            if one.fate in ("kept", "balanced_away") and best[str(one.url)][1] != place:
                rows[place] = one._replace(fate="other_caption")
    return rows
