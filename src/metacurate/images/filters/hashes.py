"""Hashes of what is to be seen in an image: of 64 bits by imagehash, and PDQ."""

from typing import TYPE_CHECKING

import numpy as np

from metacurate.errors import MetacurateError

if TYPE_CHECKING:
    from PIL.Image import Image

try:
    import imagehash
except ModuleNotFoundError as missing:
    raise MetacurateError(
        'near duplicates are found with imagehash: pip install "metacurate[images]"'
    ) from missing


def perceptual_hash(image: "Image") -> int:
    """The image's pHash: which of its 64 lowest frequencies are above their median.

    Args:
        image: decoded.

    Returns:
        uint64; imagehash prints the same number in hex.
    """
    bits = imagehash.phash(image).hash
    return int.from_bytes(np.packbits(bits.flatten()).tobytes(), "big")


def check_pdq() -> None:
    """Make sure that PDQ can be computed.

    Raises:
        MetacurateError: naming what to install.
    """
    try:
        import pdqhash  # noqa: F401
    except ModuleNotFoundError as error:
        raise MetacurateError(
            "--pdq-list: PDQ hashes are computed by pdqhash, which is compiled as it is "
            'installed: pip install "metacurate[images]" pdqhash'
        ) from error


def pdq_hash(image: "Image") -> bytes:
    """The image's PDQ hash.

    Args:
        image: decoded, RGB.

    Returns:
        32 bytes, as its hex digits stand in lists.
    """
    import pdqhash

    bits, _ = pdqhash.compute(np.asarray(image))
    return np.packbits(np.asarray(bits) > 0).tobytes()
