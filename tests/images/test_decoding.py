import pickle
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from metacurate.images.decoding import ImageError, decode_rgb, inspect, resize
from metacurate.images.fetching.statuses import Status
from tests.images.hostile_server import png_bomb

MANY = 10_000_000  # pixels
FORMATS = {
    "JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif",
    **({"AVIF": "avif"} if features.check("avif") else {}),
}  # fmt: skip
EXACT = ("PNG", "BMP", "TIFF")


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A picture with a red corner at the upper left, blue on the right, green at the bottom."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    red = (255 - across) * (255 - down) / 255
    values = np.stack([red, down, across], axis=2).astype(np.uint8)
    return Image.fromarray(values).convert(mode)


def noise(width: int, height: int) -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def file_of(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def status_of(body: bytes, max_pixels: int = MANY) -> Status:
    """The cause that all three functions name."""
    found = set()
    for attempt in (
        lambda: inspect(body, max_pixels),
        lambda: decode_rgb(body, max_pixels),
        lambda: resize(body, 20, 90, max_pixels),
    ):
        with pytest.raises(ImageError) as error:
            attempt()
        assert "\n" not in str(error.value)
        found.add(error.value.status)
    (status,) = found
    return status


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_told_and_decoded(kind: str) -> None:
    body = file_of(picture(), kind)
    found = inspect(body, MANY)
    assert (found.format, found.ending, found.width, found.height) == (kind, FORMATS[kind], 60, 40)
    pixels = decode_rgb(body, MANY)
    assert (pixels.mode, pixels.size, pixels.info) == ("RGB", (60, 40), {})
    difference = np.abs(np.asarray(pixels, int) - np.asarray(picture(), int))
    assert difference.max() == 0 if kind in EXACT else difference.mean() < 12


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
def test_an_image_cut_short_is_no_image(kind: str, part: float) -> None:
    body = file_of(noise(200, 150), kind)
    status = status_of(body[: int(len(body) * part)])
    assert status in {Status.TRUNCATED, Status.BROKEN_IMAGE}
    if kind in ("JPEG", "PNG", "WEBP"):
        assert status is Status.TRUNCATED


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_cut_anywhere_is_found_though_little_of_it_is_computed(
    options: dict[str, bool],
) -> None:
    body = file_of(noise(300, 200), "JPEG", **options)
    inspect(body, MANY)
    for end in range(1000, len(body) - 2, 997):
        with pytest.raises(ImageError) as error:
            inspect(body[:end], MANY)
        assert error.value.status is Status.TRUNCATED


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xff", b"<html></html>", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"%PDF-1.7\n", b"BM is for bitmap",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", b"\0\0\1\0\1\0\x10\x10\0\0", b"8BPS\0\1",
        b"P6 1 1 255\n\0\0\0", b"RIFF\0\0\0\0WAVEfmt ",
    ],
)  # fmt: skip
def test_what_is_not_of_the_formats_is_not_an_image(body: bytes) -> None:
    assert status_of(body) is Status.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", FORMATS)
def test_too_many_pixels_are_refused_by_the_header(kind: str) -> None:
    body = file_of(picture(), kind)
    inspect(body, 2400)
    assert status_of(body, 2399) is Status.TOO_MANY_PIXELS


