"""Near duplicates: the tables find what comparing every two codes finds."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metacurate.errors import UsageError
from metacurate.images.filters.near import (
    Chunks,
    Codes,
    near_duplicates,
    near_duplicates_oracle,
    near_references,
    near_references_oracle,
)

DISTANCES = st.sampled_from([0, 1, 2, 3, 4, 6, 7, 8, 10, 13, 20, 32, 63, 64])


@st.composite
def codes(draw: st.DrawFn, most: int = 60) -> Codes:
    """Codes of which many are near one another: some, with a few bits flipped each."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6))
    flips = st.lists(st.integers(0, 63), max_size=12)
    some = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=most))
    found = []
    for code, bits in some:
        for bit in bits:
            code ^= 1 << bit
        found.append(code)
    return np.array(found, np.uint64)


@settings(deadline=None, max_examples=120)
@given(codes(), DISTANCES, st.integers(0, 10))
def test_the_same_stay_as_by_comparing_all(found: Codes, distance: int, fixed: int) -> None:
    fixed = min(fixed, len(found))
    near = near_duplicates(found, distance, fixed)
    wanted = near_duplicates_oracle(found, distance, fixed)
    assert near.keeper.tolist() == wanted.keeper.tolist()
    assert near.distance.tolist() == wanted.distance.tolist()


@settings(deadline=None, max_examples=60)
@given(codes(), codes(), DISTANCES)
def test_the_same_references_as_by_comparing_all(left: Codes, right: Codes, distance: int) -> None:
    near = near_references(left, right, distance)
    wanted = near_references_oracle(left, right, distance)
    assert near.keeper.tolist() == wanted.keeper.tolist()
    assert near.distance.tolist() == wanted.distance.tolist()


@settings(deadline=None, max_examples=30)
@given(codes(), DISTANCES)
def test_what_stays_is_far_apart_and_what_goes_is_near(found: Codes, distance: int) -> None:
    keeper = near_duplicates(found, distance).keeper
    staying = [int(code) for code in found[keeper < 0]]
    for i, one in enumerate(staying):
        assert all((one ^ other).bit_count() > distance for other in staying[:i])
    for i in np.flatnonzero(keeper >= 0).tolist():
        assert keeper[keeper[i]] == -1
        assert (int(found[i]) ^ int(found[keeper[i]])).bit_count() <= distance


@pytest.mark.parametrize("size", [1, 1000, 10**6, 10**8])
@pytest.mark.parametrize("distance", range(65))
def test_a_cut_leaves_no_two_codes_out(distance: int, size: int) -> None:
    chunks = Chunks.plan(distance, size)
    if chunks.widths == (0,):
        return  # which compares every two
    # Codes that no chunk finds differ in more than its radius in each of them.
    assert sum(radius + 1 for radius in chunks.radii) > distance


@pytest.mark.parametrize("distance", [2, 4, 6, 8])
def test_many_codes_as_by_comparing_all(distance: int) -> None:
    rng = np.random.default_rng(distance)
    found = rng.integers(0, 2**64, 10_000, dtype=np.uint64)
    for i in range(0, 10_000, 40):  # copies of the one before, some of them too far
        bits = rng.choice(64, int(rng.integers(0, 12)), replace=False)
        found[i + 1] = found[i] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0)
        )
    near = near_duplicates(found, distance)
    keeper = np.full(len(found), -1)
    staying = np.zeros(0, np.int64)
    for i, code in enumerate(found):
        apart = np.bitwise_count(found[staying] ^ code)
        if len(apart) and apart.min() <= distance:
            keeper[i] = staying[apart.argmin()]
        else:
            staying = np.append(staying, i)
    assert ((keeper < 0) == (near.keeper < 0)).all()


def test_placeholders_cost_nothing() -> None:
    found = np.full(1_000_000, 0x8000_0000_0000_0000, np.uint64)
    found[500_000] = 0xFFFF
    near_duplicates(found[:2], 6)
    began = time.monotonic()
    near = near_duplicates(found, 6)
    assert time.monotonic() - began < 60
    assert np.flatnonzero(near.keeper < 0).tolist() == [0, 500_000]


@pytest.mark.parametrize("distance", [-1, 65])
def test_no_such_distance(distance: int) -> None:
    with pytest.raises(UsageError, match=f"distance {distance}"):
        near_duplicates(np.zeros(2, np.uint64), distance)
