"""Images as training sees them: a random crop, scaled to a square."""

import math
import random

import numpy as np
import numpy.typing as npt
from PIL import Image

from metacurate.hashing.pairs import draw_seed, xxh64
from metacurate.images.decoding import CLIP_DEVIATION, CLIP_MEAN

RATIO = (3 / 4, 4 / 3)  # of a crop's width to its height, at least and at most
TRIES = 10

Box = tuple[int, int, int, int]


def crop_box(width: int, height: int, share: tuple[float, float], number: random.Random) -> Box:
    """Draw a crop: a share of the area, and a ratio of its sides, uniform in its logarithm.

    As in training of CLIP: a crop that does not fit is drawn again; after ten tries it is the
    largest one in the middle whose ratio may be.

    Args:
        width, height: of the image, in pixels. share: of its area, at least and at most.
        number: what draws.

    Returns:
        Left, top, right and bottom, in pixels; right and bottom are outside.
    """
    for _ in range(TRIES):
        area = width * height * number.uniform(*share)
        ratio = math.exp(number.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left, top = number.randint(0, width - across), number.randint(0, height - down)
            return left, top, left + across, top + down
    across = min(width, max(1, round(height * RATIO[1])))
    down = min(height, max(1, round(width / RATIO[0])))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def random_crop(
    image: Image.Image, size: int, share: tuple[float, float], number: random.Random
) -> npt.NDArray[np.uint8]:
    """Crop an image at random, and scale the crop, bicubic.

    Args:
        image: in RGB. size: of the square that it becomes, in pixels.
        share: of its area, at least and at most. number: what draws.

    Returns:
        uint8[size, size, 3].
    """
    box = crop_box(*image.size, share, number)
    return np.asarray(image.crop(box).resize((size, size), Image.Resampling.BICUBIC))


def crop_number(name: str, seed: int, epoch: int) -> random.Random:
    """What draws the crop of one image in one epoch, whichever process makes it.

    Args:
        name: what tells the image apart. seed: of the training, uint64. epoch: from 0 on.
    """
    return random.Random(xxh64(name.encode(), draw_seed(seed, "crop", epoch)))  # noqa: S311 - no secret


def preprocessor(size: int) -> dict[str, object]:
    """How a trained model wants its images: preprocessor_config.json of a checkpoint.

    Args:
        size: of its images, in pixels.
    """
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": int(Image.Resampling.BICUBIC),
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_DEVIATION),
    }
