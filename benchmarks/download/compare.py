"""Compare the images that two downloaders leave, then images a second."""

import shutil
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tests.images.hostile_server import HostileServer
from tests.interop.img2dataset import install

from benchmarks import data
from benchmarks.fresh import Figures, agree, measure
from benchmarks.report import Section, Table
from benchmarks.sizes import QUICK, Sizes

IMAGES = 5000
WORKERS = 2
SIDE = 64


def run(sizes: Sizes) -> Section:
    images = IMAGES // 5 if sizes is QUICK else IMAGES
    environment = str(install())
    with HostileServer() as server:
        urls = [server.url(f"/good/{number}") for number in range(images)]
        pool = data.WORK / "images.parquet"
        pool.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"url": urls, "text": [f"image {i}" for i in range(images)]}), pool)
        found = {
            name: _turns(environment, images, side, sizes.runs)
            for name, side in (("as they come", None), (f"smallest side {SIDE}", SIDE))
        }
    return Section("download", [_table(found, images)], found)


def _turns(environment: str, images: int, side: int | None, times: int) -> Figures:
    ours: list[Figures] = []
    theirs: list[Figures] = []
    _measure("metacurate", images, side)  # the server makes its images at the first request
    for turn in range(times):
        theirs.append(_measure("img2dataset", images, side, environment=environment))
        ours.append(_measure("metacurate", images, side))
        for one in (ours[-1], theirs[-1]):
            assert one["images"] == images
        if turn == 0 and side is None:  # JPEGs that two libraries made differ
            agree("images", {"img2dataset": theirs[0]["answer"], "metacurate": ours[0]["answer"]})
    return {"img2dataset": theirs, "metacurate": ours}


def _measure(name: str, images: int, side: int | None, **more: Any) -> Figures:
    out = data.WORK / "shards"
    shutil.rmtree(out, ignore_errors=True)
    try:
        figures = measure(
            f"download.{name}", pool=str(data.WORK / "images.parquet"), out=str(out),
            images=-(-images // WORKERS), resize=side, workers=WORKERS, **more,
        )  # fmt: skip
        return {**figures, **measure("download.digest", out=str(out))}
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _table(found: Figures, images: int) -> Table:
    rows = []
    for name, runs in found.items():
        theirs, ours = (
            median(one["seconds"] for one in runs[tool]) for tool in ("img2dataset", "metacurate")
        )
        rows.append(
            [
                name, f"{images / theirs:,.0f}", f"{images / ours:,.0f}", f"{theirs / ours:.1f}",
                *(
                    f"{max(one['memory'] for one in runs[tool]):.0f}"
                    for tool in ("img2dataset", "metacurate")
                ),
            ]
        )  # fmt: skip
    note = (
        f"{images:,} images of about 10 kB from a server on this machine, which takes its share of "
        f"the cores; {WORKERS} processes, from the start of the command to its end.\nOnly "
        "metacurate decodes images that it keeps as they come, to see that they are whole. *MB* is "
        "the peak of one process."
    )
    columns = ["images", "img2dataset /s", "metacurate /s", "times", "img2dataset MB", "MB"]
    return Table("Images a second", columns, rows, note)
