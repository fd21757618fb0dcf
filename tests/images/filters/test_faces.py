"""Faces: what a detector's boxes come to, and that nothing of a face is left."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metacurate.errors import InputError
from metacurate.images.filters.faces import Face, FaceDetector, best_boxes, blur_faces
from tests.images.made import encoded, noise
from tests.images.onnx_models import brightness, faces


def test_boxes_are_in_pixels_of_the_image(tmp_path: Path) -> None:
    path = faces(
        tmp_path / "f.onnx",
        [[0.25, 0.5, 0.75, 1.0], [0.26, 0.5, 0.75, 1.0], [0, 0, 0.1, 0.1], [0.8, 0, 1.5, 0.2]],
        [0.9, 0.95, 0.3, 0.8],
    )
    found = FaceDetector(path).find(noise(1, (200, 100)))
    assert [round(face["score"], 2) for face in found] == [0.95, 0.8]
    sides = ("x", "y", "width", "height")
    assert [found[0][s] for s in sides] == pytest.approx([52, 50, 98, 50], abs=0.01)  # type: ignore[literal-required]
    assert [found[1][s] for s in sides] == pytest.approx([160, 0, 40, 20], abs=0.01)  # type: ignore[literal-required]


def test_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gives scores \[1, 2\], not UltraFace's"):
        FaceDetector(brightness(tmp_path / "m.onnx"))
    with pytest.raises(InputError, match="any size"):
        FaceDetector(brightness(tmp_path / "m.onnx", shape=(1, 3, "h", "w")))


def test_of_boxes_around_a_face_the_surest_stays() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 0, 30, 10], [5, 5, 5, 9]], float)
    assert best_boxes(boxes, np.array([0.8, 0.9, 0.7, 0.99])) == [1, 2]
    assert best_boxes(boxes[:0], np.zeros(0)) == []


@pytest.mark.parametrize(("kind", "ending"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_a_face_is_blurred_and_the_rest_is_not(kind: str, ending: str) -> None:
    image = noise(3, (200, 100), grain=40)
    lossless = {"WEBP": {"lossless": True}}.get(kind, {})
    body = encoded(image, kind, **lossless)
    face = Face(x=50, y=20, width=60, height=60, score=0.9)
    blurred, found = blur_faces(body, [face], 1 << 20)
    assert found == ending
    assert blur_faces(body, [face], 1 << 20)[0] == blurred
    before, after = (
        np.asarray(Image.open(BytesIO(b)).convert("RGB"), float) for b in (body, blurred)
    )
    inside = (slice(20, 80), slice(50, 110))
    assert after[inside].std() < before[inside].std() / 4
    outside = np.ones((100, 200), bool)
    outside[11:89, 41:119] = False
    assert np.abs(after - before)[outside].mean() < (10 if kind == "JPEG" else 1e-9)


def test_boxes_beyond_the_image(tmp_path: Path) -> None:
    faces_ = [
        Face(x=-20, y=-20, width=30, height=30, score=1),
        Face(x=500, y=500, width=9, height=9, score=1),
    ]
    body, _ = blur_faces(encoded(noise(1)), faces_, 1 << 20)
    assert Image.open(BytesIO(body)).size == (64, 48)