def webp_canvas(width: int, height: int) -> bytes:
    body = file_of(picture(mode="RGBA"), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    assert body[12:16] == b"VP8X"
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return body[:24] + sides + body[30:]


def gif_frame(width: int, height: int) -> bytes:
    body = file_of(picture(mode="P"), "GIF")
    at = body.rindex(b"," + struct.pack("<HHHH", 0, 0, 60, 40))
    return body[: at + 5] + struct.pack("<HH", width, height) + body[at + 9 :]


def bmp_of(width: int, height: int) -> bytes:
    body = file_of(picture(), "BMP")
    return body[:18] + struct.pack("<ii", width, height) + body[26:]


@pytest.mark.parametrize(
    "body",
    [
        png_bomb(), webp_canvas(16_000, 16_000), webp_canvas(1 << 24, 200), bmp_of(60_000, 60_000),
        gif_frame(10_000, 10_000), gif_frame(60_000, 60_000),
        file_of(picture(), "GIF").replace(struct.pack("<HH", 60, 40), b"\xff\xff\xff\xff"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_bombs_do_not_go_off(body: bytes) -> None:
    assert len(body) < 100_000
    assert status_of(body) is Status.TOO_MANY_PIXELS


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    body = file_of(picture(), "PNG")
    at = body.index(b"IDAT") - 4
    more = b""
    for name, content in chunks:
        crc = struct.pack(">I", zlib.crc32(name + content))
        more += struct.pack(">I", len(content)) + name + content + crc
    return body[:at] + more + body[at:]


def test_compressed_texts_and_profiles_do_not_fill_the_memory() -> None:
    bomb = zlib.compress(bytes(20_000_000), 1)
    assert status_of(png_with((b"zTXt", b"a\0\0" + bomb))) is Status.BROKEN_IMAGE
    assert status_of(png_with((b"iCCP", b"a\0\0" + bomb))) is Status.BROKEN_IMAGE


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    body = file_of(picture(), "JPEG", progressive=True)
    start = body.rindex(b"\xff\xda")
    assert status_of(body[:start] + body[start:-2] * 2000 + body[-2:]) is Status.BROKEN_IMAGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(kind: str, orientation: int) -> None:
    upright = picture(60, 40)
    turned = {
        1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90], 7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }  # fmt: skip
    stored = upright
    for turn in turned[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    body = file_of(stored, kind, exif=exif, **lossless)
    found = inspect(body, MANY)
    assert (found.width, found.height) == (60, 40)
    pixels = decode_rgb(body, MANY)
    assert pixels.size == (60, 40)
    assert np.abs(np.asarray(pixels, int) - np.asarray(upright, int)).mean() < 6
    small = Image.open(BytesIO(resize(body, 20, 95, MANY)))
    assert small.size == (30, 20)
    assert np.abs(np.asarray(small, int) - np.asarray(upright.resize((30, 20)), int)).mean() < 8


def test_broken_exif_is_no_fault_of_the_image() -> None:
    for exif in (
        b"Exif\0\0garbage",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9,
        b"Exif\0\0",
    ):
        body = file_of(picture(), "JPEG", exif=exif)
        with warnings.catch_warnings(record=True) as leaked:
            warnings.simplefilter("always")
            assert inspect(body, MANY).width == 60
            assert decode_rgb(body, MANY).size == (60, 40)
        assert not leaked


def clear(mode: str) -> Image.Image:
    """Left half of a colour, right half transparent."""
    image = Image.new("RGBA", (20, 10), (200, 0, 0, 255))
    image.paste((0, 0, 0, 0), (10, 0, 20, 10))
    return image.convert(mode)


def test_what_is_transparent_is_white() -> None:
    palette = clear("RGBA").quantize(8)
    bodies = [
        file_of(clear("RGBA"), "PNG"), file_of(clear("RGBA"), "WEBP", lossless=True),
        file_of(clear("LA"), "PNG"), file_of(palette, "PNG"), file_of(clear("RGBA"), "GIF"),
        file_of(clear("RGB"), "PNG", transparency=(0, 0, 0)),
        file_of(clear("L"), "PNG", transparency=0),
    ]  # fmt: skip
    for body in bodies:
        pixels = np.asarray(decode_rgb(body, MANY))
        assert (pixels[:, 12:] == 255).all()
        assert (pixels[:, :8] != 255).all(axis=2).all()
        small = np.asarray(Image.open(BytesIO(resize(body, 10, 95, MANY))))
        assert small[:, 14:].min() > 240


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("CMYK", "TIFF"),
     ("L", "TIFF"), ("P", "BMP")],
)  # fmt: skip
def test_other_colours_become_rgb(mode: str, kind: str) -> None:
    image = picture(mode=mode)
    pixels = decode_rgb(file_of(image, kind), MANY)
    assert pixels.mode == "RGB"
    expected = np.asarray(image.convert("RGB"), int)
    assert np.abs(np.asarray(pixels, int) - expected).mean() < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_cut(kind: str) -> None:
    values = np.linspace(0, 65_535, 2400).reshape(40, 60).astype(np.uint16)
    pixels = np.asarray(decode_rgb(file_of(Image.fromarray(values), kind), MANY))
    assert (pixels[..., 0] == values >> 8).all()
    assert (pixels[..., 0] == pixels[..., 2]).all()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "green", "blue")]
    body = file_of(frames[0], kind, save_all=True, append_images=frames[1:])
    assert inspect(body, 600).width == 30
    red, green, blue = np.asarray(decode_rgb(body, MANY)).mean(axis=(0, 1))
    assert red > 240
    assert green < 10
    assert blue < 10


