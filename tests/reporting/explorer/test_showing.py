"""Texts from the web on a page: nothing invisible steers it, and no address is more than one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.reporting.explorer.showing import (
    domain_of,
    has_domain,
    image_of,
    joined,
    link_of,
    show,
)


@given(st.text())
def test_nothing_is_lost_or_left_invisible(text: str) -> None:
    pieces = list(show(text))
    shown = "".join(piece.text for piece in pieces)
    assert all(unicodedata.category(char) not in ("Cc", "Zl", "Zp") for char in shown)
    assert not set(shown) & set(
        "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u3164"
    )
    hidden = [piece for piece in pieces if piece.name]
    assert len(shown) - sum(len(piece.text) for piece in hidden) + len(hidden) == len(text)


def test_pieces() -> None:
    pieces = list(show("a\u202eb\n👨\u200d👩"))
    assert [piece.text for piece in pieces] == ["a", "U+202E", "b", "↵", "👨\u200d👩"]
    assert pieces[1].name == "U+202E RIGHT-TO-LEFT OVERRIDE"
    assert joined(pieces[:3]) == "a<U+202E>b"


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://Images.Example.ORG/a.jpg", "images.example.org"),
        ("http://user:pw@host:80/x", "host"),
        ("http://a@b@c/x", "c"),
        ("//no.scheme/x", ""),
        ("http://[2001:db8::1]:8/x", "[2001:db8::1]"),
        ("javascript:alert(1)", ""),
        ("https://bücher.example/x", "bücher.example"),
        ("", ""),
    ],
)
def test_domains(url: str, domain: str) -> None:
    assert domain_of(url) == domain


def test_domains_hold_those_below() -> None:
    assert has_domain("https://i.redd.it/x", "redd.it")
    assert has_domain("https://redd.it", "redd.it")
    assert not has_domain("https://credd.it/x", "redd.it")
    assert not has_domain("https://a/redd.it", "redd.it")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt://x/%0aalert(1)", "data:text/html,<script>", "file:///x",
        "ftp://a.b/c", "//a.b/c", "/etc/passwd", "http://a b/", "http://a.b/\u202ec", "http://",
        "https://a.b/\n", "https://" + "a" * 5000, "vbscript:x", " https://a.b/", None,
    ],
)  # fmt: skip
def test_no_link(url: str | None) -> None:
    assert link_of(url) is None
    assert image_of(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png", "http://localhost:8765/", "http://LOCALHOST./x", "http://[::1]/x",
        "http://10.0.0.1/x", "http://192.168.1.1/x", "http://router/x", "http://nas.local/x",
        "http://169.254.169.254/latest", "http://127.1/x", "http://0x7f.1/x", "http://2130706433/x",
        "http://user@127.0.0.1/x", "http://metadata.google.internal/x",
    ],
)  # fmt: skip
def test_no_image_of_this_network(url: str) -> None:
    assert link_of(url) == url
    assert image_of(url) is None


@pytest.mark.parametrize(
    "url", ["https://a.example/b.jpg", "http://8.8.8.8/x", "HTTPS://Bücher.example/ü?x=1#y"]
)
def test_images(url: str) -> None:
    assert image_of(url) == url
