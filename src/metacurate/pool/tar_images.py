"""Images of the samples of a WebDataset tar on this machine, found by their keys."""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from metacurate.errors import InputError, first_line
from metacurate.pool.tar import META, NAME

IMAGE_TYPES = {
    "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp",
    "gif": "image/gif", "bmp": "image/bmp", "avif": "image/avif", "tif": "image/tiff",
    "tiff": "image/tiff",
}  # fmt: skip
IMAGE_LIMIT = 64 << 20  # bytes
TARS_KEPT = 16  # of which it is remembered where their images lie


@dataclass(frozen=True)
class TarImage:
    """An image as it lies in a tar.

    Attributes:
        offset, size: where in the tar its bytes lie. media_type: by the ending of its name.
    """

    offset: int
    size: int
    media_type: str


def read_tar_image(path: str, key: str) -> tuple[bytes, str] | None:
    """Read a sample's image: the first member of its key with an image's ending.

    Nothing is decoded, and what kind of image it is, is taken from the ending of its name.

    Args:
        path: of an uncompressed tar on this machine.
        key: the samples' members' names share it, up to the first dot behind the folder.

    Returns:
        The bytes and their media type; None where the sample has no image, or one over 64 MB.

    Raises:
        InputError: when the tar can't be read, or is compressed.
    """
    try:
        status = Path(path).stat()
        found = _images(path, status.st_size, status.st_mtime_ns).get(key)
        if found is None or found.size > IMAGE_LIMIT:
            return None
        with Path(path).open("rb") as file:
            file.seek(found.offset)
            content = file.read(found.size)
    except (OSError, tarfile.TarError) as error:
        raise InputError(path, f"can't be read: {first_line(error)}") from error
    if len(content) < found.size:
        raise InputError(path, f"can't be read: it ends within sample {key!r}")
    return content, found.media_type


@lru_cache(TARS_KEPT)
def _images(path: str, size: int, changed: int) -> Mapping[str, TarImage]:  # noqa: ARG001
    """Where a tar's images lie; size and time tell when it is another file."""
    found: dict[str, TarImage] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            match = NAME.fullmatch(member.name)
            if match is None or not member.isreg() or META.match(member.name):
                continue
            kind = IMAGE_TYPES.get(match[2].lower())
            if kind is not None:
                found.setdefault(match[1], TarImage(member.offset_data, member.size, kind))
    return found
