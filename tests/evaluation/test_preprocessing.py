import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from metacurate.errors import InputError
from metacurate.evaluation.preprocessing import Preparation, prepare
from tests.evaluation.made import encoded, picture

CONFIGURATIONS: list[dict[str, Any]] = [
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 20, "width": 20}},
    {"size": {"shortest_edge": 21}, "crop_size": {"height": 14, "width": 14}},
    {"size": {"shortest_edge": 9}, "crop_size": {"height": 20, "width": 20}, "resample": 2},
    {"size": {"height": 17, "width": 17}, "do_center_crop": False},
    {"do_resize": False, "crop_size": {"height": 20, "width": 20}, "do_normalize": False},
    {"size": {"shortest_edge": 20}, "crop_size": {"height": 20, "width": 20}, "do_rescale": False,
     "image_mean": [1, 2, 3], "image_std": [0.5, 2, 3]},
]  # fmt: skip


@pytest.mark.parametrize("told", CONFIGURATIONS)
@given(width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 99))
@settings(max_examples=15)
def test_it_is_what_transformers_makes(
    told: dict[str, Any], width: int, height: int, seed: int
) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    random = np.random.default_rng(seed)
    image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    expected = CLIPImageProcessorPil(**told)(image, return_tensors="np")["pixel_values"][0]
    preparation = Preparation.of(told, "config")
    pixels = prepare(encoded(image), preparation)
    assert isinstance(pixels, np.ndarray)
    found = np.stack([preparation.values[i][pixels[..., i]] for i in range(3)])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_old_configurations_give_numbers() -> None:
    told = {"size": 224, "crop_size": 224, "resample": 3, "do_normalize": True}
    assert Preparation.of(told, "config") == Preparation(224, None, (224, 224))
    assert Preparation.of({}, "config") == Preparation(224, None, (224, 224))


@pytest.mark.parametrize(
    "told",
    [
        {"do_center_crop": False, "size": {"shortest_edge": 224}},
        {"size": {"shortest_edge": 224, "longest_edge": 300}},
        {"size": {"width": 224}},
        {"size": None},
        {"size": -3},
        {"crop_size": 0},
        {"crop_size": [224, 224]},
        {"resample": 9},
        {"image_std": [0, 1, 1]},
        {"image_mean": [0.5]},
        {"rescale_factor": "small"},
        {"size": 10**400},
        {"size": math.inf},
        {"crop_size": 100_000},
        {"rescale_factor": 10**400},
        {"rescale_factor": math.inf},
        {"image_mean": [0, 0, math.nan]},
        {"resample": math.inf},
    ],
)
def test_what_makes_no_sense_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^a\.json: tells no way to prepare images"):
        Preparation.of(told, "a.json")


SMALL = Preparation(20, None, (20, 20))


def test_broken_images_have_a_reason() -> None:
    told = prepare(encoded(picture(1))[:-40], SMALL)
    assert isinstance(told, str)
    assert told.startswith("the image can't be decoded")
    assert "no image that is read" in str(prepare(b"<html>", SMALL))


def test_bombs_are_refused() -> None:
    large = encoded(Image.new("1", (20_000, 20_000)))
    assert "more than" in str(prepare(large, SMALL))
    long = encoded(Image.new("RGB", (1_000_000, 1)))
    assert "too long a shape" in str(prepare(long, SMALL))
