"""Decoding images that nobody vouches for: few formats, checked sizes, whole or not at all."""

import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from metacurate.errors import MetacurateError, first_line
from metacurate.images.fetching.statuses import Status

try:
    from PIL import Image, features
    from PIL.AvifImagePlugin import AvifImageFile
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile
except ModuleNotFoundError as missing:
    if missing.name != "PIL":
        raise
    raise MetacurateError(
        'images are decoded by Pillow: pip install "metacurate[images]"'
    ) from missing

# A format's name, the ending of its files, and how its files begin.
FORMATS = (
    ("JPEG", "jpg", re.compile(rb"\xff\xd8\xff")),
    ("PNG", "png", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("WEBP", "webp", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", "gif", re.compile(rb"GIF8[79]a")),
    ("AVIF", "avif", re.compile(rb"....ftyp(?:avi[fs]|.{4}(?:.{4}){0,15}?avi[fs])", re.DOTALL)),
    ("TIFF", "tif", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("BMP", "bmp", re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)),
)
READERS: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile, "GIF": GifImageFile,
    "AVIF": AvifImageFile, "TIFF": TiffImageFile, "BMP": BmpImageFile,
}  # fmt: skip
# What Pillow raises for broken files; it has no class of its own for them.
FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    RuntimeError, MemoryError, EOFError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
ORIENTATION = 0x0112  # the tag of EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
JPEG_MARKER = re.compile(rb"\xff[^\x00\xff]")  # within a scan, ff is followed by 00
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
MOST_SCANS = 100  # of a JPEG: each one costs a pass over all pixels, and may have few bytes
MAX_PIXELS = 100_000_000  # that an image may have where nobody says otherwise
# What models of CLIP subtract from red, green and blue in 0..1, and divide by.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
MOST_JPEG_SIDE = 65_500  # pixels that libjpeg can write


class ImageError(MetacurateError):
    """An image can't be decoded, or may not be.

    Attributes:
        status: the cause.
    """

    def __init__(self, status: Status, message: str) -> None:
        """Name the cause.

        Args:
            status: the cause. message: in one line.
        """
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type["ImageError"], tuple[Status, str]]:
        """Rebuild from both arguments when the error crosses a process border."""
        return type(self), (self.status, str(self))


@dataclass(frozen=True, slots=True)
class Inspected:
    """What an image is.

    Attributes:
        format: JPEG, PNG, WEBP, GIF, BMP, TIFF or AVIF. ending: of its files, without a dot.
        width, height: pixels, upright.
    """

    format: str
    ending: str
    width: int
    height: int


def inspect(body: bytes, max_pixels: int) -> Inspected:
    """Make sure that an image is whole, by decoding it; of an animation its first frame.

    Args:
        body: of the image's file. max_pixels: that it may have.

    Returns:
        What it is.

    Raises:
        ImageError: where it is none, is broken, cut short, or has too many pixels.
    """
    with _decoding(body):
        image, ending = _open(body, max_pixels)
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        image.draft(image.mode, (1, 1))  # all bytes of a JPEG are read, an eighth is computed
        image.load()
        return Inspected(image.format or "", ending, width, height)


def decode_rgb(body: bytes, max_pixels: int) -> Image.Image:
    """Decode an image: upright, opaque on white, 8 bits of each of three colours.

    Args:
        body: of the image's file. max_pixels: that it may have.

    Returns:
        Its pixels, of an animation the first frame, without metadata.

    Raises:
        ImageError: where it is none, is broken, cut short, or has too many pixels.
    """
    with _decoding(body):
        image, _ = _open(body, max_pixels)
        return _finish(image, _orientation(image))


def resize(body: bytes, smallest_side: int, quality: int, max_pixels: int) -> bytes:
    """Make a JPEG of an image, smaller where it is larger than needed; never enlarged.

    Args:
        body: of the image's file. smallest_side: of the JPEG, in pixels, at most.
        quality: of the JPEG, 1 to 95. max_pixels: that the image may have.

    Returns:
        The JPEG's file; the same bytes each time.

    Raises:
        ImageError: where it is none, is broken, cut short, or has too many pixels.
    """
    with _decoding(body):
        image, _ = _open(body, max_pixels)
        orientation = _orientation(image)
        width, height = image.size
        least = min(width, height)
        target = image.size
        if least > smallest_side:
            target = (
                max(1, round(width * smallest_side / least)),
                max(1, round(height * smallest_side / least)),
            )
            # A JPEG can be decoded smaller; twice what is needed leaves the filter its work.
            image.draft(image.mode, (2 * target[0], 2 * target[1]))
        if max(target) > MOST_JPEG_SIDE:
            raise ImageError(
                Status.TOO_MANY_PIXELS, f"{target[0]} x {target[1]} pixels do not fit a JPEG"
            )
        pixels = _finish(image, orientation, target)
        out = BytesIO()
        pixels.save(out, "JPEG", quality=quality)
        return out.getvalue()