@pytest.mark.parametrize(
    ("size", "smallest", "expected"),
    [
        ((600, 400), 100, (150, 100)), ((400, 600), 100, (100, 150)), ((60, 40), 100, (60, 40)),
        ((601, 397), 64, (97, 64)), ((100, 100), 100, (100, 100)), ((3000, 3), 2, (2000, 2)),
        ((101, 100), 99, (100, 99)), ((1, 1), 1, (1, 1)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_smallest_side_is_as_asked_and_nothing_is_enlarged(
    size: tuple[int, int], smallest: int, expected: tuple[int, int], kind: str
) -> None:
    small = resize(file_of(picture(*size), kind), smallest, 90, MANY)
    image = Image.open(BytesIO(small))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", expected)


def test_resizing_is_deterministic_and_close_to_exact() -> None:
    body = file_of(picture(800, 600), "JPEG", quality=95)
    once = resize(body, 96, 95, MANY)
    assert once == resize(body, 96, 95, MANY)
    expected = picture(800, 600).resize((128, 96), Image.Resampling.LANCZOS)
    got = np.asarray(Image.open(BytesIO(once)), int)
    assert np.abs(got - np.asarray(expected, int)).mean() < 2
    assert len(resize(body, 96, 50, MANY)) < len(once)


def test_metadata_is_dropped() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    body = file_of(picture(), "JPEG", exif=exif, comment=b"who took it", icc_profile=b"p" * 200)
    small = resize(body, 20, 90, MANY)
    for secret in (b"Exif", b"who took it", b"where", b"pppp", b"ICC_PROFILE"):
        assert secret not in small


def test_what_is_too_long_for_a_jpeg_is_told() -> None:
    body = file_of(Image.new("RGB", (66_000, 2)), "PNG")
    assert inspect(body, MANY).width == 66_000
    with pytest.raises(ImageError) as error:
        resize(body, 10, 90, MANY)
    assert error.value.status is Status.TOO_MANY_PIXELS
    assert Image.open(BytesIO(resize(body, 1, 90, MANY))).size == (33_000, 1)


def test_an_error_crosses_process_borders() -> None:
    error = pickle.loads(pickle.dumps(ImageError(Status.TRUNCATED, "its end is missing")))
    assert (error.status, str(error)) == (Status.TRUNCATED, "its end is missing")


def test_threads_decode_at_once_and_nothing_global_changes() -> None:
    noisy = file_of(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 9)
    bodies = [file_of(picture(200, 100 + n), kind) for n in range(8) for kind in FORMATS] + [noisy]
    work: list[Callable[[bytes], object]] = [
        lambda body: inspect(body, MANY),
        lambda body: decode_rgb(body, MANY).tobytes(),
        lambda body: resize(body, 50, 90, MANY),
    ]
    before = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    for do in work:
        alone = [do(body) for body in bodies]
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(do, bodies * 2)) == alone * 2
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == before
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_warnings_of_others_are_heard_while_images_are_decoded() -> None:
    body = file_of(noise(1500, 1500), "PNG")
    stop = threading.Event()

    def decode() -> None:
        while not stop.is_set():
            inspect(body, MANY)

    thread = threading.Thread(target=decode)
    thread.start()
    try:
        with pytest.warns(UserWarning, match="heard"):
            warnings.warn("heard", stacklevel=1)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60)
@given(changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=6)), min_size=1))
@pytest.mark.filterwarnings("error")
def test_damaged_files_are_decoded_or_refused(kind: str, changes: list[tuple[int, bytes]]) -> None:
    body = bytearray(DAMAGED[kind])
    for place, content in changes:
        at = place % len(body)
        body[at : at + len(content)] = content
    for attempt in (inspect, decode_rgb, lambda b, most: resize(b, 20, 90, most)):
        with suppress(ImageError):
            attempt(bytes(body), 1_000_000)


DAMAGED = {kind: file_of(picture(), kind) for kind in FORMATS}


def test_without_pillow_the_extra_is_named() -> None:
    for missing, module in (("PIL", "decoding"), ("aiohttp", "fetching.fetcher")):
        code = f"import sys; sys.modules['{missing}'] = None; import metacurate.images.{module}"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert 'pip install "metacurate[images]"' in run.stderr.splitlines()[-1]


def test_what_follows_a_jpegs_end_is_nothing_to_it() -> None:
    image = BytesIO()
    Image.new("RGB", (20, 10), "red").save(image, "JPEG", progressive=True)
    assert inspect(image.getvalue() + b"\xff\xda" * 1000, 10_000).width == 20
