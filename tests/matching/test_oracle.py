"""The oracle defines matching: its traps, decided by hand for both modes."""

import pytest

from metacurate.matching.oracle import match_by_substring

CASES = [
    # text, entry, matches in mode paper, matches in mode spaced
    pytest.param("a hot dog here", "hot dog", True, True, id="two words"),
    pytest.param("hot dog", "hot dog", True, True, id="the whole text"),
    pytest.param("hotdog", "dog", False, False, id="part of a word"),
    pytest.param("hot dogs", "hot dog", False, False, id="beginning of a word"),
    pytest.param("hot  dog", "hot dog", False, False, id="two spaces in the text"),
    pytest.param("hot dog", "hot  dog", False, False, id="two spaces in the entry"),
    pytest.param("hot  dog", "hot  dog", True, True, id="two spaces in both"),
    pytest.param("hot\tdog", "hot dog", True, True, id="tab in the text"),
    pytest.param("hot\r\ndog", "hot  dog", True, True, id="Windows line end is two spaces"),
    pytest.param("hot\tdog", "hot\tdog", False, True, id="tab in the entry"),
    pytest.param("hot dog\n", "dog", True, True, id="line end behind"),
    pytest.param("st. louis", "st. louis", False, True, id="mark inside the entry"),
    pytest.param("st.louis", "st. louis", False, False, id="a mark and a space make two spaces"),
    pytest.param("st.louis", "st . louis", True, False, id="entry already spaced"),
    pytest.param("a dog.", "dog", True, True, id="mark behind a word"),
    pytest.param("a,b", ",", True, False, id="a mark alone has no empty words around it"),
    pytest.param("a, b", ",", True, False, id="a mark and one space"),
    pytest.param("a , b", ",", True, True, id="a mark between spaces"),
    pytest.param(",", ",", True, True, id="a mark is the whole text"),
    pytest.param(",,", ",,", False, True, id="two marks"),
    pytest.param("", " ", False, False, id="a space in an empty text"),
    pytest.param(" ", " ", True, True, id="a space in a space"),
    pytest.param("a  b", " ", False, False, id="one empty word"),
    pytest.param("a   b", " ", True, True, id="two empty words"),
    pytest.param(" dog", " dog", True, True, id="space in front"),
    pytest.param("dog", " dog", False, False, id="no space in front"),
    pytest.param("hot dog", "Hot dog", False, False, id="case differs"),
    pytest.param("Hot Dog", "hot dog", False, False, id="case of the text differs"),
    pytest.param("straße", "strasse", False, False, id="no folding"),
    pytest.param("caf\u00e9", "cafe\u0301", False, False, id="no normalization"),
    pytest.param("🌭 dog", "🌭", True, True, id="emoji"),
    pytest.param("a\0", "a", False, False, id="zero byte belongs to a word"),
    pytest.param("it's (dog)", "dog", False, False, id="parentheses belong to a word"),
    pytest.param(None, "dog", False, False, id="no text"),
]


@pytest.mark.parametrize(("text", "entry", "paper", "spaced"), CASES)
def test_one_entry(text: str | None, entry: str, paper: bool, spaced: bool) -> None:
    assert match_by_substring(text, [entry], "paper") == [0] * paper
    assert match_by_substring(text, [entry], "spaced") == [0] * spaced


def test_ids_ascend_and_stand_once() -> None:
    entries = ["dog", "cat", "hot dog", "a", "hot"]
    assert match_by_substring("a hot dog, a dog, a hot dog", entries) == [0, 2, 3, 4]
