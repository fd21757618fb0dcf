"""Shards of small coloured images, and a recipe that trains on them in a second."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from metacurate.images.shards import Sample, sample_key, shard_name, write_tar
from metacurate.training.recipe import TINY, Recipe, Tower

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "grey": (128,) * 3}
SMALL = replace(
    TINY,
    image=Tower(32, 1, 2),
    text=Tower(32, 1, 2),
    embedding=16,
    image_size=16,
    context=16,
    batch=8,
    pairs_seen=96,
    warmup=2,
    vocabulary=600,
)


def picture(colour: str, seed: int) -> bytes:
    """A PNG of 20 x 18 pixels: a colour, and noise."""
    noise = np.random.default_rng(seed).integers(-20, 20, (18, 20, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def sample(shard: int, index: int, image: bytes | None = None, text: str | None = None) -> Sample:
    colour = list(COLOURS)[(shard + index) % len(COLOURS)]
    key = sample_key(shard_name(shard), index, 10_000)
    made = picture(colour, 1000 * shard + index) if image is None else image
    caption = f"a {colour} wall, number {index}" if text is None else text
    return Sample(key, made, "png", caption, {"url": f"https://a.example/{key}.png"})


def write_shards(folder: Path, sizes: Sequence[int] = (30, 20, 25)) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for shard, size in enumerate(sizes):
        write_tar(folder, shard_name(shard), [sample(shard, index) for index in range(size)])
    return str(folder)


def pairs_seen(steps: int, recipe: Recipe = SMALL) -> Recipe:
    return replace(recipe, pairs_seen=steps * recipe.batch)
