"""Shards of images, and the pipeline of webdataset that reads them, balanced online or not."""

import gc
import hashlib
import io
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import webdataset as wds
from PIL import Image

import metacurate as mc
from benchmarks import data
from metacurate.engine.stores import place_of
from metacurate.images.online import decode, samples_of
from metacurate.images.shards import Sample, sample_key, shard_name, write_shard

PER_SHARD = 1000
SIDE, TRAINED = 256, 224  # pixels: what img2dataset commonly leaves, and what CLIP is trained on
SEED, EPOCH = 1, 3
TAIL_SHARE = 0.06

WebSample = dict[str, Any]
Filter = Callable[[Iterable[WebSample]], Iterator[WebSample]]


def shards_path(images: int) -> Path:
    """Shards of so many images, a caption each, of those that match something; written once."""
    folder = data.WORK / f"online-{data.kind()}-{images}"
    if folder.exists():
        return folder
    matcher, texts = matcher_and_captions()
    some = texts.slice(0, 4 * images)
    there = np.diff(matcher.match(some).offsets.to_numpy()) > 0
    chosen = some.filter(pa.array(there)).to_pylist()[:images]
    assert len(chosen) == images
    unfinished = folder.with_suffix(".tmp")
    unfinished.mkdir(parents=True, exist_ok=True)
    for first in range(0, images, PER_SHARD):
        name = shard_name(first // PER_SHARD)
        keys = [sample_key(name, index, PER_SHARD) for index in range(PER_SHARD)]
        rows = [
            {"key": key, "url": f"https://images.example.org/{key}.jpg", "text": text}
            for key, text in zip(keys, chosen[first : first + PER_SHARD], strict=False)
        ]
        made = (_sample(first + number, row) for number, row in enumerate(rows))
        write_shard(place_of(str(unfinished)), name, made, pa.Table.from_pylist(rows), {})
    unfinished.rename(folder)
    return folder


def _sample(number: int, row: dict[str, str]) -> Sample:
    fields = {"url": row["url"], "pairs": [{"text": row["text"]}]}
    return Sample(row["key"], _jpeg(number), "jpg", row["text"], fields)


def _jpeg(number: int) -> bytes:
    """An image of about as many bytes as a photograph of its size: shapes, and some noise."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8))
    pixels = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int16)
    noisy = (pixels + random.integers(-8, 9, pixels.shape, np.int16)).clip(0, 255)
    out = io.BytesIO()
    Image.fromarray(noisy.astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def matcher_and_captions() -> tuple[mc.Matcher, pa.StringArray]:
    """All entries, and all captions."""
    return mc.Matcher(mc.Metadata.read(data.metadata_path())), data.captions()


def balance_of(matcher: mc.Matcher, texts: pa.StringArray, everything: bool) -> mc.Balance:
    """The paper's tail share over all captions; or a threshold that no entry reaches.

    Args:
        matcher: of all entries. texts: all captions.
        everything: whether all that matches is kept.
    """
    counts = matcher.count(texts).values
    if everything:
        return mc.Balance(counts, threshold=float(counts.max()) + 1)
    return mc.Balance(counts, tail_share=TAIL_SHARE)


def pipeline(folder: Path, between: Filter | None) -> wds.DataPipeline:
    """What training reads: samples, decoded, of 224 x 224 pixels; in between a filter, or none."""
    stages = [partial(samples_of, str(folder)), between, wds.map(decode), wds.map(resize)]
    return wds.DataPipeline(*(stage for stage in stages if stage is not None))


def resize(sample: WebSample) -> WebSample:
    """As a user would, for a model that takes squares."""
    image = sample["image"].resize((TRAINED, TRAINED), Image.Resampling.BICUBIC)
    return {**sample, "image": image}


def read_all(source: Iterable[WebSample]) -> int:
    """Read to the end; gives the number of samples."""
    return sum(1 for _ in source)


def processor_seconds(work: Callable[[], object], times: int = 3) -> float:
    """The least processor time of some calls, after one that is not counted.

    What Python's garbage collection takes is left out: it depends on all that the process holds.
    """
    work()
    used = []
    for _ in range(times):
        gc.collect()
        start = time.process_time()
        work()
        used.append(time.process_time() - start)
    return min(used)


def digest(source: Iterable[WebSample]) -> str:
    """SHA-256 over keys, captions and pixels, in their order."""
    total = hashlib.sha256()
    for sample in source:
        for part in (sample["__key__"].encode(), sample["txt"].encode(), sample["image"].tobytes()):
            total.update(len(part).to_bytes(8, "little") + part)
    return total.hexdigest()
