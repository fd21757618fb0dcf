"""Shards to train on: small images, several captions each, frequent concepts and rare ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

import metacurate as mc
from metacurate.images.online import BalancedShards
from metacurate.images.shards import Sample, sample_key, shard_name, write_shard

from ..made import encoded, flat

WORDS = 40
METADATA = mc.Metadata.from_entries([f"w{i}" for i in range(WORDS)])
MATCHER = mc.Matcher(METADATA)
THRESHOLD = 20.0
JPEG = encoded(flat(9, (8, 6)), "JPEG")


def captions(images: int, seed: int = 0) -> list[list[str]]:
    """One to three captions for each image; some match nothing, some are the same."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        words = generator.geometric(0.15, (int(generator.integers(1, 4)), 2)) - 1
        made.append([f"a w{a} and w{b}" for a, b in words.tolist()])
    return made


def write_shards(
    folder: Path, sizes: Sequence[int], *, tables: bool = True, seed: int = 0
) -> dict[str, list[str]]:
    """Write shards of so many images each; gives the captions by url."""
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, list[str]] = {}
    texts = iter(captions(sum(sizes), seed))
    for number, size in enumerate(sizes):
        name = shard_name(number)
        rows: list[dict[str, str]] = []
        samples = []
        for index in range(size):
            key, some = sample_key(name, index, 10_000), next(texts)
            url = f"https://a.example/{key}"
            told[url] = some
            fields = {"url": url, "pairs": [{"text": text} for text in some]}
            samples.append(Sample(key, JPEG, "jpg", some[0], fields))
            rows += [{"key": key, "url": url, "text": t, "status": "success"} for t in some]
        rows.append({"key": f"{name}9999", "url": "gone", "text": "w0", "status": "not_found"})
        write_shard(folder, name, samples, pa.Table.from_pylist(rows), {})
        if not tables:
            (folder / f"{name}.parquet").unlink()
    return told


def balance_of(told: dict[str, list[str]], threshold: float = THRESHOLD) -> mc.Balance:
    texts = [text for some in told.values() for text in some]
    return mc.Balance(MATCHER.count(texts).values, threshold=threshold)


def shards_of(folder: Path, told: dict[str, list[str]], **more: object) -> BalancedShards:
    return BalancedShards(str(folder), MATCHER, balance_of(told), **{"seed": 7, **more})  # type: ignore[arg-type]


def expected(
    told: dict[str, list[str]], balance: mc.Balance, seed: int, epoch: int
) -> dict[str, str]:
    """The caption of each image that an epoch keeps, pair by pair in plain Python."""
    found = {}
    for url, texts in told.items():
        best: tuple[float, int] | None = None
        for place, text in enumerate(texts):
            chance = balance.keep_probabilities(MATCHER.match([text]))[0]
            if mc.draws([url], [text], seed, "online", epoch)[0] < chance:
                caption = mc.draws([url], [text], seed, "caption", epoch)[0]
                if best is None or caption < best[0]:
                    best = caption, place
        if best is not None:
            found[url] = texts[best[1]]
    return found
