"""A small web to learn from: pages, images and a test set, all made from one seed.

Concepts are coloured patterns ("red stripes"). How often they occur follows Zipf's law, as concepts
do on the web, and what pages say of images is as unreliable as it is there.
"""

import gzip
import html
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats: TypeAlias = npt.NDArray[np.float64]

COLOURS = {
    "red": (215, 40, 40), "blue": (45, 80, 225), "yellow": (245, 220, 50), "green": (40, 160, 60),
    "white": (250, 250, 250), "purple": (150, 50, 190), "orange": (245, 135, 25),
    "black": (10, 10, 10),
}  # fmt: skip
# By two coordinates in radians; above 0 is paint.
PATTERNS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "stripes": lambda _, v: np.sin(v),
    "dots": lambda u, v: np.cos(u) + np.cos(v) - 0.7,
    "bars": lambda u, _: np.sin(u),
    "rings": lambda u, v: np.sin(np.hypot(u, v)),
    "checks": lambda u, v: 2 * np.sin(u / 1.3) * np.sin(v / 1.3),
    "waves": lambda u, v: np.sin(v + 1.6 * np.sin(u)),
}
CAPTIONS = (
    "{}", "photo of {}", "the {} , side view", "A shirt with {} on the table", "my new {}!",
    "{} for sale: 5 pieces", "Two of us in {}", "one with {} in the garden", "vintage {}, 1970",
)  # fmt: skip
WORDS = "a A the The of on in with my photo image picture click here home page 5"  # entries, too
EMPTY_PHRASES = ("click here", "image", "photo", "picture of the home page")
TEMPLATES = ("a photo of {c}", "{c}", "a shirt with {c}")

ZIPF = 1.4
PER_PAGE = 24
# Shares of images, or of captions:
WRONG, FILE_NAME, PHRASE, NO_TEXT, CAPITALS = 0.04, 0.10, 0.10, 0.05, 0.04
TITLE, SHOWN_AGAIN, COPIED, LOST = 0.15, 0.10, 0.04, 0.04
LEAKED = 16  # images of the test set that stand on pages, too
SEED = 20_240_501


@dataclass(frozen=True)
class Size:
    """How much is made.

    Attributes:
        colours, patterns: how many; each colour with each pattern is a concept.
        images: on pages, copies not counted.
        tests: images of each concept in the test set.
    """

    colours: int
    patterns: int
    images: int
    tests: int


@dataclass(frozen=True)
class Shown:
    """An image as a page shows it: its path on the server, alt and title."""

    path: str
    alt: str
    title: str


def concepts(size: Size) -> list[str]:
    """The concepts, the most frequent first."""
    names = [f"{colour} {pattern}" for colour in [*COLOURS][: size.colours]
             for pattern in [*PATTERNS][: size.patterns]]  # fmt: skip
    return [names[i] for i in np.random.default_rng(SEED).permutation(len(names))]


def make(folder: Path, size: Size, address: str) -> None:
    """Make a web (web/), a test set (patterns/) and concepts.txt, unless they are there.

    Args:
        folder: where to.
        size: how much.
        address: of the server that will serve web/, as 127.0.0.1:8017; pages hold it.

    Raises:
        ValueError: when the folder holds a web of another size or address.
    """
    made, settings = folder / "made.json", {**asdict(size), "address": address}
    if made.exists():
        if json.loads(made.read_text("utf-8")) != settings:
            raise ValueError(f"{folder} holds another web than this: name another folder")
        return
    (folder / "web" / "images").mkdir(parents=True, exist_ok=True)
    names = concepts(size)
    words = dict.fromkeys([*names, *" ".join(names).split(), *WORDS.split()])
    (folder / "concepts.txt").write_text("".join(f"{word}\n" for word in words), "utf-8")
    tests = list(test_images(names, size))
    write_test_set(folder / "patterns", names, tests)
    shown = list(images_of_pages(folder / "web", names, size, tests))
    order = np.random.default_rng((SEED, 1)).permutation(len(shown))
    write_pages(folder / "web" / "pages.warc.gz", [shown[i] for i in order], address)
    made.write_text(json.dumps(settings), "utf-8")


def draw(concept: str, random: np.random.Generator) -> Image.Image:
    """Draw a pattern in its colour over a blurred ground: turned, scaled, shifted and noisy."""
    colour, pattern = concept.split()
    side = int(random.integers(36, 49))
    y, x = np.mgrid[:side, :side] - random.uniform(0.2, 0.8, (2, 1, 1)) * side
    angle, scale = random.uniform(-0.4, 0.4), 2 * np.pi / random.uniform(11, 15)
    u = scale * (np.cos(angle) * x + np.sin(angle) * y)
    v = scale * (np.cos(angle) * y - np.sin(angle) * x)
    cover = np.clip(2.5 * PATTERNS[pattern](u, v) + 0.5, 0, 1)[:, :, None]
    paint = COLOURS[colour] + random.normal(0, 12, 3)
    cells = random.integers(60, 196, (4, 4, 1)) + random.integers(-30, 31, (4, 4, 3))
    blurred = Image.fromarray(cells.astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    pixels = cover * paint + (1 - cover) * np.asarray(blurred)
    noisy = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255)
    return Image.fromarray(noisy.astype(np.uint8))


