"""Crops stay within images and shares; a trained model's images are prepared as CLIP's are."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import kstest
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from metacurate.images.decoding import CLIP_DEVIATION, CLIP_MEAN
from metacurate.training.transforms import (
    RATIO,
    crop_box,
    crop_number,
    preprocessor,
    random_crop,
)

SIZE = st.integers(1, 3000)


@given(SIZE, SIZE, st.integers(0, 2**32))
def test_a_crop_lies_within_the_image(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = crop_box(width, height, (0.9, 1.0), random.Random(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


def test_crops_of_a_square_have_the_shares_and_ratios_that_may_be() -> None:
    boxes = [crop_box(1000, 1000, (0.5, 0.7), random.Random(seed)) for seed in range(3000)]
    shares = np.array([(r - x) * (b - y) / 1e6 for x, y, r, b in boxes])
    ratios = np.array([(r - x) / (b - y) for x, y, r, b in boxes])
    assert shares.min() > 0.499
    assert shares.max() < 0.701
    assert ratios.min() > RATIO[0] - 0.01
    assert ratios.max() < RATIO[1] + 0.01
    assert kstest((shares - 0.5) / 0.2, "uniform").pvalue > 1e-3
    low = np.log(RATIO[0])
    assert kstest((np.log(ratios) - low) / -2 / low, "uniform").pvalue > 1e-3


def test_where_no_draw_fits_the_middle_is_taken() -> None:
    assert crop_box(100, 1000, (0.9, 1.0), random.Random(0)) == (0, 433, 100, 566)
    assert crop_box(1000, 100, (0.9, 1.0), random.Random(0)) == (433, 0, 566, 100)


def test_the_whole_of_an_image_is_that_of_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = Image.fromarray(pixels)
    number = random.Random(3)
    left, top, right, bottom = crop_box(64, 64, (0.9, 1.0), random.Random(3))
    cropped = random_crop(image, 32, (0.9, 1.0), number)
    assert cropped.shape == (32, 32, 3)
    assert cropped.dtype == np.uint8
    wanted = image.crop((left, top, right, bottom)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(cropped, np.asarray(wanted))


def test_an_image_is_cropped_anew_in_each_epoch_and_the_same_each_time() -> None:
    def first(name: str, seed: int, epoch: int) -> float:
        return crop_number(name, seed, epoch).random()

    assert first("a.tar/1", 0, 0) == first("a.tar/1", 0, 0)
    others = {first("a.tar/1", 0, 0), first("a.tar/2", 0, 0), first("a.tar/1", 1, 0)}
    assert len(others | {first("a.tar/1", 0, 1)}) == 4


@pytest.mark.parametrize("size", [(40, 30), (20, 50), (32, 32)])
def test_transformers_prepares_images_by_the_file(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor(32)))
    processor = CLIPImageProcessorPil.from_pretrained(tmp_path)
    image = Image.new("RGB", size, (255, 0, 51))
    pixels = np.asarray(processor(image)["pixel_values"][0])
    assert pixels.shape == (3, 32, 32)
    wanted = (np.array([1.0, 0.0, 0.2]) - CLIP_MEAN) / CLIP_DEVIATION
    assert np.allclose(pixels[:, 5, 5], wanted, atol=1e-5)