def _open(body: bytes, max_pixels: int) -> tuple[ImageFile, str]:
    """Read an image's header, and refuse it where it has too many pixels.

    Pillow's own `open` also warns and raises by a limit that the whole process shares.
    """
    known = next((f for f in FORMATS if f[2].match(body, 0, 128)), None)
    if known is None:
        raise ImageError(Status.NOT_AN_IMAGE, f"no image that is read: it begins {body[:12]!r}")
    name, ending, _ = known
    if name == "AVIF" and not features.check("avif"):
        raise ImageError(Status.NOT_AN_IMAGE, "this build of Pillow does not read AVIF")
    if name == "WEBP":
        _refuse_large(_webp_canvas(body), max_pixels)  # Pillow gets the memory as it opens it
    if name == "JPEG" and body.count(b"\xff\xda") > MOST_SCANS and _scans(body) > MOST_SCANS:
        raise ImageError(Status.BROKEN_IMAGE, "more scans than any real JPEG has")
    image = READERS[name](BytesIO(body))
    _refuse_large(image.size, max_pixels)
    if isinstance(image, TiffImageFile):
        _refuse_large((image.tag_v2.get(322, 1), image.tag_v2.get(323, 1)), max_pixels)
    return image, ending


def _scans(body: bytes) -> int:
    """How many scans a JPEG has up to its end; behind that there may be anything, as a film."""
    scans, place = 0, 2
    while (found := JPEG_MARKER.search(body, place)) is not None:
        marker, place = found[0][1], found.end()
        if marker == END_OF_IMAGE:
            break
        scans += marker == START_OF_SCAN
        if not 0xD0 <= marker <= 0xD8:
            place += int.from_bytes(body[place : place + 2], "big")
    return scans


def _refuse_large(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise ImageError(
            Status.TOO_MANY_PIXELS, f"{size[0]} x {size[1]} pixels are more than {max_pixels}"
        )


def _webp_canvas(body: bytes) -> tuple[int, int]:
    """Width and height as a WebP's first chunk has them; 0 and 0 where it does not."""
    chunk = body[12:16]
    if chunk == b"VP8X" and len(body) >= 30:
        return (
            int.from_bytes(body[24:27], "little") + 1,
            int.from_bytes(body[27:30], "little") + 1,
        )
    if chunk == b"VP8 " and len(body) >= 30:
        width, height = struct.unpack_from("<HH", body, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L" and len(body) >= 25:
        bits = int.from_bytes(body[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0


def _orientation(image: ImageFile) -> int:
    """How an image is to be turned, 1 to 8 as in EXIF; 1 where it does not say."""
    if isinstance(image, TiffImageFile) or not {"exif", "xmp", "Raw profile type exif"} & set(
        image.info
    ):
        return 1  # Pillow turns a TIFF itself
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except FAULTS:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _finish(
    image: Image.Image, orientation: int, size: tuple[int, int] | None = None
) -> Image.Image:
    """Decode, convert, scale and turn.

    Args:
        image: opened. orientation: of EXIF. size: to scale to, before it is turned.
    """
    image.load()
    image = _to_rgb(image)
    if size is not None and image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    image.info = {}
    return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """8 bits of each of three colours, what is transparent white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        return Image.fromarray((values >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.new("RGB", clear.size, "white")
        image.paste(clear, mask=clear.getchannel("A"))
        return image
    return image.convert("RGB")


@contextmanager
def _decoding(body: bytes) -> Iterator[None]:
    """Raise what Pillow raises as one kind of error, and keep its warnings back."""
    with _QUIET:
        try:
            yield
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise ImageError(Status.TOO_MANY_PIXELS, first_line(error)) from error
        except FAULTS as error:
            text = first_line(error) or type(error).__name__
            status = Status.TRUNCATED if _is_cut(body, text) else Status.BROKEN_IMAGE
            raise ImageError(status, text) from error


def _is_cut(body: bytes, text: str) -> bool:
    """Whether an image is broken because its end is missing."""
    if body[8:12] == b"WEBP" and int.from_bytes(body[4:8], "little") + 8 > len(body):
        return True
    return "truncated" in text.lower()


class _Quiet:
    """Keeps Pillow's warnings back while any thread decodes.

    `warnings.catch_warnings` restores what it found, which mixes threads up, and has all that was
    warned of once warned of again.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._inside = 0
        self._filter = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

    def __enter__(self) -> None:
        with self._guard:
            self._inside += 1
            filters = warnings.filters
            if isinstance(filters, list) and (not filters or filters[0] is not self._filter):
                filters.insert(0, self._filter)

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._inside -= 1
            filters = warnings.filters
            if not self._inside and isinstance(filters, list):
                filters[:] = [entry for entry in filters if entry is not self._filter]


_QUIET = _Quiet()
