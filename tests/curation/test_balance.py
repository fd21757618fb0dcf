"""Keep probabilities, smallest thresholds and tail shares, against arithmetic that is plain."""

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import metacurate as mc
from metacurate.curation.balance import DEFAULT_TAIL_SHARE, tail_share_of, threshold_of
from metacurate.curation.count import Counts, count_texts
from metacurate.errors import UsageError
from metacurate.schema import ENTRIES

from .twin import keep_probability, min_threshold

COUNT = st.one_of(
    st.integers(0, 20), st.integers(0, 2**53), st.integers(0, 53).map(lambda bits: 2**bits)
)
COUNTS = st.lists(COUNT, min_size=1, max_size=40)
THRESHOLD = st.one_of(
    st.integers(1, 100).map(float),
    st.floats(0, 2.0**54, exclude_min=True),
    st.floats(1e-3, 1e6),
)
DRAW = st.one_of(
    st.sampled_from([0.0, 2.0**-53, 2.0**-52, 0.5, 1 - 2.0**-53, 1 - 2.0**-52]),
    st.integers(0, 2**53 - 1).map(lambda bits: bits / 2**53),
    st.integers(0, 2**20).map(lambda bits: bits / 2**53),
    st.integers(1, 2**20).map(lambda bits: 1 - bits / 2**53),
)


def matches_of(*ids: Sequence[int] | None) -> pa.ListArray:
    return pa.array(ids, ENTRIES)


def one_pair(counts: Sequence[int]) -> pa.ListArray:
    return matches_of(range(len(counts)))


def array(counts: Sequence[int]) -> Any:
    return np.array(counts, np.uint64)


# ---- keep probabilities


@pytest.mark.parametrize(
    ("counts", "threshold", "expected"),
    [
        ([0, 1, 5, 10, 20, 40], 10, [1, 1, 1, 1, 0.5, 0.25]),
        ([1, 2], 0.5, [0.5, 0.25]),
        ([1, 2], 1e300, [1, 1]),
        ([0, 2**53], 2**52, [1, 0.5]),
        ([0, 0], 1, [1, 1]),
        ([], 3, []),
    ],
)
def test_entries(counts: list[int], threshold: float, expected: list[float]) -> None:
    balance = mc.Balance(array(counts), threshold)
    assert balance.entry_probabilities.tolist() == expected
    assert balance.counts.tolist() == counts
    assert balance.threshold == threshold


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([], 0),
        (None, 0),
        ([0], 1),
        ([1], 0.5),
        ([2], 0.25),
        ([1, 2], 1 - 0.5 * 0.75),
        ([0, 1, 2], 1),
    ],
)
def test_pairs(ids: list[int] | None, expected: float) -> None:
    balance = mc.Balance(array([1, 8, 16]), 4)
    assert balance.keep_probabilities(matches_of(ids)).tolist() == [expected]


def test_counts_of_texts_balance_them() -> None:
    matcher = mc.Matcher(mc.Metadata.from_entries(["a", "b"]))
    texts = ["a b", "a", "a", "a", "x", None]
    balance = mc.Balance(count_texts(texts, matcher), threshold=2)
    found = balance.keep_probabilities(matcher.match(texts))
    assert found.tolist() == [1, 0.5, 0.5, 0.5, 0, 0]


@settings(max_examples=300)
@given(counts=COUNTS, threshold=THRESHOLD, order=st.randoms(use_true_random=False))
def test_the_product_ascends_by_id(counts: list[int], threshold: float, order: Any) -> None:
    balance = mc.Balance(array(counts), threshold)
    some = sorted(order.sample(range(len(counts)), order.randint(0, len(counts))))
    found = balance.keep_probabilities(matches_of(range(len(counts)), some, []))
    expected = [
        keep_probability([counts[i] for i in ids], threshold)
        for ids in (range(len(counts)), some, [])
    ]
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("counts", "expected"), [([3, 4, 5], 0.6), ([3, 5, 4], 0.5999999999999999)]
)
def test_the_order_of_a_product_shows(counts: list[int], expected: float) -> None:
    balance = mc.Balance(array(counts), 1)
    assert balance.keep_probabilities(one_pair(counts)).tolist() == [expected]


