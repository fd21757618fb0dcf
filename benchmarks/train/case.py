"""Shards of small images for `tiny`, and of larger ones as for the paper's models."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import data
from benchmarks.online.case import shards_path
from metacurate.engine.stores import place_of
from metacurate.images.shards import Sample, sample_key, shard_name, write_tar
from metacurate.training import RECIPES, Recipe

PER_SHARD = 1000


def shards_of(recipe: Recipe, images: int) -> Path:
    """Shards whose images are not much larger than the recipe's; written once.

    Args:
        recipe: what is to be trained. images: how many.
    """
    if recipe.image_size > 32:
        return shards_path(images)
    folder = data.WORK / f"train-{data.kind()}-{images}"
    if folder.exists():
        return folder
    captions = data.captions().slice(0, images).to_pylist()
    unfinished = folder.with_suffix(".tmp")
    unfinished.mkdir(parents=True, exist_ok=True)
    for first in range(0, images, PER_SHARD):
        name = shard_name(first // PER_SHARD)
        some = captions[first : first + PER_SHARD]
        write_tar(
            place_of(str(unfinished)),
            name,
            (
                Sample(sample_key(name, index, PER_SHARD), _webp(first + index), "webp", text, {})
                for index, text in enumerate(some)
            ),
        )
    unfinished.rename(folder)
    return folder


def _webp(number: int) -> bytes:
    """An image of 32 x 32 pixels, of about as many bytes as a photograph of its size."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
    out = io.BytesIO()
    coarse.resize((32, 32), Image.Resampling.BICUBIC).save(out, "WEBP", quality=90)
    return out.getvalue()


def recipe_of(name: str) -> Recipe:
    """A recipe whose tokenizer needs no network.

    Args:
        name: of the recipe.
    """
    return replace(RECIPES[name], tokenizer="train", vocabulary=2048)
