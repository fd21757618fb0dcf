"""Pairs of pages: the images that a browser would show, with their texts."""

import pytest

from metacurate.pool.web.harvest import Harvest
from metacurate.pool.web.html import read_html

from .archives import PAGE

HERE = "http://page.example/dir/"
GIF = "data:image/gif;base64,R0lGODlhAQABAAAAACw="


def harvest(html: str | bytes) -> Harvest:
    found = Harvest()
    read_html(html, PAGE, found)
    return found


def rows(html: str | bytes) -> list[tuple[str, str, str]]:
    found = harvest(html)
    urls = [url.removeprefix(HERE) for url in found.urls]
    return list(zip(urls, found.texts, found.attributes, strict=True))


def links(html: str) -> list[str]:
    return [url for url, _, _ in rows(html)]


def test_each_text_is_a_pair_of_its_own() -> None:
    html = (
        '<img src=a.jpg alt="an  &eacute;t&eacute;" title="T" aria-label=L data-image-title=D>'
        '<IMG SRC="b.jpg" ALT="B"><img src=c.jpg><img alt=nowhere><image src=d.jpg alt=D2>'
    )
    assert rows(html) == [
        ("a.jpg", "an été", "alt"),
        ("a.jpg", "T", "title"),
        ("a.jpg", "D", "data-image-title"),
        ("a.jpg", "L", "aria-label"),
        ("b.jpg", "B", "alt"),
        ("d.jpg", "D2", "alt"),
    ]
    counts = harvest(html).counts
    assert (counts["images"], counts["images_without_text"], counts["no_web_url"]) == (5, 1, 1)


def test_nothing_is_doubled() -> None:
    html = (
        "<img src=a.jpg alt=x title=x><img src='a.jpg#top' alt=' x '>"
        "<noscript><img src=a.jpg alt=x></noscript>"
    )
    assert rows(html) == [("a.jpg", "x", "alt")]
    assert harvest(html).counts["repeated_on_page"] == 3


def test_what_is_no_image_of_the_page() -> None:
    html = (
        "<!-- <img src=a.jpg alt=comment> --><script>'<img src=b.jpg alt=script>'</script>"
        "<template><img src=c.jpg alt=template></template>"
        "<textarea><img src=d.jpg alt=t></textarea>"
        "<svg><image href=e.jpg alt=svg /></svg><p title='<img src=f.jpg alt=attribute>'>"
    )
    assert rows(html) == []


@pytest.mark.parametrize(
    ("html", "link"),
    [
        ("<img src=a.jpg data-src=b.jpg alt=x>", "a.jpg"),
        ("<img data-src=b.jpg alt=x>", "b.jpg"),
        ("<img src='' data-lazy-src=/b.jpg alt=x>", "http://page.example/b.jpg"),
        (f"<img src={GIF} data-original=b.jpg alt=x>", "b.jpg"),
        ("<img src=about:blank data-srcset='s.jpg 1x, m.jpg 2x' alt=x>", "m.jpg"),
        ("<img src=# data-src=b.jpg alt=x>", "b.jpg"),
        ("<img src=img/placeholder.png data-src=b.jpg alt=x>", "b.jpg"),
        ("<img src=/1x1.gif?v=2 data-src=b.jpg alt=x>", "b.jpg"),
        ("<img src=lazy-load.svg srcset='s.jpg 300w, m.jpg 600w' alt=x>", "m.jpg"),
        ("<img src=placeholder.png alt=x>", "placeholder.png"),
        ("<img src=pixel9-review.jpg data-url=/product/1 alt=x>", "pixel9-review.jpg"),
        ("<img src=lazy-sunday.jpg data-url=/product/1 alt=x>", "lazy-sunday.jpg"),
        ("<img src=found-1000-pixels.jpg data-src=b.jpg alt=x>", "found-1000-pixels.jpg"),
        ("<img src=a_placeholder.gif data-src=/image/1 alt=x>", "http://page.example/image/1"),
        ("<img data-url=/product/1 alt=x>", None),
        ("<img data-url=/product/1.jpg?x alt=x>", "http://page.example/product/1.jpg?x"),
        ("<img src=41x17.jpg alt=x>", "41x17.jpg"),
        ("<img src=pixel.gif data-src=yes alt=x>", "pixel.gif"),
        ("<img src=pixel.gif data-src='{{url}}/b.jpg' alt=x>", "pixel.gif"),
        (f"<img src={GIF} data-src={GIF} data-lazy-src=b.jpg alt=x>", "b.jpg"),
        (f"<img src={GIF} data-src='javascript:x' srcset='b.jpg 2x' alt=x>", "b.jpg"),
        ("<picture><source srcset='s.webp 1x, m.webp 2x'><img alt=x></picture>", "m.webp"),
        ("<picture><source srcset=s.webp><img src=a.jpg alt=x></picture>", "a.jpg"),
        (f"<picture><source data-srcset=s.webp><img src={GIF} alt=x></picture>", "s.webp"),
        ("<div><source srcset=s.webp><img alt=x></div>", None),
        (f"<img src={GIF} alt=x>", None),
    ],
)
def test_which_link_an_image_has(html: str, link: str | None) -> None:
    assert links(html) == ([] if link is None else [link])