@pytest.mark.parametrize(
    "matches",
    [
        pytest.param(matches_of([2], [0, 1], [], None, [1])[1:], id="slice"),
        pytest.param(matches_of([0, 1], [], None, [1], [0])[:-1], id="slice at the end"),
        pytest.param(
            pa.ListArray.from_arrays(
                [0, 2, 2, 4, 5], pa.array([0, 1, 1, 2, 1], pa.uint32()), type=ENTRIES,
                mask=pa.array([False, False, True, False]),
            ),
            id="null over values",
        ),
    ],
)  # fmt: skip
def test_layouts_of_matches(matches: pa.ListArray) -> None:
    balance = mc.Balance(array([8, 16, 1]), 4)
    assert balance.keep_probabilities(matches).tolist() == [0.625, 0, 0, 0.25]
    smallest = balance.min_thresholds(matches, np.full(4, 0.5))
    assert smallest[1:].tolist() == [math.inf, math.inf, math.nextafter(8, 9)]


# ---- one draw per pair is Algorithm 1's draw per entry


def algorithm_1(chances: Sequence[Fraction], draws: Sequence[Fraction]) -> bool:
    """Keep a pair at the first of its entries whose own draw is below its probability."""
    return any(draw < chance for chance, draw in zip(chances, draws, strict=True))


@pytest.mark.parametrize(
    ("counts", "threshold"),
    [
        ([1], 1),
        ([5], 2),
        ([4, 4], 1),
        ([3, 4], 2),
        ([2, 6, 3], 2),
        ([4, 4, 5], 3),
        ([5, 4, 3, 6], 2),
    ],
)
def test_one_draw_serves_all_entries(counts: list[int], threshold: int) -> None:
    """Enumerate all draws: each entry's own over its count, and the pair's over their product.

    A pair is kept or not, and pairs draw independently of each other; so one number, the chance
    that it is kept, is the whole distribution.
    """
    chances = [Fraction(threshold, max(number, threshold)) for number in counts]
    grids = [[Fraction(i, number) for i in range(number)] for number in counts]
    per_entry = [algorithm_1(chances, draws) for draws in product(*grids)]
    once = 1 - math.prod(1 - chance for chance in chances)
    size = math.prod(counts)
    per_pair = [Fraction(i, size) < once for i in range(size)]
    assert sum(per_entry) == sum(per_pair) == once * size
    found = mc.Balance(array(counts), threshold).keep_probabilities(one_pair(counts))[0]
    assert abs(Fraction(found) - once) < Fraction(1, 2**50)


# ---- smallest thresholds


def check_min_threshold(counts: Sequence[int], draw: float) -> float:
    balance = mc.Balance(array(counts), 1)
    found = float(balance.min_thresholds(one_pair(counts), np.array([draw]))[0])
    assert found == min_threshold(counts, draw)
    return found


def is_kept(counts: Sequence[int], threshold: float, draw: float) -> bool:
    balance = mc.Balance(array(counts), threshold)
    return bool(draw < balance.keep_probabilities(one_pair(counts))[0])


@settings(max_examples=1500)
@given(counts=COUNTS, draw=DRAW)
@example(counts=[0], draw=0.0)
@example(counts=[0, 2**53], draw=1 - 2.0**-53)
@example(counts=[1], draw=0.0)
@example(counts=[2**53] * 40, draw=0.0)
@example(counts=[2**53] * 40, draw=2.0**-53)
@example(counts=[1] * 40, draw=1 - 2.0**-53)
@example(counts=[1, 2**53], draw=1 - 2.0**-53)
def test_min_threshold(counts: list[int], draw: float) -> None:
    found = check_min_threshold(counts, draw)
    assert is_kept(counts, found, draw)
    assert is_kept(counts, math.nextafter(found, math.inf), draw)
    below = math.nextafter(found, 0)
    assert below == 0 or not is_kept(counts, below, draw)


