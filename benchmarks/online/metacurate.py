"""The pipeline with `online_balance` in it."""

from benchmarks import data
from benchmarks.fresh import Figures, answer, warm_seconds
from benchmarks.online.case import (
    EPOCH,
    SEED,
    balance_of,
    digest,
    matcher_and_captions,
    pipeline,
    read_all,
    shards_path,
)
from metacurate.images.online import online_balance


def main(images: int, everything: bool) -> Figures:
    """Read an epoch.

    Args:
        images: that the shards hold. everything: whether all of them are kept.
    """
    matcher, texts = matcher_and_captions()
    balance = balance_of(matcher, texts, everything)
    source = pipeline(shards_path(images), online_balance(matcher, balance, SEED, EPOCH))
    times = warm_seconds(lambda: read_all(source))
    return {**times, "kept": read_all(source), "answer": digest(source), "data": data.kind()}


if __name__ == "__main__":
    answer(main)
