"""What a word of running text is."""

import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.matching.spacing import PUNCTUATION, space_text
from metacurate.metadata.words import class_of, class_table, cut_words, is_punctuation


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", []),
        (" \n ", []),
        ("The red fox", [["The", "red", "fox"]]),
        ("red  fox\tcub", [["red", "fox", "cub"]]),
        ("A fox. The den", [["A", "fox"], ["The", "den"]]),
        ("foxes, dens", [["foxes"], ["dens"]]),
        ("one line\nanother", [["one", "line"], ["another"]]),
        ("the 'red' fox", [["the"], ["red"], ["fox"]]),
        ("don't, don\u2019t", [["don't"], ["don\u2019t"]]),
        ("a well-known R&B snake_case l·l", [["a", "well-known", "R&B", "snake_case", "l·l"]]),
        ("x- -y a--b 'tis", [["x"], ["y", "a"], ["b"], ["tis"]]),
        ("U.S. 3.14 $5 50% C++", [["U"], ["S"], ["3"], ["14"], ["5", "50"], ["C"]]),
        ("and/or (born 1950)", [["and"], ["or"], ["born", "1950"]]),
        ("naïve cafe\u0301 ÄÖ", [["naïve", "cafe\u0301", "ÄÖ"]]),
        ("\u0301a ❤\ufe0f b", [["a"], ["b"]]),
        ("北京 を 한국어 हिन्दी", [["北京", "を", "한국어", "हिन्दी"]]),
        ("no\u00a0break fox😀den", [["no", "break", "fox"], ["den"]]),
        ("a\u200db c\u200d d", [["a\u200db", "c"], ["d"]]),
        ("left \ufffc out", [["left"], ["out"]]),
        ("ꟍ \u20bf \U0001fae8", [["ꟍ"]]),
    ],
)
def test_runs(text: str, runs: list[list[str]]) -> None:
    assert cut_words(text) == runs


@given(st.text())
def test_words_are_parts_of_the_text_in_order(text: str) -> None:
    at = 0
    for run in cut_words(text):
        assert run
        for word in run:
            at = text.index(word, at) + len(word)
            assert unicodedata.ucd_3_2_0.category(word[0])[0] in "LNC"


@given(st.text())
def test_words_stay_whole_in_captions(text: str) -> None:
    """So that each of them can match one: spacing a caption does not cut it, nor empties it."""
    for run in cut_words(text):
        for word in run:
            assert not set(word) & set(PUNCTUATION)
            assert space_text(word) == f" {word} "


def test_every_python_has_the_same_classes() -> None:
    digest = hashlib.sha256(class_table().tobytes()).hexdigest()
    assert digest == "8a92af1569307f6dac82e06f3ccfbadf7ac02e6b5e6f466d95df73dee6f9aeaa"
    assert all(class_table()[ord(char)] == class_of(char) for char in "a1 \t.,-'_&é北\u0301😀")


@pytest.mark.parametrize("entry", [*PUNCTUATION, "-", "—", "'", '"', "€", "+", "©", "。", "😀"])
def test_punctuation(entry: str) -> None:
    assert is_punctuation(entry)


@pytest.mark.parametrize("entry", ["", "a", "1", "é", "北", "..", "U.S.", "½"])
def test_no_punctuation(entry: str) -> None:
    assert not is_punctuation(entry)
