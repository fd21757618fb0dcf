"""One matcher in one process: what it answers, and how long it takes."""

import hashlib
import time

import numpy as np
import pyarrow as pa

from benchmarks import data
from benchmarks.fresh import Figures, answer, peak_memory, seconds
from benchmarks.matching.rivals import Found, load
from metacurate import Metadata

TIMES = 3  # a process reports its fastest
SAMPLE = 14  # real captions for the oracle, besides the hard ones
HARD = (
    "",
    " ",
    "dog",
    "a a a b  a",
    "the new york times, new york city; new york!",
    "San\u00a0Francisco\tbay\r\nna\u00efve caf\u00e9 \u732b \U0001f408",
    "rock'n'roll `n` roll... u.s.a. 3.14 e=mc\u00b2 --",
    "of the of the of the of the of the " * 40,
)


def main(rival: str, texts: int | None) -> Figures:
    """Match the first captions.

    Args:
        rival: its name.
        texts: how many; None for all, 0 for the oracle's sample alone.
    """
    matcher = load(rival)
    entries: list[str] = Metadata.read(data.metadata_path()).entries.to_pylist()
    captions: list[str] = data.captions()[:texts].to_pylist()
    sample = [*HARD, *data.captions()[:SAMPLE].to_pylist()]

    start = time.perf_counter()
    built = matcher.build(entries)
    figures: Figures = {"version": matcher.VERSION, "build": time.perf_counter() - start}
    figures["sample"] = digest(matcher.match(built, matcher.space(sample)))
    if not captions:
        return figures
    spaced = matcher.space(captions)
    found = matcher.match(built, spaced)
    figures["memory"] = peak_memory()
    figures["answer"] = digest(found)
    figures["texts"] = len(captions)
    figures["matches"] = (
        len(found.values) if isinstance(found, pa.ListArray) else sum(map(len, found))
    )
    del found
    figures["spaced"] = seconds(lambda: matcher.match(built, spaced), TIMES)
    figures["texts_only"] = seconds(lambda: matcher.match(built, matcher.space(captions)), TIMES)
    return figures


def digest(found: Found) -> str:
    """SHA-256 over the number of ids of each text, then over all ids in order."""
    if isinstance(found, pa.ListArray):
        lengths = np.diff(found.offsets.to_numpy())
        ids = found.flatten().to_numpy()
    else:
        lengths = np.array([len(one) for one in found])
        ids = np.array([entry_id for one in found for entry_id in one])
    hashed = hashlib.sha256(lengths.astype("<i8").tobytes())
    hashed.update(ids.astype("<u4").tobytes())
    return hashed.hexdigest()


if __name__ == "__main__":
    answer(main)