def test_min_thresholds_by_the_thousand() -> None:
    """Pairs like those of a real pool: a few entries, from rare ones to very common ones."""
    random = np.random.default_rng(5)
    for _ in range(2_000):
        counts = (2 ** random.uniform(0, 30, random.integers(1, 12))).astype(np.int64).tolist()
        check_min_threshold(counts, int(random.integers(0, 2**53)) / 2**53)


@settings(max_examples=300)
@given(counts=COUNTS, draw=DRAW, one=THRESHOLD, other=THRESHOLD)
def test_a_larger_threshold_keeps_more(
    counts: list[int], draw: float, one: float, other: float
) -> None:
    smaller, larger = sorted([one, other])
    assert is_kept(counts, smaller, draw) <= is_kept(counts, larger, draw)
    smallest = check_min_threshold(counts, draw)
    for threshold in (smaller, larger):
        assert is_kept(counts, threshold, draw) == (smallest <= threshold)


@given(draws=st.lists(DRAW, min_size=3, max_size=3), threshold=THRESHOLD)
def test_min_thresholds_do_not_depend_on_the_threshold(
    draws: list[float], threshold: float
) -> None:
    counts, matches, drawn = array([1, 7, 30, 0]), matches_of([0, 1, 2], [2], []), np.array(draws)
    found, other = (mc.Balance(counts, t).min_thresholds(matches, drawn) for t in (1, threshold))
    assert found.tolist() == other.tolist()
    assert found[2] == math.inf


@pytest.mark.parametrize(
    ("counts", "draw", "expected"),
    [
        ([], 0.0, math.inf),
        ([10], 0.5, math.nextafter(5, 6)),
        ([16], 0.75, math.nextafter(12, 13)),
        ([10], 1 - 2.0**-53, 10.0),
        ([4, 4], 0.75, math.nextafter(2, 3)),
        ([0, 9], 0.9, 5e-324),  # no count: kept at any threshold
    ],
)
def test_hand_computed_min_thresholds(counts: list[int], draw: float, expected: float) -> None:
    assert (
        mc.Balance(array(counts), 1).min_thresholds(one_pair(counts), np.array([draw])) == expected
    )


# ---- tail shares


@pytest.mark.parametrize(
    ("counts", "threshold", "expected"),
    [
        ([1, 2, 3, 4], 1, 0.0),
        ([1, 2, 3, 4], 1.5, 0.1),
        ([1, 2, 3, 4], 2, 0.1),
        ([1, 2, 3, 4], math.nextafter(2, 3), 0.3),
        ([1, 2, 3, 4], 4, 0.6),
        ([1, 2, 3, 4], 5, 1.0),
        ([2, 2, 2], 2, 0.0),
        ([0, 0, 5], 5, 0.0),
        ([0, 0], 5, 0.0),
        ([], 5, 0.0),
        ([2**53, 2**53], 2**53 + 2, 1.0),
    ],
)
def test_tail_share(counts: list[int], threshold: float, expected: float) -> None:
    assert tail_share_of(array(counts), threshold) == expected
    assert mc.Balance(array(counts), threshold).tail_share == expected


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([1, 2, 3, 4], 0.0, 1),
        ([1, 2, 3, 4], 0.04, 1),
        ([1, 2, 3, 4], 0.06, 2),
        ([1, 2, 3, 4], 0.1, 2),
        ([1, 2, 3, 4], 0.19, 2),
        ([1, 2, 3, 4], 0.21, 3),
        ([1, 2, 3, 4], 0.3, 3),
        ([1, 2, 3, 4], 0.44, 3),
        ([1, 2, 3, 4], 0.46, 4),
        ([1, 2, 3, 4], 0.6, 4),
        ([1, 2, 3, 4], 1.0, 4),
        ([4, 1, 3, 2, 0, 0], 0.3, 3),
        ([2, 1, 1], 0.5, 2),  # shares 0 at t = 1, 1/2 at t = 2
        ([2, 1, 1], 0.25, 1),  # as near to the one as to the other: the smaller
        ([2, 1, 1], math.nextafter(0.25, 1), 2),
        ([2, 1, 1], math.nextafter(0.25, 0), 1),
        ([1, 1, 2, 4], 0.125, 1),  # shares 0, 1/4 and 1/2
        ([1, 1, 2, 4], 0.375, 2),
        ([1, 1, 2, 4], math.nextafter(0.375, 1), 4),
        ([1, 2, 3, 4], 0.2, 3),  # float64's 0.2 is a hair above 1/5
        ([5, 5, 5], 0.0, 5),
        ([5, 5, 5], 1.0, 5),
        ([7], 0.06, 7),
        ([0, 0], 0.06, 1),
        ([], 0.06, 1),
        ([2**53, 2**53 - 1], 0.4, 2**53),
    ],
)
def test_threshold(counts: list[int], share: float, expected: float) -> None:
    assert threshold_of(array(counts), share) == expected
    balance = mc.Balance(array(counts), tail_share=share)
    assert balance.threshold == expected
    assert balance.tail_share == tail_share_of(array(counts), expected)


