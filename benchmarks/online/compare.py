"""Compare the samples of both pipelines, then the processor time that each takes."""

from statistics import median

from benchmarks.fresh import Figures, agree, measure
from benchmarks.online.case import SIDE, TAIL_SHARE, TRAINED, shards_path
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import QUICK, Sizes

IMAGES = 5000
MOST_OVERHEAD = 0.05


def run(sizes: Sizes) -> Section:
    images = IMAGES // 5 if sizes is QUICK else IMAGES
    shards_path(images)
    found = {
        name: _turns(images, everything, sizes.runs)
        for name, everything in (("all", True), (f"tail share {TAIL_SHARE}", False))
    }
    return Section("online", [_table(found, images)], found)


def _turns(images: int, everything: bool, times: int) -> Figures:
    ours: list[Figures] = []
    theirs: list[Figures] = []
    for _ in range(times):
        theirs.append(measure("online.listed", images=images, everything=everything))
        ours.append(measure("online.metacurate", images=images, everything=everything))
        agree("samples", {"listed": theirs[-1]["answer"], "metacurate": ours[-1]["answer"]})
    return {"listed": theirs, "metacurate": ours}


def _table(found: Figures, images: int) -> Table:
    rows = []
    overheads = []
    for name, runs in found.items():
        theirs, ours = (
            median(one["cpu"] for one in runs[tool]) for tool in ("listed", "metacurate")
        )
        alone = median(one["alone"] for one in runs["metacurate"])
        kept = runs["metacurate"][0]["kept"]
        overheads.append(alone / theirs)
        rows.append(
            [
                name, f"{kept:,}", f"{1e6 * theirs / kept:,.0f}", f"{1e6 * ours / kept:,.0f}",
                f"{ours / theirs:.2f}", f"{1e6 * alone / images:,.1f}", f"{overheads[-1]:.1%}",
            ]
        )  # fmt: skip
    note = (
        f"A pipeline of webdataset over {images:,} JPEGs of {SIDE} x {SIDE} pixels: read, decode, "
        f"resize to {TRAINED} x {TRAINED}; one process, processor time.\n"
        "*Without* knows beforehand which samples are kept, and decodes no others; *with* matches "
        "all captions and draws, by `online_balance`.\nKeys, captions and pixels agree. "
        "*Filter alone* is "
        "`online_balance` on samples in memory, and *overhead* its share of the time without it: "
        "what it adds is too little to be seen beside decoding.\n"
        f"Budget: {MOST_OVERHEAD:.0%} more where all is kept: "
        f"{verdict(overheads[0] < MOST_OVERHEAD)}."
    )
    columns = [
        "kept", "samples", "without: us a sample", "with: us a sample", "times",
        "filter alone: us a caption", "overhead",
    ]  # fmt: skip
    return Table("Balancing online", columns, rows, note)
