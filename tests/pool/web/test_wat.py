"""Pairs of WAT records."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metacurate.pool.web.harvest import Harvest
from metacurate.pool.web.wat import read_wat

from .archives import PAGE, image, wat_json

Row = tuple[str, str, str]


def rows(content: bytes, page_url: str = PAGE) -> list[Row]:
    harvest = Harvest()
    read_wat(content, page_url, harvest)
    assert harvest.pages == [page_url] * len(harvest)
    return list(zip(harvest.urls, harvest.texts, harvest.attributes, strict=True))


def test_each_text_of_an_image_is_a_pair() -> None:
    links = [
        image("a.jpg", alt="a fox", title="A  fox\nin snow"),
        {"path": "A@/href", "url": "b.html", "title": "no image"},
        image("/b.jpg", title="b"),
        image("c.jpg"),
        image("d.jpg", alt=" \n"),
    ]
    assert rows(wat_json(links)) == [
        ("http://page.example/dir/a.jpg", "a fox", "alt"),
        ("http://page.example/dir/a.jpg", "A fox in snow", "title"),
        ("http://page.example/b.jpg", "b", "title"),
    ]


def test_counts() -> None:
    links = [
        image("a.jpg", alt="x", title="x"),
        image("a.jpg", alt="x"),
        image("data:image/gif;base64,R0lGOD", alt="y"),
        image("b.jpg"),
        image("c.jpg", title="\0"),
    ]
    harvest = Harvest()
    read_wat(wat_json(links), PAGE, harvest)
    assert harvest.urls == ["http://page.example/dir/a.jpg"]
    assert harvest.attributes == ["alt"]
    assert dict(harvest.counts) == {
        "pages": 1,
        "images": 5,
        "images_without_text": 2,
        "texts": 4,
        "repeated_on_page": 2,
        "no_web_url": 1,
    }


def test_the_base_of_a_page() -> None:
    links = [image("a.jpg", alt="x")]
    assert rows(wat_json(links, "http://cdn.example/img/"))[0][0] == "http://cdn.example/img/a.jpg"
    assert rows(wat_json(links, "../up/"))[0][0] == "http://page.example/up/a.jpg"
    assert rows(wat_json(links, "data:,x"))[0][0] == "http://page.example/dir/a.jpg"


def test_references_are_decoded_in_texts_and_not_in_urls() -> None:
    (row,) = rows(wat_json([image("a?x=1&copy=2", alt="R&amp;D &#39;x&#39;")]))
    assert row[:2] == ("http://page.example/dir/a?x=1&copy=2", "R&D 'x'")


def test_records_without_images_are_not_decoded() -> None:
    assert rows(b"this is no JSON") == []
    assert rows(wat_json([{"path": "A@/href", "url": "b"}])) == []
    harvest = Harvest()
    read_wat(wat_json([{"path": "A@/href", "url": "b"}]), PAGE, harvest)
    read_wat(b'{"Envelope": {"Payload-Metadata": {}}}', PAGE, harvest)
    assert harvest.counts["pages"] == 1


def test_slashes_may_be_escaped() -> None:
    content = wat_json([image("a.jpg", alt="x")]).replace(b"IMG@/src", b"IMG@\\/src")
    assert len(rows(content)) == 1
    assert rows(b'{"Envelope": {"Payload-Metadata": {}}}') == []


@pytest.mark.parametrize(
    "content",
    [
        b'"IMG@/src"',
        b'{"Envelope": "IMG@/src"}',
        b'{"Envelope": {"Payload-Metadata": {"HTTP-Response-Metadata": null, "x": "IMG@/src"}}}',
        wat_json([]).replace(b'"a page"', b'"IMG@/src"'),
    ],
)
def test_json_of_other_layouts_holds_no_pairs(content: bytes) -> None:
    assert rows(content) == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"path": "IMG@/src"',
        b"",
        b"[" * 100_000 + b'"IMG@/src"',
        b'{"x": "IMG@/src", "y": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    ],
)
def test_what_is_no_json_is_told(content: bytes) -> None:
    if b'"IMG@/src"' in content:
        with pytest.raises(ValueError, match=r"\S"):
            rows(content)


def test_what_json_should_not_hold_is_borne_with() -> None:
    links: list[Any] = [
        image("a.jpg", alt="TEXT"),
        image("b.jpg", alt="good"),
        {"path": "IMG@/src", "url": "c.jpg", "alt": None, "title": 3},
        {"path": "IMG@/src", "url": ["d.jpg"], "alt": "no url"},
        "IMG@/src",
        None,
    ]
    content = wat_json(links)
    urls = [f"http://page.example/dir/{name}.jpg" for name in "ab"]
    for wrong, text in (
        (b"x\xff\xfey", "x\ufffd\ufffdy"),
        (b"\\ud83ex", "\ufffdx"),
        (b"a\nb", "a b"),
    ):
        found = rows(content.replace(b"TEXT", wrong))
        assert [row[:2] for row in found] == [(urls[0], text), (urls[1], "good")]


KEYS = st.sampled_from(["path", "url", "alt", "title", "text", "width"])
VALUES = st.sampled_from(["IMG@/src", "A@/href", "a.jpg", "//b.example/c", "x", ' "}{[', "\\", ""])


@given(st.lists(st.dictionaries(KEYS, VALUES)), st.booleans(), st.booleans())
def test_any_layout_of_json_gives_the_same(
    links: list[dict[str, str]], ascii_only: bool, spaced: bool
) -> None:
    value = json.loads(wat_json(links))
    separators = (" , ", " : ") if spaced else (",", ":")
    content = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    expected = {
        (link["url"], " ".join(link[name].split()))
        for link in links
        if link.get("path") == "IMG@/src" and link.get("url")
        for name in ("alt", "title")
        if link.get(name, "").strip()
    }
    assert len(rows(content)) == len({
        (url.replace("\\", "/"), text) for url, text in expected
    })  # fmt: skip
    assert rows(content) == rows(wat_json(links))
