"""ONNX models: which fit, how images are prepared for them, and what is told of others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from metacurate.errors import InputError
from metacurate.images.filters.models import Model, Preparation, UnsafeScore, model_files
from tests.images.made import flat, noise
from tests.images.onnx_models import PLAIN, brightness, floats, image, save


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 8, 8, 3), ("n", 3, 8, 8)])
def test_the_brighter_the_worse(tmp_path: Path, shape: Any) -> None:
    model = UnsafeScore(brightness(tmp_path / "m.onnx", shape=shape, preprocessor_config=PLAIN))
    for value in (0, 51, 255):
        assert model.score(flat(value)) == pytest.approx(value / 255, abs=1e-5)


def test_bytes_go_in_as_they_are(tmp_path: Path) -> None:
    path = brightness(tmp_path / "m.onnx", kind=TensorProto.UINT8, scale=1 / 255)
    assert UnsafeScore(path).score(flat(51)) == pytest.approx(0.2, abs=1e-5)


def test_without_files_beside_it_values_go_from_minus_one_to_one(tmp_path: Path) -> None:
    model = UnsafeScore(brightness(tmp_path / "m.onnx"))
    assert model.score(flat(255)) == pytest.approx(1, abs=1e-5)
    with pytest.raises(InputError, match="no probabilities"):
        model.score(flat(0))  # -1


def test_logits_become_probabilities(tmp_path: Path) -> None:
    path = brightness(tmp_path / "m.onnx", output="logits", scale=3.0, preprocessor_config=PLAIN)
    bright = np.exp(3.0) / (np.exp(3.0) + np.exp(-2.0))
    assert UnsafeScore(path).score(flat(255)) == pytest.approx(bright, abs=1e-5)


def test_labels_tell_which_class_is_unsafe(tmp_path: Path) -> None:
    labels = {"id2label": {"0": "NSFW", "1": "normal"}}
    path = brightness(tmp_path / "a" / "m.onnx", preprocessor_config=PLAIN, config=labels)
    assert UnsafeScore(path).score(flat(51)) == pytest.approx(0.8, abs=1e-5)
    timm = {"label_names": ["NSFW", "SFW"], "pretrained_cfg": {"mean": [0] * 3, "std": [1] * 3}}
    path = brightness(tmp_path / "b" / "m.onnx", config=timm)
    assert UnsafeScore(path).score(flat(51)) == pytest.approx(0.8, abs=1e-5)
    assert [Path(file).name for file in model_files(path)] == ["m.onnx", "config.json"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config": {"id2label": {"0": "cat", "1": "dog"}}}, "no label of an unsafe class"),
        ({"config": {"id2label": {"0": "nsfw"}}}, "no label"),
        ({"config": {"label_names": ["nsfw"]}}, "2 classes, but 1 labels"),
        ({"preprocessor_config": {"image_mean": [0.5]}}, "make no sense"),
        ({"preprocessor_config": {"image_std": [0, 0, 0]}}, "make no sense"),
        ({"preprocessor_config": {"resample": 77}}, "make no sense"),
        ({"preprocessor_config": []}, "no JSON object"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, files: Any, reason: str) -> None:
    path = brightness(tmp_path / "m.onnx", **files)
    with pytest.raises(InputError, match=reason):
        UnsafeScore(path)


def test_the_size_is_that_of_the_model_or_told(tmp_path: Path) -> None:
    free = brightness(tmp_path / "m.onnx", shape=(1, 3, "h", "w"))
    with pytest.raises(InputError, match="any size"):
        UnsafeScore(free)
    for size in (16, {"height": 16, "width": 16}, {"shortest_edge": 16}):
        found = Preparation.of(Model(free), {"size": size})
        assert (found.height, found.width) == (16, 16)
    assert found.pixels(noise(1), as_bytes=False).shape == (16, 16, 3)


def test_what_is_no_model_for_images(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.onnx: is no model that can be run"):
        UnsafeScore(str(tmp_path / "broken.onnx"))
    with pytest.raises(InputError, match="is no model that can be run"):
        UnsafeScore(str(tmp_path / "missing.onnx"))
    copy = helper.make_node("Identity", ["image"], ["out"])
    flat_ = save(tmp_path / "flat.onnx", [copy], [image((1, 5))], [floats("out", (1, 5))])
    with pytest.raises(InputError, match="not one image"):
        UnsafeScore(flat_)
    same = save(
        tmp_path / "same.onnx", [copy], [image((1, 3, 4, 4))], [floats("out", (1, 3, 4, 4))]
    )
    with pytest.raises(InputError, match="not the scores of classes"):
        UnsafeScore(same)
