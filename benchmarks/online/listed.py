"""The pipeline without balancing: what is kept is known beforehand, or all is."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

import metacurate as mc
from benchmarks.fresh import Figures, answer
from benchmarks.online.case import (
    EPOCH,
    SEED,
    WebSample,
    balance_of,
    digest,
    matcher_and_captions,
    pipeline,
    processor_seconds,
    read_all,
    shards_path,
)
from metacurate.images.online import samples_of


def main(images: int, everything: bool) -> Figures:
    """Read the same samples as an epoch has.

    Args:
        images: that the shards hold. everything: whether all of them are kept.
    """
    folder = shards_path(images)
    if everything:
        source = pipeline(folder, None)
    else:
        matcher, texts = matcher_and_captions()
        samples = list(samples_of(str(folder)))
        urls = [sample["json"]["url"] for sample in samples]
        captions = pa.array([sample["txt"] for sample in samples])
        chances = balance_of(matcher, texts, everything).keep_probabilities(matcher.match(captions))
        kept = np.flatnonzero(mc.draws(urls, captions, SEED, "online", EPOCH) < chances)
        keys = {samples[place]["__key__"] for place in kept}

        def listed(some: Iterable[WebSample]) -> Iterator[WebSample]:
            return (sample for sample in some if sample["__key__"] in keys)

        source = pipeline(folder, listed)
    cpu = processor_seconds(lambda: read_all(source))
    return {"cpu": cpu, "kept": read_all(source), "answer": digest(source)}


if __name__ == "__main__":
    answer(main)
