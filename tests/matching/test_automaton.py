"""The compiled automaton is the same each time, for all kinds of metadata."""

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.matching.automaton import Automaton, build_automaton, unreachable
from metacurate.matching.oracle import match_by_substring
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


@pytest.mark.parametrize(
    ("entry", "reachable"),
    [
        pytest.param("hot dog", True, id="words"),
        pytest.param("it's", True, id="other mark"),
        pytest.param(",", True, id="mark alone"),
        pytest.param("a , b", True, id="mark between spaces"),
        pytest.param(",  !", True, id="marks two spaces apart"),
        pytest.param(" ", True, id="space"),
        pytest.param("a.", False, id="mark behind"),
        pytest.param(".a", False, id="mark in front"),
        pytest.param("st. louis", False, id="mark inside"),
        pytest.param("!?", False, id="two marks"),
        pytest.param("a\tb", False, id="tab"),
        pytest.param("a\n", False, id="line end"),
        pytest.param(", !", False, id="marks one space apart"),  # a text's are two apart
    ],
)
def test_entries_that_no_text_can_match(entry: str, reachable: bool) -> None:
    assert unreachable(pa.array([entry])).to_pylist() == [not reachable]
    own = [entry, entry.replace(" , ", ","), entry.replace("  ", ""), ",!", "a.", "st. louis"]
    assert any(match_by_substring(text, [entry]) for text in own) == reachable


def test_arrays_are_read_only() -> None:
    automaton = build_automaton(pa.array(["hot dog"]), "paper")
    with pytest.raises(ValueError, match="read-only"):
        automaton.words[0, 0] = 1
