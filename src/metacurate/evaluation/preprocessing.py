"""Images as a model takes them: decoded, scaled and cropped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metacurate.errors import InputError
from metacurate.images.decoding import (
    CLIP_DEVIATION,
    CLIP_MEAN,
    MAX_PIXELS,
    ImageError,
    decode_rgb,
)
from metacurate.images.fetching.statuses import Status

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

BICUBIC = 3  # as Pillow numbers its filters, of which there are six
LARGEST = 1 << 14  # side of an image, in pixels


@dataclass(frozen=True)
class Preparation:
    """How images are prepared, as preprocessor_config.json tells it.

    Attributes:
        shortest: what the shorter side is scaled to; None where `size` tells both.
        size: height and width to scale to, whatever the image's shape; None for neither.
        crop: height and width that are cut out of the middle.
        resample: which filter, as Pillow numbers them.
        scale: what values from 0 to 255 are multiplied with.
        mean, std: of each colour, after that.
    """

    shortest: int | None
    size: tuple[int, int] | None
    crop: tuple[int, int]
    resample: int = BICUBIC
    scale: float = 1 / 255
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_DEVIATION

    @classmethod
    def of(cls, told: Mapping[str, Any], source: str) -> "Preparation":
        """Read a preprocessor's configuration; what it does not tell is as in CLIP.

        Args:
            told: its JSON. source: the file, to name it.

        Raises:
            InputError: when it makes no sense, or asks for images of several sizes.
        """
        try:
            shortest, size = None, None
            if told.get("do_resize", True):
                shortest, size = _size(told.get("size", 224))
            crop = _both(told.get("crop_size", 224)) if told.get("do_center_crop", True) else size
            if crop is None:
                raise ValueError("images are not brought to one size")
            resample = int(told.get("resample", BICUBIC))
            scale = float(told.get("rescale_factor", 1 / 255))
            scale = scale if told.get("do_rescale", True) else 1.0
            mean: tuple[float, ...] = (0.0, 0.0, 0.0)
            std: tuple[float, ...] = (1.0, 1.0, 1.0)
            if told.get("do_normalize", True):
                mean = tuple(float(value) for value in told.get("image_mean", CLIP_MEAN))
                std = tuple(float(value) for value in told.get("image_std", CLIP_DEVIATION))
            if len(mean) != 3 or len(std) != 3 or 0 in std or not 0 <= resample <= 5:
                raise ValueError("a mean, a deviation or a filter can't be")
            if not all(map(math.isfinite, (scale, *mean, *std))):
                raise ValueError("a scale, a mean or a deviation is no finite number")
            sides = (*crop, *(size or ()), *(() if shortest is None else (shortest,)))
            if not all(1 <= side <= LARGEST for side in sides):
                raise ValueError(f"a size is not from 1 to {LARGEST} pixels")
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(source, f"tells no way to prepare images: {error}") from error
        return cls(shortest, size, crop, resample, scale, mean, std)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """float32[3, 256]: what each value of each colour becomes."""
        scaled = (np.arange(256, dtype=np.float64) * self.scale).astype(np.float32)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return np.asarray((scaled[None] - mean[:, None]) / std[:, None], np.float32)

    def apply(self, image: "Image") -> Pixels:
        """Scale and crop an image.

        Args:
            image: RGB.

        Returns:
            uint8[height, width, 3]; black where the image is smaller than the crop.

        Raises:
            ImageError: when it is so long and thin that, scaled, it would have too many pixels.
        """
        width, height = image.size
        target = (height, width)
        if self.shortest is not None:
            long = int(self.shortest * max(target) / min(target))
            target = (long, self.shortest) if width <= height else (self.shortest, long)
        elif self.size is not None:
            target = self.size
        if target[0] * target[1] > MAX_PIXELS:
            raise ImageError(
                Status.TOO_MANY_PIXELS, f"{width} x {height} pixels are too long a shape to scale"
            )
        if self.shortest is not None or self.size is not None:
            image = image.resize((target[1], target[0]), self.resample)
        return _crop(np.asarray(image), self.crop)


def _size(told: Any) -> tuple[int | None, tuple[int, int] | None]:
    """The shorter side, or both."""
    if isinstance(told, Mapping) and "shortest_edge" in told:
        if told.get("longest_edge") is not None:
            raise ValueError("a longest edge is not understood")
        return int(told["shortest_edge"]), None
    if isinstance(told, Mapping):
        return None, _both(told)
    return int(told), None


def _both(told: Any) -> tuple[int, int]:
    """Height and width."""
    if isinstance(told, Mapping):
        return int(told["height"]), int(told["width"])
    return int(told), int(told)


def _crop(pixels: Pixels, crop: tuple[int, int]) -> Pixels:
    """Cut the middle out, and put black around what is too small."""
    for axis, wanted in enumerate(crop):
        there = pixels.shape[axis]
        if there > wanted:
            start = (there - wanted) // 2
            pixels = pixels.take(range(start, start + wanted), axis=axis)
        elif there < wanted:
            before = -((there - wanted) // 2)
            around = [(0, 0)] * 3
            around[axis] = (before, wanted - there - before)
            pixels = np.pad(pixels, around)
    return np.ascontiguousarray(pixels)


def prepare(content: bytes, preparation: Preparation) -> Pixels | str:
    """Decode an image and prepare it.

    Args:
        content: of the image's file. preparation: how.

    Returns:
        uint8[height, width, 3], or why there are none.
    """
    try:
        return preparation.apply(decode_rgb(content, MAX_PIXELS))
    except ImageError as error:
        return f"the image can't be decoded: {error}"
