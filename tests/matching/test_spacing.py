"""Where spaces stand decides what matches, so each rule is written out by hand."""

import pytest

from metacurate.matching.spacing import Mode, space_entry, space_text, words_of

TEXTS = [
    pytest.param("", "  ", [""], id="an empty text is one empty word"),
    pytest.param("dog", " dog ", ["dog"], id="one word"),
    pytest.param("a  dog", " a  dog ", ["a", "", "dog"], id="two spaces hold an empty word"),
    pytest.param(" dog ", "  dog  ", ["", "dog", ""], id="outer spaces stay"),
    pytest.param("dog,", " dog ,  ", ["dog", ",", ""], id="mark at the end"),
    pytest.param(".dog", "  . dog ", ["", ".", "dog"], id="mark in front"),
    pytest.param("a,b", " a , b ", ["a", ",", "b"], id="mark inside"),
    pytest.param("wow!!", " wow !  !  ", ["wow", "!", "", "!", ""], id="two marks"),
    pytest.param(
        "a.b;c:d?e!f`g",
        " a . b ; c : d ? e ! f ` g ",
        ["a", ".", "b", ";", "c", ":", "d", "?", "e", "!", "f", "`", "g"],
        id="every mark",
    ),
    pytest.param("a\tb\nc\rd", " a b c d ", ["a", "b", "c", "d"], id="white space"),
    pytest.param("a\r\nb", " a  b ", ["a", "", "b"], id="a Windows line end is two"),
    pytest.param("it's (a) b-c", " it's (a) b-c ", ["it's", "(a)", "b-c"], id="other marks stay"),
    pytest.param("a\xa0b\vc\fd", " a\xa0b\vc\fd ", ["a\xa0b\vc\fd"], id="other white space stays"),
    pytest.param("日本、東京。", " 日本、東京。 ", ["日本、東京。"], id="marks of other scripts"),
    pytest.param("a\0b", " a\0b ", ["a\0b"], id="zero byte"),
    pytest.param("Straße 🌭", " Straße 🌭 ", ["Straße", "🌭"], id="beyond ASCII"),
]


@pytest.mark.parametrize(("text", "spaced", "words"), TEXTS)
def test_space_text(text: str, spaced: str, words: list[str]) -> None:
    assert space_text(text) == spaced
    assert words_of(spaced) == words


@pytest.mark.parametrize(
    ("entry", "mode", "needle"),
    [
        pytest.param("hot dog", "paper", " hot dog ", id="paper"),
        pytest.param("hot dog", "spaced", " hot dog ", id="spaced, nothing to space"),
        pytest.param("st. louis", "paper", " st. louis ", id="paper leaves marks alone"),
        pytest.param("st. louis", "spaced", " st .  louis ", id="spaced spaces marks"),
        pytest.param("a\tb", "paper", " a\tb ", id="paper leaves tabs alone"),
        pytest.param("a\tb", "spaced", " a b ", id="spaced replaces tabs"),
    ],
)
def test_space_entry(entry: str, mode: Mode, needle: str) -> None:
    assert space_entry(entry, mode) == needle
