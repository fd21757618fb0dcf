"""Measure the pipeline and the training that it feeds."""

import os
from statistics import median

import torch

from benchmarks.fresh import Figures, measure
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import QUICK, Sizes

IMAGES = 5_000
MOST_WAITING = 0.02
GPU_RECIPE, GPU_BATCH = "vit-b-32", 1024


def run(sizes: Sizes) -> Section:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line has it
    images = IMAGES // 10 if sizes is QUICK else IMAGES
    found: Figures = {"pipeline": {}, "training": {}}
    for recipe, workers, pairs in (("tiny", 0, 2), ("tiny", 1, 2), ("vit-b-32", 1, 1)):
        found["pipeline"][f"{recipe}, {workers} workers"] = [
            measure(
                "train.pipeline", recipe=recipe, images=images // 2, pairs=pairs * images // 2,
                workers=workers,
            )
            for _ in range(sizes.runs)
        ]  # fmt: skip
    cases = [("tiny", 128, 2 * images)]
    if torch.cuda.is_available():
        cases.append((GPU_RECIPE, GPU_BATCH, 50 * GPU_BATCH))
    for recipe, batch, pairs in cases:
        found["training"][recipe] = [
            measure("train.training", recipe=recipe, images=images // 2, pairs=pairs, batch=batch)
            for _ in range(sizes.runs)
        ]
    return Section("train", [_pipeline(found["pipeline"]), _training(found["training"])], found)


def _middle(runs: list[Figures], name: str) -> float:
    return float(median(one[name] for one in runs))


def _pipeline(found: Figures) -> Table:
    rows = [[case, f"{_middle(runs, 'pairs_per_second'):,.0f}"] for case, runs in found.items()]
    note = (
        "Batches as training takes them: read from tars, decoded, cropped, tokenised. 0 workers is "
        "the process itself; `tiny` reads WebP of 32 x 32 pixels, vit-b-32 JPEGs of 256 x 256."
    )
    return Table("The data pipeline alone", ["pipeline", "pairs/s"], rows, note)


def _training(found: Figures) -> Table:
    rows = []
    for recipe, runs in found.items():
        device = f"{runs[0]['device']}, {runs[0]['threads']} threads"
        shares = [f"{_middle(runs, name):.2%}" for name in ("waiting", "computing")]
        rows.append([recipe, device, f"{_middle(runs, 'pairs_per_second'):,.0f}", *shares])
    waiting = _middle(found["tiny"], "waiting")
    note = (
        "By `metacurate.training.train`, one worker that decodes; *waiting* is the share of time "
        "in which no batch was there. Time counts from the first batch on.\n"
        f"Budget: `tiny` waits for less than {MOST_WAITING:.0%}: "
        f"{verdict(waiting < MOST_WAITING)} ({waiting:.2%})."
    )
    return Table("Training", ["recipe", "on", "pairs/s", "waiting", "computing"], rows, note)
