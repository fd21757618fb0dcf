"""The pipeline with `online_balance` in it; and the filter alone, on samples that are there."""

from benchmarks.fresh import Figures, answer
from benchmarks.online.case import (
    EPOCH,
    SEED,
    balance_of,
    digest,
    matcher_and_captions,
    pipeline,
    processor_seconds,
    read_all,
    shards_path,
)
from metacurate.images.online import online_balance, samples_of


def main(images: int, everything: bool) -> Figures:
    """Read an epoch.

    Args:
        images: that the shards hold. everything: whether all of them are kept.
    """
    matcher, texts = matcher_and_captions()
    balance = balance_of(matcher, texts, everything)
    balanced = online_balance(matcher, balance, SEED, EPOCH)
    source = pipeline(shards_path(images), balanced)
    cpu = processor_seconds(lambda: read_all(source))
    samples = list(samples_of(str(shards_path(images))))
    alone = processor_seconds(lambda: read_all(balanced(samples)), 10)
    kept = read_all(source)
    return {"cpu": cpu, "alone": alone, "kept": kept, "answer": digest(source)}


if __name__ == "__main__":
    answer(main)
