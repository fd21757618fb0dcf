"""A pool as the web has it, made of real images: a long tail of classes, much noise, many copies.

`write_pool` writes shards as `metacurate images download` does, `write_test` the images that
models are scored on.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageEnhance

from examples.curation_effect.captions import SHARES, caption
from metacurate.engine.storage import write_parquet, write_text
from metacurate.engine.stores import place_of
from metacurate.errors import InputError, MetacurateError, UsageError, first_line
from metacurate.images.decoding import decode_rgb, inspect
from metacurate.images.results import (
    count_statuses,
    make_samples,
    make_stats,
    pairs_table,
)
from metacurate.images.shards import SUCCESS, sample_key, shard_name, write_shard
from metacurate.pool.uid import uid_of

TEMPLATES = ("{c}", "a photo of a {c}.", "a picture of a {c}")
TEST_FILES = ("test.parquet", "classnames.txt", "zeroshot_classification_templates.txt")
PIXELS = 1 << 24  # of an image, at most
CROP = (0.9, 1.0)  # of a copy's sides
BRIGHTNESS = (0.85, 1.15)
QUALITY = (70, 95)  # of a copy's JPEG

PAIRS = pa.struct([(name, pa.string()) for name in ("text", "class", "kind")])
OUTCOME = pa.schema(
    [
        *((name, pa.string()) for name in ("status", "error_message", "ending", "sha256")),
        *((name, pa.int32()) for name in ("width", "height", "original_width", "original_height")),
    ]
)


@dataclass(frozen=True)
class Shape:
    """What a pool looks like.

    Attributes:
        classes: how many of the images' classes take part; None for all.
        head: pairs of the most frequent class.
        exponent: the n-th class has 1 / n ** exponent as many pairs.
        smallest: pairs of a class, at least.
        shard: pairs of a shard.
        seed: of all that is drawn.
    """

    classes: int | None = None
    head: int = 3200
    exponent: float = 0.95
    smallest: int = 5
    shard: int = 2000
    seed: int = 0

    def sizes(self, classes: int) -> list[int]:
        """Pairs of each class, the most frequent one first.

        Args:
            classes: how many there are.
        """
        pairs = (self.head / (place + 1) ** self.exponent for place in range(classes))
        return [max(self.smallest, round(number)) for number in pairs]


@dataclass(frozen=True)
class Labelled:
    """Images of one class.

    Attributes:
        wnid: of the class, as WordNet numbers it.
        names: of the class, the usual one first.
        images: bytes.
    """

    wnid: str
    names: tuple[str, ...]
    images: Sequence[bytes]


@dataclass(frozen=True)
class Pair:
    """A pair of the pool, before its image is made.

    Attributes:
        wnid: of the image's class. index: among the pairs of the class.
        text: caption. kind: of the caption. url: made up.
    """

    wnid: str
    index: int
    text: str
    kind: str
    url: str


@dataclass(frozen=True)
class Picture:
    """An image of the pool.

    Attributes:
        content: bytes. ending: of its file's name. width, height: pixels.
    """

    content: bytes
    ending: str
    width: int
    height: int


def read_images(path: Path, classes: int | None = None) -> list[Labelled]:
    """Read images by class.

    Args:
        path: Parquet file with `image` (bytes), `wnid`, and `names` with commas between them.
        classes: how many; None for all.

    Returns:
        The first classes, by wnid.

    Raises:
        InputError: when it can't be read, or has other columns.
    """
    try:
        table = pq.read_table(path, columns=["image", "wnid", "names"])
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    missing = {"image", "wnid", "names"} - set(table.column_names)
    if missing:
        raise InputError(str(path), f"has no column {min(missing)}")
    grouped = table.group_by(["wnid", "names"], use_threads=False).aggregate([("image", "list")])
    rows = grouped.sort_by("wnid").slice(0, classes).to_pylist()
    return [Labelled(r["wnid"], tuple(r["names"].split(", ")), r["image_list"]) for r in rows]


def ranked(classes: Sequence[Labelled], shape: Shape) -> list[tuple[Labelled, int]]:
    """The classes with the number of their pairs, the most frequent first: ranks are drawn.

    Args:
        classes: in any fixed order. shape: of the pool.
    """
    order = list(classes)
    random.Random(f"{shape.seed} ranks").shuffle(order)  # noqa: S311 - no secret
    return list(zip(order, shape.sizes(len(order)), strict=True))


def make_pairs(classes: Sequence[Labelled], shape: Shape) -> list[Pair]:
    """All pairs of a pool, in an order that is drawn.

    Args:
        classes: in any fixed order. shape: of the pool.
    """
    sized = ranked(classes, shape)
    sizes = [pairs for _, pairs in sized]
    places = list(range(sum(sizes)))
    random.Random(f"{shape.seed} places").shuffle(places)  # noqa: S311
    found: list[Pair | None] = [None] * len(places)
    number = 0
    for one, pairs in sized:
        for index in range(pairs):
            chance = random.Random(f"{shape.seed} {one.wnid} {index}")  # noqa: S311
            kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
            told = one
            while kind == "wrong" and told is one:
                told = chance.choices(sized, sizes)[0][0]
            place = places[number]
            url = f"https://pictures.example/{place:06d}"
            found[place] = Pair(one.wnid, index, caption(kind, told.names, chance), kind, url)
            number += 1
    return [pair for pair in found if pair is not None]


def make_image(one: Labelled, index: int, seed: int) -> Picture:
    """The image of a class's pair: one of its images as it is, or when all are used a near copy.

    Args:
        one: the class. index: of the pair among those of its class. seed: of the pool.

    Raises:
        InputError: when an image can't be decoded.
    """
    order = list(range(len(one.images)))
    random.Random(f"{seed} {one.wnid} images").shuffle(order)  # noqa: S311
    content = one.images[order[index % len(order)]]
    try:
        image, ending = decode_rgb(content, PIXELS), inspect(content, PIXELS).ending
    except MetacurateError as error:
        raise InputError(one.wnid, f"an image can't be decoded: {error}") from error
    if index < len(order):
        return Picture(content, ending, image.width, image.height)
    chance = random.Random(f"{seed} {one.wnid} {index} image")  # noqa: S311
    share = chance.uniform(*CROP)
    left, top = (chance.uniform(0, side * (1 - share)) for side in image.size)
    box = (left, top, left + image.width * share, top + image.height * share)
    image = image.resize(image.size, Image.Resampling.BICUBIC, box)
    image = ImageEnhance.Brightness(image).enhance(chance.uniform(*BRIGHTNESS))
    out = BytesIO()
    image.save(out, "JPEG", quality=chance.randint(*QUALITY))
    return Picture(out.getvalue(), "jpg", image.width, image.height)


def write_pool(classes: Sequence[Labelled], shape: Shape, out: Path) -> int:
    """Write a pool as shards: tars, and a table beside each.

    Besides `url` and `text`, tables tell the `class` that an image shows and the `kind` of its
    caption: curation does not look at them.

    Args:
        classes: with images. shape: of the pool. out: folder; made anew, whole or not at all.

    Returns:
        Number of pairs.

    Raises:
        InputError: when an image can't be decoded.
        MetacurateError: when the folder can't be written.
    """
    pairs = make_pairs(classes, shape)
    by_wnid = {one.wnid: one for one in classes}
    unfinished = out.with_name(f"{out.name}.unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(pairs), shape.shard)):
        some = pairs[start : start + shape.shard]
        made = [make_image(by_wnid[pair.wnid], pair.index, shape.seed) for pair in some]
        images, outcome = _tables(shard_name(number), some, made, shape)
        contents = [picture.content for picture in made]
        write_shard(
            place_of(unfinished),
            shard_name(number),
            make_samples(images, outcome, contents.__getitem__),
            pairs_table(images, outcome, {}),
            make_stats(count_statuses(images, outcome), 0.0, 0.0),
        )
    try:
        unfinished.rename(out)
    except OSError as error:
        raise MetacurateError(f"{out}: can't be made: {first_line(error)}") from error
    return len(pairs)


def _tables(
    name: str, pairs: Sequence[Pair], made: Sequence[Picture], shape: Shape
) -> tuple[pa.Table, pa.Table]:
    """A shard's images and what became of them, as the writers of shards take them."""
    urls = [pair.url for pair in pairs]
    told = [[{"text": p.text, "class": p.wnid, "kind": p.kind}] for p in pairs]
    images = pa.table(
        {
            "key": [sample_key(name, index, shape.shard) for index in range(len(pairs))],
            "url": urls,
            "uid": [uid_of(url) for url in urls],
            "pairs": pa.array(told, pa.list_(PAIRS)),
        }
    )
    return images, pa.Table.from_pylist(list(map(_outcome, made)), OUTCOME)


def _outcome(picture: Picture) -> dict[str, object]:
    return {
        "status": SUCCESS,
        "ending": picture.ending,
        "sha256": sha256(picture.content).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "original_width": picture.width,
        "original_height": picture.height,
    }


def write_test(classes: Sequence[Labelled], out: Path) -> None:
    """Write the images to score models on, as `metacurate evaluate` reads them.

    Args:
        classes: all with images. out: folder for test.parquet (`image`, `label`: the number of the
            class), classnames.txt and zeroshot_classification_templates.txt.

    Raises:
        UsageError: when two classes have one usual name.
        MetacurateError: when the folder can't be written.
    """
    names = [one.names[0] for one in classes]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"two classes are called {twice!r}: models can't tell them apart")
    labels = np.repeat(np.arange(len(classes)), [len(one.images) for one in classes])
    images = [image for one in classes for image in one.images]
    test, class_names, templates = (place_of(out) / name for name in TEST_FILES)
    write_text(class_names, "".join(f"{name}\n" for name in names))
    write_text(templates, "".join(f"{template}\n" for template in TEMPLATES))
    write_parquet(test, pa.table({"image": pa.array(images, pa.binary()), "label": labels}))
