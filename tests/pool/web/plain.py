"""Slow and plain readings of archives, with other libraries: what ours are compared with."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import html5lib
from warcio.archiveiterator import ArchiveIterator

AROUND = "".join(map(chr, range(33)))
Pair = tuple[str, str]


def read_wat(path: Path) -> set[Pair]:
    """All pairs of a WAT file with an http(s) URL and a text."""
    found = set()
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            page_url = record.rec_headers.get_header("WARC-Target-URI")
            content = record.content_stream().read()
            if record.rec_headers.get_header("Content-Type") != "application/json":
                continue
            payload = json.loads(content)["Envelope"]["Payload-Metadata"]
            page = payload.get("HTTP-Response-Metadata", {}).get("HTML-Metadata", {})
            base = urljoin(page_url, page.get("Head", {}).get("Base", ""))
            for link in page.get("Links", []):
                if link["path"] == "IMG@/src":
                    for name in ("alt", "title"):
                        text = re.sub(
                            "&[#\\w]+;", lambda m: html.unescape(m[0]), link.get(name, "")
                        )
                        found |= pair(base, link["url"], text)
    return found


@dataclass(frozen=True)
class PlainImage:
    """An image of a page: the page, its base, the attributes, and those of sources beside it."""

    page: str
    base: str
    attributes: dict[str, str]
    values: list[str]

    def pairs(self) -> set[Pair]:
        """Its pairs by src, alt and title."""
        found = set()
        for name in ("alt", "title"):
            found |= pair(self.base, self.attributes.get("src", ""), self.attributes.get(name, ""))
        return found

    @property
    def is_tiny(self) -> bool:
        """Whether it is declared to be one pixel wide and high, by attributes or style."""
        style = re.sub(r"\s", "", self.attributes.get("style", "").lower())
        sides = ("width", "height")
        return all(
            self.attributes.get(side, "").strip() in ("0", "1", "1px", "0px")
            or re.search(f"(^|;){side}:[01](px)?(!important)?(;|$)", style)
            for side in sides
        )


def read_warc(path: Path, every: int = 1) -> Iterator[PlainImage]:
    """All images of a WARC file's pages, or of some of the pages."""
    pages = 0
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type != "response" or record.http_headers is None:
                continue
            content_type = (record.http_headers.get_header("Content-Type") or "").lower()
            if "html" not in content_type or record.http_headers.get_statuscode()[0] == "3":
                continue
            pages += 1
            if pages % every:
                continue
            charset = re.search(r"charset=([\w-]+)", content_type)
            page_url = record.rec_headers.get_header("WARC-Target-URI")
            tree = html5lib.parse(
                record.content_stream().read(),
                transport_encoding=charset[1] if charset else None,
                namespaceHTMLElements=False,
            )
            bases = [base.get("href") for base in tree.iter("base") if base.get("href")]
            base = urljoin(page_url, bases[0]) if bases else page_url
            sources = [v for source in tree.iter("source") for v in source.attrib.values()]
            for image in images(tree):
                attributes = dict(image.attrib)
                yield PlainImage(page_url, base, attributes, [*attributes.values(), *sources])


def images(tree: Any) -> Iterator[Any]:
    """Images of a page, without those in templates, which are none yet."""
    for child in tree:
        if child.tag != "template":
            if child.tag == "img":
                yield child
            yield from images(child)


def pair(base: str, link: str, text: str) -> set[Pair]:
    """A pair, or none."""
    line = " ".join(re.sub("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]", "", text).split())
    link = re.sub("[\t\n\r]", "", link.strip(AROUND)).partition("#")[0]
    if not line or not link:
        return set()
    try:
        url = as_browsers_write(urljoin(base, link))
    except ValueError:
        return set()
    return {(url, line)} if url.startswith(("http://", "https://")) else set()


def as_browsers_write(url: str) -> str:
    """A URL percent-encoded as the URL standard has it, and its host in lower case and ASCII."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        return ""
    printable = "".join(map(chr, range(33, 127)))
    path = quote(parts.path or "/", "".join(c for c in printable if c not in '"#<>?`{}^'))
    query = quote(parts.query, "".join(c for c in printable if c not in "\"#<>'"))
    mark = "?" if "?" in url else ""
    host = parts.netloc.lower()
    if not parts.hostname:
        return ""
    host = host if host.isascii() else host.encode("idna").decode()
    return f"{parts.scheme}://{host}{path}{mark}{query}"
