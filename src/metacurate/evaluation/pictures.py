"""Images as a model takes them: decoded, scaled and cropped, by this process or by several."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metacurate.engine.local import ignore_interrupts_and_end_with_parent
from metacurate.errors import InputError, MetacurateError
from metacurate.images.decoding import MAX_PIXELS, ImageError, decode_rgb
from metacurate.images.fetching.statuses import Status

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = npt.NDArray[np.uint8]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # where a checkpoint does not tell
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC = 3  # as Pillow numbers its filters, of which there are six
AT_ONCE = 16  # images that a process is given together
AHEAD = 4  # times as many are under way, for each process


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a dataset, not decoded.

    Attributes:
        index: its place in the dataset, from 0 on. source: the file. name: within it.
        content: bytes of the image's file; None where there is none.
    """

    index: int
    source: str
    name: str
    content: bytes | None


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
    std: tuple[float, ...] = CLIP_STD

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
                std = tuple(float(value) for value in told.get("image_std", CLIP_STD))
            if len(mean) != 3 or len(std) != 3 or 0 in std or not 0 <= resample <= 5:
                raise ValueError("a mean, a deviation or a filter can't be")
            if min(*crop, *(size or ()), *([shortest] if shortest is not None else ())) < 1:
                raise ValueError("a size is not positive")
        except (TypeError, ValueError, KeyError, AttributeError) as error:
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


def prepare(content: bytes | None, preparation: Preparation) -> Pixels | str:
    """Decode an image and prepare it.

    Args:
        content: of the image's file, if there is one. preparation: how.

    Returns:
        uint8[height, width, 3], or why there are none.
    """
    if content is None:
        return "there is no image"
    try:
        return preparation.apply(decode_rgb(content, MAX_PIXELS))
    except ImageError as error:
        return f"the image can't be decoded: {error}"


def _prepare_all(contents: Sequence[bytes | None], preparation: Preparation) -> list[Pixels | str]:
    return [prepare(content, preparation) for content in contents]


def prepared(
    pictures: Iterable[Picture], preparation: Preparation, workers: int
) -> Generator[tuple[Picture, Pixels | str]]:
    """Prepare images, in the order in which they come.

    Args:
        pictures: read as they are needed. preparation: how.
        workers: processes that decode; 0 for this one.

    Yields:
        Each image, without its content, with its pixels or the reason why it has none.

    Raises:
        MetacurateError: when a process dies.
    """
    if not workers:
        for picture in pictures:
            yield _told(picture), prepare(picture.content, preparation)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy PyTorch's threads and locks
    waiting: deque[tuple[list[Picture], Any]] = deque()
    pool = ProcessPoolExecutor(workers, context, ignore_interrupts_and_end_with_parent)
    try:
        rest = iter(pictures)
        while some := list(itertools.islice(rest, AT_ONCE)):
            contents = [picture.content for picture in some]
            told = [_told(picture) for picture in some]
            waiting.append((told, pool.submit(_prepare_all, contents, preparation)))
            if len(waiting) >= AHEAD * workers:
                yield from _next(waiting)
        while waiting:
            yield from _next(waiting)
    except BrokenProcessPool as error:
        raise MetacurateError(
            "a process that decodes images has ended: there was too little memory, or the script "
            "that called has no `if __name__ == '__main__':`"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _told(picture: Picture) -> Picture:
    return Picture(picture.index, picture.source, picture.name, None)


def _next(waiting: "deque[tuple[list[Picture], Any]]") -> Iterator[tuple[Picture, Pixels | str]]:
    pictures, future = waiting.popleft()
    yield from zip(pictures, future.result(), strict=True)
