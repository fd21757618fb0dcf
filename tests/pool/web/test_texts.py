"""Captions in one line, and nothing else changed."""

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.pool.web.texts import decode_references, plain_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a red fox", "a red fox"),
        ("  a\n\tred\r\n fox ", "a red fox"),
        ("a\u00a0red\u3000fox\u2028", "a red fox"),
        ("a\0b\x7f\x9bc", "abc"),
        ("a \0 b", "a b"),
        ("\x85a\x1cb", "a b"),
        ("", ""),
        (" \n\0 ", ""),
        ("Ünïcödé 狐 🦊", "Ünïcödé 狐 🦊"),
        ("half \ud83e of a pair", "half \ufffd of a pair"),
        ("zero\u200bwidth \u202ebidi", "zero\u200bwidth \u202ebidi"),
        ("“quotes” stay…", "“quotes” stay…"),
    ],
)
def test_lines(text: str, line: str) -> None:
    assert plain_line(text) == line


@given(st.text(st.characters()))
def test_a_line_is_what_a_plain_reading_makes(text: str) -> None:
    kept = "".join(
        char if unicodedata.category(char) != "Cc" or char.isspace() else "" for char in text
    )
    plain = " ".join(kept.split())
    plain = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in plain)
    assert plain_line(text) == plain
    assert plain_line(plain) == plain
    plain.encode()


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("R&amp;D", "R&D"),
        ("it&#39;s &#x201C;it&#x201d;", "it's “it”"),
        ("&eacute;t&eacute;", "été"),
        ("&amp;amp;", "&amp;"),
        ("R&D, AT&T; ?a=1&copy=2", "R&D, AT&T; ?a=1&copy=2"),
        ("&nosuchname; &; &#; &#x;", "&nosuchname; &; &#; &#x;"),
        ("&#0; &#1114112; &#xD800;", "\ufffd \ufffd \ufffd"),
    ],
)
def test_references(text: str, decoded: str) -> None:
    assert decode_references(text) == decoded


@given(st.text("ab &#;x19amplt"))
def test_references_are_those_that_the_standard_library_knows(text: str) -> None:
    decoded = decode_references(text)
    assert html.unescape(decoded) == html.unescape(html.unescape(text)) or ";" in text
    if ";" not in text:
        assert decoded == text
