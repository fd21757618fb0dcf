"""The curated set that is explored, made once; and what is asked of it."""

import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import metacurate
from benchmarks import data
from metacurate import Metadata
from metacurate.reporting.curated_set import CuratedSet

FILES = 8
HOSTS = 200  # images by host follow Zipf's law
THRESHOLD = 100.0
REQUESTS = 20  # different ones of each kind


@dataclass(frozen=True)
class Request:
    """A page that is asked for.

    Attributes:
        kind: of question. path: of the page. asked: what the scan needs to answer it.
    """

    kind: str
    path: str
    asked: str | int


def explored(rows: int) -> Path:
    """The output folder of a curated set.

    Args:
        rows: of its pool: captions over and over, each with a url of its own on some host.
    """
    folder = data.WORK / f"explored-{data.kind()}-{rows}"
    if not (folder / "out" / "manifest.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _write_pool(folder / "pool", rows)
        metadata = Metadata.read(data.metadata_path())
        metacurate.curate(folder / "pool", metadata, threshold=THRESHOLD, out=folder / "out")
    return folder / "out"


def _write_pool(folder: Path, rows: int) -> None:
    folder.mkdir(parents=True)
    texts = data.captions()
    random = np.random.default_rng(0)
    weights = 1 / np.arange(1, HOSTS + 1)
    hosts = random.choice(HOSTS, rows, p=weights / weights.sum())
    edges = [rows * part // FILES for part in range(FILES + 1)]
    for number, (start, stop) in enumerate(pairwise(edges)):
        ids = np.arange(start, stop)
        urls = [
            f"https://host{host}.example.org/{i:08x}.jpg"
            for host, i in zip(hosts[start:stop].tolist(), ids.tolist(), strict=True)
        ]
        table = pa.table({"url": urls, "text": texts.take(pa.array(ids % len(texts)))})
        path = folder / f"{number}.parquet"
        pq.write_table(table, path, compression="zstd", row_group_size=data.ROW_GROUP)


def requests(out: Path) -> list[Request]:
    """What is asked: twenty of each kind, of words and entries common and rare.

    Args:
        out: the curated set.
    """
    curated = CuratedSet.read(out)
    random = np.random.default_rng(1)
    counts = curated.counts.values
    matched = np.flatnonzero(counts)
    chances = 1 / np.maximum(counts[matched], 1)  # as many rare entries as common ones
    some = random.choice(matched, REQUESTS, replace=False, p=chances / chances.sum()).tolist()
    head = np.flatnonzero(counts > curated.threshold)
    heads = random.choice(head, REQUESTS, replace=len(head) < REQUESTS).tolist()
    words = [curated.entries[i].as_py().split(" ")[0][:4].lower() for i in heads]
    words = [word if word.isascii() and word.isalnum() else "fox" for word in words]
    texts = data.captions().take(pa.array(random.integers(0, len(data.captions()), REQUESTS)))
    sentences = [" ".join(text.split())[:200] or "fox" for text in texts.to_pylist()]
    hosts = [f"host{i}.example.org" for i in random.integers(0, HOSTS, REQUESTS).tolist()]
    return [
        *(Request("search for entries", f"/?{_query(q=word)}", word) for word in words),
        *(Request("kept pairs of an entry", f"/pairs?{_query(entry=i)}", i) for i in some),
        *(
            Request("pairs balanced away", f"/pairs?{_query(entry=i, fate='balanced_away')}", i)
            for i in heads
        ),
        *(
            Request("a sentence of one's own", f"/try?{_query(text=text, url='x')}", text)
            for text in sentences
        ),
        *(
            Request("pairs of a domain", f"/pairs?{_query(fate='all', domain=host)}", host)
            for host in hosts
        ),
    ]


def _query(**parameters: str | int) -> str:
    return urlencode(parameters)
