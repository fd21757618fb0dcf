"""WAT records: what Common Crawl's own parser found in a page, as JSON.

The layout is that of the Web Archive Transformation format (Internet Archive, "WAT overview and
technical details"): the page's links, among them ``IMG@/src`` with alt and title.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from metacurate.pool.web.harvest import Harvest, Texts
from metacurate.pool.web.texts import decode_references

IMAGE_PATH = "IMG@/src"
MARK = b"IMG@"  # in a record without it there is nothing to decode
PAGE_MARK = b'"HTML-Metadata"'


class Link(msgspec.Struct, gc=False):
    """A link of a page; what other fields it has is passed over."""

    path: str = ""
    url: str = ""
    alt: str = ""
    title: str = ""


class Head(msgspec.Struct, gc=False):
    """The part of a page's head that links depend on."""

    base: str | None = msgspec.field(default=None, name="Base")


class Page(msgspec.Struct, gc=False):
    """A page's HTML-Metadata."""

    head: Head = msgspec.field(default_factory=Head, name="Head")
    links: list[Link] = msgspec.field(default_factory=list, name="Links")


class Response(msgspec.Struct, gc=False):
    """A response's HTTP-Response-Metadata."""

    page: Page | None = msgspec.field(default=None, name="HTML-Metadata")


class Payload(msgspec.Struct, gc=False):
    """A record's Payload-Metadata."""

    response: Response | None = msgspec.field(default=None, name="HTTP-Response-Metadata")


class Envelope(msgspec.Struct, gc=False):
    """A record's Envelope."""

    payload: Payload | None = msgspec.field(default=None, name="Payload-Metadata")


class Record(msgspec.Struct, gc=False):
    """A record's JSON."""

    envelope: Envelope | None = msgspec.field(default=None, name="Envelope")


_decode = msgspec.json.Decoder(Record).decode


def read_wat(content: bytes, page_url: str, harvest: Harvest) -> None:
    """Take the pairs of a WAT record.

    Args:
        content: the record's JSON. page_url: the record's target. harvest: takes them.

    Raises:
        ValueError: when it is no JSON of such a record.
    """
    if MARK not in content:
        if PAGE_MARK in content:
            harvest.add_page(page_url, None, 0, ())
        return
    try:
        record = _decode(content)
    except (ValueError, RecursionError):  # of msgspec, which is strict where Java's JSON is not
        record = _decode_leniently(content)
    response = record.envelope and record.envelope.payload and record.envelope.payload.response
    if response and (page := response.page):
        images = [link for link in page.links if link.path == IMAGE_PATH]
        harvest.add_page(page_url, page.head.base, len(images), _captioned(images))


def _captioned(images: list[Link]) -> Iterator[tuple[str, Texts, bool]]:
    for image in images:
        if image.alt:
            alt = ("alt", decode_references(image.alt))
            if image.title:
                yield image.url, (alt, ("title", decode_references(image.title))), False
            else:
                yield image.url, (alt,), False
        elif image.title:
            yield image.url, (("title", decode_references(image.title)),), False


def _decode_leniently(content: bytes) -> Record:
    """Read JSON that holds bytes that are no UTF-8, lone surrogates, or fields of other types."""
    try:
        value = json.loads(content.decode("utf-8", "replace"), strict=False)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    value = _at(value, "Envelope", "Payload-Metadata", "HTTP-Response-Metadata", "HTML-Metadata")
    links = _at(value, "Links")
    base = _at(value, "Head", "Base")
    page = Page(Head(base if isinstance(base, str) else None))
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict):
            texts = {name: link.get(name) for name in Link.__struct_fields__}
            page.links.append(Link(**{k: v for k, v in texts.items() if isinstance(v, str)}))
    return Record(Envelope(Payload(Response(page))))


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
