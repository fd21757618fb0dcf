"""Faces in an image, by detectors of the UltraFace family, and how they are blurred."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.errors import InputError
from metacurate.images.filters.models import Model, Preparation

if TYPE_CHECKING:
    from PIL.Image import Image

LEAST_SCORE = 0.7  # of what is taken for a face, as UltraFace's authors have it
SAME_FACE = 0.3  # of their union, that boxes of the same face share at least
GROWN = 0.15  # of a box's sides, that are blurred on each side of it
BLUR = 0.25  # of a box's longer side: the radius; nothing but a shade of a face is left
QUALITY = 95  # of an image that is encoded anew

FACES = pa.list_(
    pa.struct([(name, pa.float32()) for name in ("x", "y", "width", "height", "score")])
)
"""Faces of an image: the upper left corner and size of each box, in pixels of the image."""


class Face(TypedDict):
    """A box, in pixels of the image, and how sure the detector is."""

    x: float
    y: float
    width: float
    height: float
    score: float


class FaceDetector:
    """A model of the UltraFace family: version-RFB-320.onnx, -640, version-slim-320.onnx.

    It takes an image of a fixed size, RGB, whose values are (v - 127) / 128, and gives scores
    [1, boxes, 2], of background and face, and boxes [1, boxes, 4]: corners, from 0 to 1.
    """

    def __init__(self, path: str) -> None:
        """Load it.

        Args:
            path: of an .onnx file on this machine.

        Raises:
            MetacurateError: when the extra is not installed.
            InputError: when it is no such model.
        """
        self._model = Model(path)
        if self._model.height is None or self._model.width is None:
            raise InputError(path, "takes images of any size: UltraFace has a fixed one")
        self._preparation = Preparation(
            self._model.height,
            self._model.width,
            (127 / 255,) * 3,
            (128 / 255,) * 3,
            2,
        )
        last = [shape[-1] if len(shape) == 3 else None for _, shape in self._model.outputs]
        if sorted(last, key=str) != [2, 4]:
            named = ", ".join(f"{name} {shape}" for name, shape in self._model.outputs)
            raise InputError(
                path, f"gives {named}, not UltraFace's scores [1, boxes, 2] and boxes [1, boxes, 4]"
            )
        self._scores, self._boxes = last.index(2), last.index(4)

    def find(self, image: "Image") -> list[Face]:
        """Find faces.

        Args:
            image: RGB.

        Returns:
            The surest first.

        Raises:
            InputError: when the model fails.
        """
        pixels = self._preparation.pixels(image, self._model.takes_bytes)
        outputs = self._model.run(pixels)
        scores = outputs[self._scores][0, :, 1].astype(np.float64)
        boxes = outputs[self._boxes][0].astype(np.float64).clip(0, 1)
        sides = np.array([*image.size, *image.size], np.float64)
        return [
            Face(
                x=float(box[0]),
                y=float(box[1]),
                width=float(box[2] - box[0]),
                height=float(box[3] - box[1]),
                score=float(scores[i]),
            )
            for i in best_boxes(boxes, scores)
            for box in [boxes[i] * sides]
        ]


def best_boxes(boxes: npt.NDArray[Any], scores: npt.NDArray[Any]) -> list[int]:
    """Of boxes around the same face, the surest.

    Args:
        boxes: float64[boxes, 4], corners. scores: float64[boxes].

    Returns:
        Which, the surest first; none of less than `LEAST_SCORE`, nor without an area.
    """
    areas = (boxes[:, 2] - boxes[:, 0]).clip(0) * (boxes[:, 3] - boxes[:, 1]).clip(0)
    order = np.argsort(-scores, kind="stable")
    left = order[(scores[order] >= LEAST_SCORE) & (areas[order] > 0)]
    found: list[int] = []
    while len(left):
        best, left = int(left[0]), left[1:]
        found.append(best)
        low = np.maximum(boxes[left, :2], boxes[best, :2])
        high = np.minimum(boxes[left, 2:], boxes[best, 2:])
        shared = np.prod((high - low).clip(0), axis=1)
        left = left[shared < SAME_FACE * (areas[left] + areas[best] - shared)]
    return found


def blur_faces(body: bytes, faces: list[Face], max_pixels: int) -> tuple[bytes, str]:
    """Blur faces, each with a margin around it, and encode the image anew.

    Args:
        body: of the image's file. faces: to blur. max_pixels: that the image may have.

    Returns:
        The new file, without metadata, and its ending: a PNG or WebP stays one, without loss;
        any other becomes a JPEG.

    Raises:
        ImageError: when the image can't be decoded.
    """
    from PIL import ImageFilter

    from metacurate.images.decoding import decode_rgb

    image = decode_rgb(body, max_pixels)
    for face in faces:
        grow_x, grow_y = face["width"] * GROWN, face["height"] * GROWN
        box = (
            max(0, int(face["x"] - grow_x)),
            max(0, int(face["y"] - grow_y)),
            min(image.width, int(np.ceil(face["x"] + face["width"] + grow_x))),
            min(image.height, int(np.ceil(face["y"] + face["height"] + grow_y))),
        )
        if box[0] < box[2] and box[1] < box[3]:
            radius = max(2.0, BLUR * max(box[2] - box[0], box[3] - box[1]))
            part = image.crop(box).filter(ImageFilter.GaussianBlur(radius))
            image.paste(part, box)
    out = BytesIO()
    if body.startswith(b"\x89PNG"):
        image.save(out, "PNG")
        return out.getvalue(), "png"
    if body[8:12] == b"WEBP":
        image.save(out, "WEBP", lossless=True)
        return out.getvalue(), "webp"
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue(), "jpg"
