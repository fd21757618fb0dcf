"""The compiled automaton is the same each time, for all kinds of metadata."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.matching.automaton import Automaton, build_automaton
from metacurate.matching.spacing import MODES, Mode

in_both_modes = pytest.mark.parametrize("mode", MODES)


def assert_equal(left: Automaton, right: Automaton) -> None:
    for field in fields(Automaton):
        one, other = getattr(left, field.name), getattr(right, field.name)
        assert one.dtype == other.dtype, field.name
        assert np.array_equal(one, other), field.name


@in_both_modes
@given(entries=st.lists(st.text("ab ,\té", min_size=1), min_size=1, unique=True))
def test_built_twice_is_the_same(mode: Mode, entries: list[str]) -> None:
    first = build_automaton(pa.array(entries), mode)
    assert_equal(first, build_automaton(pa.array(entries), mode))


def test_layout_of_the_entries_does_not_matter() -> None:
    entries = ["dog", "hot dog", "a hot dog", "hot"]
    sliced = pa.array(["x", *entries, "y"])[1:-1]
    assert_equal(build_automaton(pa.array(entries), "paper"), build_automaton(sliced, "paper"))


def test_modes_differ_where_entries_hold_marks() -> None:
    entries = pa.array(["st. louis"])
    assert build_automaton(entries, "paper").sizes[0] == 0  # words
    assert build_automaton(entries, "spaced").sizes[0] == 4  # st . (nothing) louis


def test_arrays_are_read_only() -> None:
    automaton = build_automaton(pa.array(["hot dog"]), "paper")
    with pytest.raises(ValueError, match="read-only"):
        automaton.words[0, 0] = 1
