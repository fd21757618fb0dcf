"""A training by `metacurate.training.train`, on a GPU where there is one."""

import tempfile
from dataclasses import replace

import torch

from benchmarks.fresh import Figures, answer
from benchmarks.train.case import recipe_of, shards_of
from metacurate.training import Pace, train


def main(recipe: str, images: int, pairs: int, batch: int) -> Figures:
    """Train for a while, from random weights.

    Args:
        recipe: its name. images: of the shards. pairs: to be seen. batch: pairs of a step.
    """
    chosen = replace(recipe_of(recipe), pairs_seen=pairs, batch=batch, warmup=10)
    with tempfile.TemporaryDirectory() as folder:
        shards = str(shards_of(chosen, images))
        told = train(shards, f"{folder}/run", chosen, pace=Pace(log_every=10**9))
    names = ("pairs_per_second", "waiting", "computing")
    return {name: told[name] for name in names} | {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    answer(main)
