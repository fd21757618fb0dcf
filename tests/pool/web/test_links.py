"""Absolute URLs, as the URL standard and another implementation of it have them."""

import re

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from metacurate.pool.web.links import Base, host_of

PAGE = "https://User:pw@Page.example:8443/dir/sub/page.html?query#part"
WITH_USER = "https://User:pw@page.example:8443"


def expected(page: str, link: str, href: str | None = None) -> str | None:
    """What ada_url, which takes a base, makes of a link."""
    base = page
    if href is not None:
        joined = parsed(href, page)
        base = base if joined is None else joined.href
    url = parsed(link, base)
    bare = link.strip("".join(map(chr, range(33)))).translate({9: None, 10: None, 13: None})
    if url is None or re.fullmatch(r"(?is)(https?:)?(#.*)?", bare):  # the page itself, at most
        return None
    url.hash = ""
    return str(url.href).removesuffix("#")


def parsed(link: str, base: str) -> ada_url.URL | None:
    for bases in ([base], []):
        try:
            url = ada_url.URL(link, *bases)
        except ValueError:  # surrogates among them
            continue
        if bases and ada_url.URL(base).protocol not in ("http:", "https:"):
            continue
        return url if url.protocol in ("http:", "https:") else None
    return None


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("a.jpg", f"{WITH_USER}/dir/sub/a.jpg"),
        ("../a.jpg", f"{WITH_USER}/dir/a.jpg"),
        ("/a b.jpg", f"{WITH_USER}/a%20b.jpg"),
        ("?x=1", f"{WITH_USER}/dir/sub/page.html?x=1"),
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("\\\\cdn.example\\a.jpg", "https://cdn.example/a.jpg"),
        ("\\img\\a.jpg", f"{WITH_USER}/img/a.jpg"),
        ("HTTP://CDN.example:80/a.jpg#top", "http://cdn.example/a.jpg"),
        (" \t\nhttps://cdn.example/a\n.jpg ", "https://cdn.example/a.jpg"),
        ("https:a.jpg", f"{WITH_USER}/dir/sub/a.jpg"),
        ("http:a.jpg", "http://a.jpg/"),
        ("https://bücher.example/ä?ö", "https://xn--bcher-kva.example/%C3%A4?%C3%B6"),
        ("a//b/./c.jpg", f"{WITH_USER}/dir/sub/a//b/c.jpg"),
        ("a:b.jpg", None),
        ("a^b.jpg?c^d", f"{WITH_USER}/dir/sub/a%5Eb.jpg?c^d"),
        ("data:image/gif;base64,R0lGOD", None),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("", None),
        (" ", None),
        ("#part", None),
        ("https://", None),
        ("http://a.example:99999/", None),
        ("http://[::1/", None),
        ("//:0", None),
    ],
)
def test_links(link: str, url: str | None) -> None:
    assert Base(PAGE).resolve(link) == url
    assert expected(PAGE, link) == url


# no single dot: of the two releases of ada behind can_ada and ada_url, the older one leaves a last
# segment "." standing where an earlier segment begins with a dot
PIECES = ["^", *"/\\?#:@%&=;, \t\n\0abAZ09[]é", "..", "//", "http:", "https:", "%2e%2e"]
LINKS = st.lists(st.sampled_from(PIECES)).map("".join)
PAGES = st.builds(
    "{}{}/{}".format,
    st.sampled_from(["http://", "https://", "HTTPS://u@"]),
    st.sampled_from(["a.example", "a.example:81", "[::1]", "1.2.3.4"]),
    LINKS.map(lambda link: link.replace("\0", "")),
)


@given(PAGES, LINKS, st.none() | LINKS)
@example("http://a.example/", "x", "ftp://b.example/")
@example("http://a.example/", "x", "//b.example/c/d")
def test_links_are_resolved_as_by_another_implementation(
    page: str, link: str, href: str | None
) -> None:
    assert Base(page, href).resolve(link) == expected(page, link, href)


@pytest.mark.parametrize("page", ["", "about:blank", "page.html", "urn:x", "https%3A//a.example/"])
def test_a_page_without_a_web_url_has_absolute_links_only(page: str) -> None:
    base = Base(page)
    assert base.resolve("https://a.example/b.jpg") == "https://a.example/b.jpg"
    assert base.resolve("b.jpg") is None
    assert base.resolve("/b.jpg") is None
    assert Base(page, "https://a.example/c/").resolve("b.jpg") == "https://a.example/c/b.jpg"


def test_surrogates_are_no_url() -> None:
    assert Base(PAGE).resolve("a\ud800.jpg") is None


def test_hosts() -> None:
    assert host_of("http://User@A.example:80/") == "a.example"
    assert host_of("http://bücher.example/") == "xn--bcher-kva.example"
    assert host_of("nonsense") == ""
