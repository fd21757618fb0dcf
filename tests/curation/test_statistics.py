"""What is kept follows the probabilities: in total, by entry, and by keep probability.

Pairs are kept independently, so a number of kept pairs is a sum of binomial ones, whose exact
distribution is known. All tests together fail a correct program less than once in a million runs,
over all seeds that there are; and notice each time when probabilities are wrong by 2%.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import binom

import metacurate as mc
from metacurate.curation.count import count_texts

from ..binomials import p_value
from .twin import keep_probability

PAIRS = 2_000_000
CAPTIONS = 100  # that differ: as many different keep probabilities
ENTRIES = 50
THRESHOLD = 20_000.0
BINS = 10
SEEDS = (0, 2**64 - 1)
RUNS = 2 * len(SEEDS)
LEVEL = 1e-6 / RUNS / (1 + ENTRIES + BINS)

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Generated:
    """A pool of a few captions, each many times under its own urls, and what is known of it."""

    urls: pa.Array
    kinds: Integers  # which caption
    texts: pa.Array
    numbers: Integers  # of pairs, by caption
    entries: list[list[int]]  # by caption
    chances: Floats  # by caption

    @classmethod
    def make(cls) -> "Generated":
        random = np.random.default_rng(11)
        popularity = 1 / np.arange(1, ENTRIES + 1)
        entries = [
            sorted(random.choice(ENTRIES, size, replace=False, p=popularity / popularity.sum()))
            for size in random.integers(1, 6, CAPTIONS)
        ]
        kinds = random.choice(CAPTIONS, PAIRS, p=random.dirichlet([0.7] * CAPTIONS))
        numbers = np.bincount(kinds, minlength=CAPTIONS)
        counts = [
            sum(int(n) for ids, n in zip(entries, numbers, strict=True) if entry in ids)
            for entry in range(ENTRIES)
        ]
        chances = [keep_probability([counts[i] for i in ids], THRESHOLD) for ids in entries]
        captions = pa.array([" ".join(f"word{i}" for i in ids) for ids in entries])
        rows = pc.cast(pa.array(np.arange(PAIRS)), pa.string())
        urls = pc.binary_join_element_wise("https://example.org", rows, "/")
        return cls(urls, kinds, captions.take(kinds), numbers, entries, np.array(chances))

    def groups(self) -> Iterator[npt.NDArray[np.bool_]]:
        """Sets of captions: all, those of each entry, and those of about one probability."""
        yield np.ones(CAPTIONS, bool)
        for entry in range(ENTRIES):
            yield np.array([entry in ids for ids in self.entries])
        bins = np.minimum(self.chances * BINS, BINS - 1).astype(int)
        yield from (bins == i for i in range(BINS))

    def fits(self, keep: npt.NDArray[np.bool_], chances: Floats) -> bool:
        kept = np.bincount(self.kinds[keep], minlength=CAPTIONS)
        return all(
            p_value(self.numbers[group], chances[group], kept[group].sum()) > LEVEL
            for group in self.groups()
        )


@pytest.fixture(scope="module")
def pool() -> Generated:
    return Generated.make()


@pytest.fixture(scope="module")
def probabilities(pool: Generated) -> Floats:
    matcher = mc.Matcher(mc.Metadata.from_entries([f"word{i}" for i in range(ENTRIES)]))
    balance = mc.Balance(count_texts(pool.texts, matcher), THRESHOLD)
    found: Floats = balance.keep_probabilities(matcher.match(pool.texts))
    assert np.array_equal(found, pool.chances[pool.kinds])
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_kept_pairs(pool: Generated, probabilities: Floats, seed: int) -> None:
    keep = mc.draws(pool.urls, pool.texts, seed) < probabilities
    assert pool.fits(keep, pool.chances)
    for error in (0.98, 1.02):
        assert not pool.fits(keep, np.minimum(error * pool.chances, 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_rounds_draw_independently(pool: Generated, probabilities: Floats, seed: int) -> None:
    first, second = (
        mc.draws(pool.urls, pool.texts, seed, "sample", round_) < probabilities for round_ in (0, 1)
    )
    assert pool.fits(first & second, pool.chances**2)
    assert not pool.fits(first, pool.chances**2)  # what equal draws would keep


def test_the_pool_has_all_kinds_of_pairs(pool: Generated) -> None:
    assert len(set(pool.chances)) > CAPTIONS // 2
    assert sum(group.any() for group in pool.groups()) > ENTRIES
    assert 0 < pool.numbers[pool.chances == 1].sum() < PAIRS / 10


# ---- the distribution itself


@pytest.mark.parametrize(("number", "chance"), [(10, 0.3), (2_000, 0.01), (50_000, 0.5), (9, 1.0)])
@pytest.mark.parametrize("deviations", [-5, -2, 0, 1, 4])
def test_p_value_of_one_kind(number: int, chance: float, deviations: int) -> None:
    one = binom(number, chance)
    kept = min(number, max(0, round(one.mean() + deviations * one.std())))
    expected = min(1.0, 2 * min(one.cdf(kept), one.sf(kept - 1)))
    found = p_value(np.array([number]), np.array([chance]), kept)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("kept", [0, 3, 17, 25, 40, 60])
def test_p_value_of_several_kinds(kept: int) -> None:
    numbers, chances = np.array([10, 20, 30]), np.array([0.1, 0.5, 0.9])
    sums = np.ones(1)
    for number, chance in zip(numbers, chances, strict=True):
        sums = np.convolve(sums, binom(number, chance).pmf(np.arange(number + 1)))
    expected = min(1.0, 2 * min(sums[: kept + 1].sum(), sums[kept:].sum()))
    assert p_value(numbers, chances, kept) == pytest.approx(expected, abs=1e-12)
