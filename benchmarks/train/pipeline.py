"""The data pipeline alone: batches as training takes them, and nothing done with them."""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.fresh import Figures, answer
from benchmarks.train.case import recipe_of, shards_of
from metacurate.training.data import captions_of, make_loader, open_shards
from metacurate.training.distributed import World
from metacurate.training.tokenizer import train_tokenizer

BATCH = 128
WARM_UP = 8  # batches that are not counted: workers start, and have some ready


def main(recipe: str, images: int, pairs: int, workers: int) -> Figures:
    """Take batches.

    Args:
        recipe: its name. images: of the shards. pairs: to take. workers: processes that decode.
    """
    chosen = recipe_of(recipe)
    world = World(0, 1, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as work:
        source = str(shards_of(chosen, images))
        shards = open_shards(source, None, 0, world, "fail", Path(work))
    tokenizer = train_tokenizer(captions_of(shards), chosen.vocabulary)
    batches = iter(make_loader(shards, chosen, tokenizer, BATCH, workers, pinned=False))
    for _ in range(WARM_UP):
        next(batches)
    steps = pairs // BATCH
    start = time.perf_counter()
    for _ in range(steps):
        batch = next(batches)
    seconds = time.perf_counter() - start
    assert len(batch.images) == BATCH
    return {"pairs_per_second": steps * BATCH / seconds}


if __name__ == "__main__":
    answer(main)