def encoded(picture: Image.Image, kind: str, quality: int = 92) -> bytes:
    """The bytes of an image file."""
    out = io.BytesIO()
    picture.save(out, kind, quality=quality)
    return out.getvalue()


def test_images(names: list[str], size: Size) -> Iterable[tuple[int, bytes]]:
    """Images of a test set that holds all concepts equally often, and which concept each shows."""
    for number in range(len(names) * size.tests):
        label = number % len(names)
        picture = draw(names[label], np.random.default_rng((SEED, 2, number)))
        yield label, encoded(picture, "PNG")


def write_test_set(folder: Path, names: list[str], tests: list[tuple[int, bytes]]) -> None:
    """Write a test set as CLIP_benchmark has them: a WebDataset, names and templates beside it."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
    (folder / "zeroshot_classification_templates.txt").write_text(
        "".join(f"{template}\n" for template in TEMPLATES), "utf-8"
    )
    (folder / "test" / "nshards.txt").write_text("1\n", "utf-8")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for number, (label, image) in enumerate(tests):
            for ending, content in (("png", image), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{number:06d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def images_of_pages(
    folder: Path, names: list[str], size: Size, tests: list[tuple[int, bytes]]
) -> Iterable[Shown]:
    """Write the images of all pages, and tell how pages show them."""
    shares = 1 / np.arange(1, len(names) + 1) ** ZIPF
    labels = np.random.default_rng((SEED, 3)).choice(
        len(names), size.images, p=shares / shares.sum()
    )
    for number, label in enumerate(labels.tolist()):
        random = np.random.default_rng((SEED, 4, number))
        picture, kind = draw(names[label], random), ("PNG", "JPEG")[number % 2]
        path = f"images/{number:05d}.{kind.lower()}"
        if random.random() >= LOST:
            (folder / path).write_bytes(encoded(picture, kind))
        shown = Shown(path, alt(names, label, random), title(names, label, random))
        yield shown
        if random.random() < SHOWN_AGAIN:
            yield shown if random.random() < 0.6 else Shown(path, alt(names, label, random), "")
        if random.random() < COPIED:
            path = f"images/{number:05d}-small.jpeg"
            less = picture.resize((picture.width * 4 // 5,) * 2, Image.Resampling.LANCZOS)
            (folder / path).write_bytes(encoded(less, "JPEG", 80))
            yield Shown(path, alt(names, label, random), "")
    for number, (label, image) in enumerate(tests[:LEAKED]):
        path = f"images/test-{number:05d}.png"
        (folder / path).write_bytes(image)
        yield Shown(path, names[label], "")


def alt(names: list[str], label: int, random: np.random.Generator) -> str:
    """What a page says of an image: mostly what it shows."""
    kinds = ("wrong", "file", "phrase", "none", "capitals")
    shares = (WRONG, FILE_NAME, PHRASE, NO_TEXT, CAPITALS)
    kind = random.choice([*kinds, "right"], p=[*shares, 1 - sum(shares)])
    if kind == "file":
        return f"IMG_{random.integers(10_000):04d}.JPG"
    if kind == "phrase":
        return EMPTY_PHRASES[random.integers(len(EMPTY_PHRASES))]
    if kind == "none":
        return ""
    if kind == "wrong":
        label = int(random.integers(len(names)))
    caption = CAPTIONS[random.integers(len(CAPTIONS))].format(names[label])
    return caption.upper() if kind == "capitals" else caption


def title(names: list[str], label: int, random: np.random.Generator) -> str:
    """The title of an image: few have one."""
    return f"See this {names[label]} here" if random.random() < TITLE else ""


def write_pages(path: Path, shown: list[Shown], address: str) -> None:
    """Write pages that show images, as a web archive (WARC), which a crawler would leave."""
    with path.open("wb") as file:
        for number, start in enumerate(range(0, len(shown), PER_PAGE)):
            url = f"http://{address}/pages/{number:04d}/index.html"
            page = page_of(shown[start : start + PER_PAGE], address)
            file.write(gzip.compress(record(url, page), mtime=0))


def page_of(shown: list[Shown], address: str) -> str:
    """The HTML of a page: links to images are relative in every other place."""
    lines = ["<!doctype html>", '<html lang="en"><title>Patterns</title>', "<body>"]
    for place, one in enumerate(shown):
        source = f"http://{address}/{one.path}" if place % 2 else f"../../{one.path}"
        more = f' title="{html.escape(one.title)}"' if one.title else ""
        lines.append(f'<p><img src="{source}" alt="{html.escape(one.alt)}"{more}></p>')
    return "\n".join([*lines, "</body></html>", ""])


def record(url: str, page: str) -> bytes:
    """A record of a WARC: a page as a server sent it."""
    body = page.encode()
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2024-05-01T00:00:00Z\r\n"
        "Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(answer)}\r\n\r\n"
    )
    return head.encode() + answer + b"\r\n\r\n"