def exact_share(counts: Sequence[int], threshold: int) -> Fraction:
    return Fraction(sum(number for number in counts if number < threshold), sum(counts))


@settings(max_examples=500)
@given(counts=COUNTS.filter(any), share=st.floats(0, 1))
@example(counts=[1, 2, 3, 4], share=0.2)
@example(counts=[1, 1, 2, 4], share=0.375)
def test_the_nearest_share_is_taken(counts: list[int], share: float) -> None:
    nearest = min(
        sorted({number for number in counts if number}),
        key=lambda number: abs(exact_share(counts, number) - Fraction(share)),
    )
    assert threshold_of(array(counts), share) == nearest


@settings(max_examples=300)
@given(counts=COUNTS.filter(any), part=st.floats(0, 1, exclude_min=True))
def test_a_tail_share_leads_back_to_its_threshold(counts: list[int], part: float) -> None:
    threshold = max(part * max(counts), 5e-324)  # above the largest count, the share is 1
    share = tail_share_of(array(counts), threshold)
    assert tail_share_of(array(counts), threshold_of(array(counts), share)) == share


def test_the_papers_share_is_the_default() -> None:
    counts = array(range(1, 200))
    assert DEFAULT_TAIL_SHARE == 0.06
    assert mc.Balance(counts).threshold == mc.Balance(counts, tail_share=0.06).threshold > 1


# ---- wrong usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 5, "tail_share": 0.06}, "a threshold or a tail share, not both"),
        ({"threshold": 5, "tail_share": 0.0}, "a threshold or a tail share, not both"),
        ({"threshold": 0}, "threshold 0 is not a number above 0"),
        ({"threshold": -0.0}, "threshold -0 is not a number above 0"),
        ({"threshold": -5}, "threshold -5 is not a number above 0"),
        ({"threshold": math.nan}, "threshold nan is not a number above 0"),
        ({"threshold": math.inf}, "threshold inf is not a number above 0"),
        ({"threshold": -math.inf}, "threshold -inf is not a number above 0"),
        ({"tail_share": -0.01}, "tail share -0.01 is not between 0 and 1"),
        ({"tail_share": 1.01}, "tail share 1.01 is not between 0 and 1"),
        ({"tail_share": math.nan}, "tail share nan is not between 0 and 1"),
        ({"tail_share": math.inf}, "tail share inf is not between 0 and 1"),
        ({"tail_share": 6}, "tail share 6 is not between 0 and 1"),
    ],
)
@pytest.mark.parametrize("counts", [[1, 2], [0], []])
def test_wrong_usage(counts: list[int], arguments: dict[str, float], message: str) -> None:
    for given_counts in (array(counts), Counts(array(counts), 2, 2, "digest", "paper")):
        with pytest.raises(UsageError) as caught:
            mc.Balance(given_counts, **arguments)
        assert message in str(caught.value)


@pytest.mark.parametrize("counts", [[1.5, 2.0], [-1, 2]])
def test_counts_are_whole_numbers_from_zero_on(counts: list[float]) -> None:
    with pytest.raises(UsageError, match="whole numbers"):
        mc.Balance(np.array(counts), 3)