@pytest.mark.parametrize(
    ("attributes", "tracks"),
    [
        ("width=1 height=1", True),
        ("width=0 height=1px", True),
        ("style='width:1px;height:1px'", True),
        ("style='position:absolute; HEIGHT: 0 !important; width : 1px' ", True),
        ("width=1 style='height:1px'", True),
        ("width=1", False),
        ("width=1 height=10", False),
        ("style='max-width:1px;max-height:1px'", False),
        ("style='width:1px;height:1em'", False),
        ("style='border-width:1px;line-height:1px'", False),
        ("width=100 height=100", False),
    ],
)
def test_tracking_pixels(attributes: str, tracks: bool) -> None:
    html = f"<img src=a.jpg alt=x {attributes}>"
    assert links(html) == ([] if tracks else ["a.jpg"])
    assert harvest(html).counts["tracking_pixel"] == tracks


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ("<base href='http://cdn.example/x/'><img src=a.jpg alt=x>", "http://cdn.example/x/a.jpg"),
        (
            "<base target=_top><base href=/y/><base href=/z/><img src=a.jpg alt=x>",
            "http://page.example/y/a.jpg",
        ),
        ("<img src=a.jpg alt=x><base href=/y/>", "http://page.example/y/a.jpg"),
        ("<base href='javascript:x'><img src=a.jpg alt=x>", "http://page.example/dir/a.jpg"),
    ],
)
def test_the_base_of_a_page(html: str, url: str) -> None:
    assert harvest(html).urls == [url]


def test_captions_of_figures() -> None:
    html = (
        "<figure><div><img src=a.jpg alt=A></div><img src=b.jpg>"
        "<figcaption>A <b>bo</b>ld fox<br>in <p>snow</p><script>x()</script></figcaption></figure>"
        "<figure><img src=c.jpg></figure><figcaption>of no figure</figcaption>"
    )
    assert rows(html) == [
        ("a.jpg", "A", "alt"),
        ("a.jpg", "A bold fox in snow", "figcaption"),
        ("b.jpg", "A bold fox in snow", "figcaption"),
    ]


def test_the_innermost_caption_counts() -> None:
    inner = "<figure><img src=b.jpg><figcaption>inner</figcaption></figure>"
    for outer in (
        f"<figcaption>outer</figcaption>{inner}",
        f"{inner}<figcaption>outer</figcaption>",
    ):
        found = rows(f"<figure><img src=a.jpg>{outer}</figure>")
        assert set(found) == {("a.jpg", "outer", "figcaption"), ("b.jpg", "inner", "figcaption")}


@pytest.mark.parametrize(
    "html",
    [
        "", " ", "plain text", "<", "<img", "<img src=a.jpg alt=", "<img src='a.jpg alt=x>", "\0",
        "<figure><figcaption>", "</figcaption>", "<base>", "<img src=//[ alt=x>",
    ],
)  # fmt: skip
def test_pages_that_hold_nothing(html: str) -> None:
    assert rows(html) == []


def test_a_page_of_long_texts_is_bounded() -> None:
    caption = "long " * 20_000
    html = f"<figure>{'<img src=a.jpg>' * 3000}<figcaption>{caption}</figcaption></figure>"
    images = "".join(f"<img src={i}.jpg alt='{caption}'>" for i in range(100))
    for found in (harvest(html), harvest(images + "<img src=last.jpg alt=last>")):
        assert found.size < 5 << 20
        texts = found.counts["texts"]
        left_out = found.counts["too_much_on_page"] + found.counts["repeated_on_page"]
        assert texts == len(found) + left_out
    base = f"<base href='http://a.example/{'d/' * 4000}'>"
    assert harvest(base + "<img src=a.jpg alt=x>" + "<img src=b.jpg alt=y>" * 9).size < 5 << 20


def test_bytes_that_are_no_utf8() -> None:
    assert rows(b"<img src=a.jpg alt='x\xffy'>") == [("a.jpg", "x\ufffdy", "alt")]
    assert rows(b"<img src='\xff.jpg' alt=x>")[0][0] == "%EF%BF%BD.jpg"
