"""How many copies of real images are found, and how many others are taken for copies."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from metacurate.images.filters.hashes import perceptual_hash
from metacurate.images.filters.near import near_duplicates
from metacurate.images.filters.verdicts import DISTANCE
from tests.images.made import encoded

COPIED, ALL = 400, 4000
Copy = Callable[[Image.Image], Image.Image]


def jpeg(quality: int) -> Copy:
    return lambda image: Image.open(BytesIO(encoded(image, "JPEG", quality=quality)))


def scaled(width: int, height: int) -> Copy:
    return lambda image: image.resize((width, height), Image.Resampling.BICUBIC)


def cropped(image: Image.Image) -> Image.Image:
    """Without 5% of each side, as of an image eight times as large."""
    large = image.resize((image.width * 8, image.height * 8), Image.Resampling.BICUBIC)
    x, y = round(large.width * 0.025), round(large.height * 0.025)
    return large.crop((x, y, large.width - x, large.height - y))


@pytest.fixture(scope="module")
def images(data: Path) -> list[Image.Image]:
    path = data / "images" / "train.parquet"
    if not path.exists():
        pytest.skip(f"needs real images: there is no {path}")
    column = pq.read_table(path, columns=["image"]).slice(0, ALL)["image"]
    return [Image.open(BytesIO(image)).convert("RGB") for image in column.to_pylist()]


@pytest.mark.parametrize(
    ("copy", "floor"),
    [
        (scaled(24, 24), 0.99),
        (scaled(64, 48), 0.99),
        (scaled(160, 160), 0.99),
        (jpeg(75), 0.99),
        (jpeg(50), 0.98),
        (jpeg(30), 0.97),
        (cropped, 0.72),
    ],
)
def test_copies_are_found(images: list[Image.Image], copy: Copy, floor: float) -> None:
    some = images[:COPIED]
    codes = [perceptual_hash(image) for image in some]
    codes += [perceptual_hash(copy(image)) for image in some]
    near = near_duplicates(np.array(codes, np.uint64), DISTANCE)
    found = near.keeper[COPIED:] == np.arange(COPIED)
    assert found.mean() >= floor


def test_few_others_are_taken_for_copies(images: list[Image.Image]) -> None:
    codes = np.array([perceptual_hash(image) for image in images], np.uint64)
    near = near_duplicates(codes, DISTANCE)
    assert (near.keeper >= 0).mean() <= 0.0005
