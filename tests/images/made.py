"""Images and shards that tests make, and an engine that works in the test's own process."""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from PIL import Image

from metacurate.engine.work import Advance, Made, Units, Work
from metacurate.images.shards import Sample, pair_fields, write_shard


class Inline:
    """An engine: one task after another, here."""

    name: ClassVar[str] = "inline"
    outlives: ClassVar[bool] = False

    def slots(self, workers: int | None) -> int:
        return 1

    def map(
        self, work: Work, tasks: Sequence[Units], slots: int, advance: Advance
    ) -> Iterator[Made]:
        for task in tasks:
            yield work(task, _Never(), advance)

    def close(self) -> None:
        pass


class _Never:
    def is_set(self) -> bool:
        return False


def noise(seed: int, size: tuple[int, int] = (64, 48), grain: int = 8) -> Image.Image:
    """An image that looks like no other one: large random spots."""
    spots = np.random.default_rng(seed).integers(0, 256, (grain, grain, 3), dtype=np.uint8)
    return Image.fromarray(spots).resize(size, Image.Resampling.BICUBIC)


def flat(value: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, (value, value, value))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def write_set(folder: Path, shards: Mapping[str, Mapping[str, bytes]], captions: int = 1) -> Path:
    """Write shards as `metacurate images download` does: keys and images, by shard's name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in shards.items():
        samples, rows = [], []
        for key, image in images.items():
            url = f"https://example.org/{key}"
            texts = [f"text {i} of {key}" for i in range(captions)]
            ending = "png" if image[:4] == b"\x89PNG" else "jpg"
            pairs = [pair_fields({"text": text}) for text in texts]
            fields = {"key": key, "url": url, "caption": texts[0], "pairs": pairs}
            samples.append(Sample(key, image, ending, texts[0], fields))
            rows += [
                {"url": url, "text": t, "key": key, "status": "success", "error_message": None}
                for t in texts
            ]
        rows.append(
            {"url": "https://example.org/gone", "text": "gone", "key": f"{name}9999",
             "status": "failed_to_download", "error_message": "404"}
        )  # fmt: skip
        write_shard(folder, name, samples, pa.Table.from_pylist(rows, TABLE), {})
    return folder


TABLE = pa.schema([(n, pa.string()) for n in ("url", "text", "key", "status", "error_message")])
