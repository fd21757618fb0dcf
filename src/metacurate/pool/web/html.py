"""Pages: the images that a browser would show, with the texts that go with them.

selectolax parses, with lexbor, which builds the tree that the HTML standard prescribes.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from metacurate.pool.web.harvest import Harvest, Texts
from metacurate.pool.web.links import AROUND, SCHEME, WEB
from metacurate.pool.web.srcset import largest

TEXT_ATTRIBUTES = ("alt", "title", "data-image-title", "aria-label")
CAPTION = "figcaption"
LATE_LINKS = (
    "data-src", "data-lazy-src", "data-original", "data-lsrc", "data-cfsrc", "data-ezsrc",
    "data-gt-lazy-src", "data-zeen-src", "data-lateloadsrc", "data-m-lazyloader-src",
    "data-jpibfi-src", "data-flickity-lazyload", "data-lazy", "data-lazyload", "data-actualsrc",
    "data-hi-res-src", "data-src-large", "data-source-standard", "lazysrc", "data-delayed-url",
    "data-img-url", "data-echo", "data-delay",
)  # fmt: skip
OTHER_LINKS = (
    "data-orig-file", "data-large-file", "data-swap", "data-image", "data-url", "original",
)  # fmt: skip
SRCSETS = ("srcset", "data-srcset", "data-lazy-srcset", "data-zeen-srcset", "data-gt-lazy-srcset")
PLACEHOLDER = re.compile(
    r"(?i)(?:^|[^a-z0-9])(?:place[-_ ]?holders?|lazy|lazyload|blank|spacer|transparent|trans|empty"
    r"|loading|loader|fallback|pixel|pix|1x1)(?:[^a-z0-9]|$)"
    r"|^(?:t|clear|dot|default[-_]?\w*)\.|^[0-9]+[_x][0-9]+\.\w+$"
)  # names of files that stand for an image which a script puts in their place
IMAGE_ENDING = re.compile(r"(?i)\.(?:jpe?g|png|gif|webp|avif|svg|bmp|tiff?)$")
TINY = frozenset({"0", "1", "0px", "1px"})
TINY_STYLE = re.compile(
    r"(?i)(?:^|[;\s])(width|height)\s*:\s*[01](?:px)?\s*(?:!important\s*)?(?=;|$)"
)
UNSEEN = frozenset({"script", "style", "template", "noscript"})
INLINE = frozenset({
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em",
    "font", "i", "ins", "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span",
    "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
})  # fmt: skip


def read_html(content: bytes | str, page_url: str, harvest: Harvest) -> None:
    """Take the pairs of a page.

    Args:
        content: the page, in UTF-8 where it is bytes. page_url: its URL. harvest: takes them.
    """
    tree = LexborHTMLParser(content)
    images = tree.tags("img")
    if not images:
        harvest.add_page(page_url, None, 0, ())
        return
    hrefs = (base.attributes.get("href") for base in tree.tags("base"))
    base_href = next((href for href in hrefs if href is not None), None)
    captioned = _captioned(images, _captions(tree))
    harvest.add_page(page_url, base_href, len(images), captioned)


def _captioned(
    images: list[LexborNode], captions: dict[int, str]
) -> Iterator[tuple[str, Texts, bool]]:
    for image in images:
        attributes = image.attributes
        texts = [(name, text) for name in TEXT_ATTRIBUTES if (text := attributes.get(name))]
        if captions and (caption := captions.get(image.mem_id)) is not None:
            texts.append((CAPTION, caption))
        if texts:
            yield _link(image, attributes), texts, _is_tracking(attributes)


def _link(image: LexborNode, attributes: dict[str, str | None]) -> str:
    """The link that an image has once the page's scripts have put it in place of a placeholder."""
    source = (attributes.get("src") or "").strip(AROUND)
    if _leads_to_file(source) and not PLACEHOLDER.search(_path_of(source).rpartition("/")[2]):
        return source
    for name in LATE_LINKS:
        value = (attributes.get(name) or "").strip(AROUND)
        if value and _looks_like_link(value):
            return value
    for name in OTHER_LINKS:
        value = (attributes.get(name) or "").strip(AROUND)
        if value and _looks_like_link(value) and IMAGE_ENDING.search(_path_of(value)):
            return value
    for name in SRCSETS:
        if (found := largest(attributes.get(name) or "")) is not None:
            return found
    parent = image.parent
    if parent is not None and parent.tag == "picture":
        for node in parent.iter():
            if node.tag == "source":
                for name in SRCSETS:
                    if (found := largest(node.attributes.get(name) or "")) is not None:
                        return found
    return source


def _path_of(link: str) -> str:
    return link.partition("#")[0].partition("?")[0]


def _leads_to_file(link: str) -> bool:
    """Whether a link is neither empty nor a place in the page, nor of a scheme like data:."""
    if not link or link[0] == "#":
        return False
    scheme = SCHEME.match(link)
    return scheme is None or scheme[0].lower() in WEB


def _looks_like_link(value: str) -> bool:
    """Whether a value of an attribute that scripts read can be the link of an image."""
    if not _leads_to_file(value) or any(char in value for char in ' {}<>|"\n\t'):
        return False
    return "/" in value or re.search(r"\.\w{3,4}(?:[?#]|$)", value) is not None


def _is_tracking(attributes: dict[str, str | None]) -> bool:
    """Whether an image is declared to be one pixel wide and high, or none."""
    style = attributes.get("style") or ""
    tiny = {name.lower() for name in TINY_STYLE.findall(style)} if ":" in style else set()
    return all(
        (attributes.get(side) or "").strip() in TINY or side in tiny for side in ("width", "height")
    )


def _captions(tree: LexborHTMLParser) -> dict[int, str]:
    """The captions of images in figures, by the images' nodes: those of the innermost figure."""
    found: dict[int, str] = {}
    depths: dict[int, int] = {}
    for caption in tree.tags(CAPTION):
        figure, depth = _figure_of(caption)
        if figure is None:
            continue
        text = _visible_text(caption)
        for image in figure.css("img") if text else ():
            key = image.mem_id
            if depth > depths.get(key, 0):
                found[key], depths[key] = text, depth
    return found


def _figure_of(node: LexborNode) -> tuple[LexborNode | None, int]:
    """The figure that a node is in, and how deep in the tree that is."""
    figure: LexborNode | None = None
    depth = 0
    parent = node.parent
    while parent is not None:
        if figure is None and parent.tag == "figure":
            figure = parent
        depth += figure is not None
        parent = parent.parent
    return figure, depth


def _visible_text(node: LexborNode) -> str:
    """The text below a node; what is set on lines of its own is set apart by spaces."""
    return "".join(_pieces(node))


def _pieces(node: LexborNode) -> Iterator[str]:
    waiting: list[LexborNode | None] = [node.first_child]
    ends: list[bool] = []
    while waiting:
        current = waiting.pop()
        if current is None:
            if ends and ends.pop():
                yield " "
            continue
        waiting.append(current.next)
        if current.is_text_node:
            yield current.text_content or ""
        elif current.is_element_node and current.tag not in UNSEEN:
            apart = current.tag not in INLINE
            if apart:
                yield " "
            ends.append(apart)
            waiting.append(current.first_child)
