"""What is wanted of an archive's records: pages of WARC files, and WAT records."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from fastwarc.warc import WarcRecord, WarcRecordType

from metacurate.pool.web.message import Message, read_message
from metacurate.pool.web.parser import RawPage

PAGE_TYPES = ("text/html", "application/xhtml+xml")
WAT_TYPE = "application/json"
PAGE_BEGINNINGS = (b"<!doctype html", b"<html")
MOST_WAT = 64 << 20  # bytes of a WAT record, which has some ten thousand
MOST_PAGE = 16 << 20  # bytes; Common Crawl cuts pages at 5 MB
SNIFFED = 512  # bytes of a page whose server does not tell its type
TOO_LARGE: Final = "page_too_large"  # or what a WAT file tells of it
UNDECODABLE: Final = "page_undecodable"


@dataclass(frozen=True)
class WatRecord:
    """A record of a WAT file.

    Attributes:
        url: the page's. content: JSON.
    """

    url: str
    content: bytes


def take(record: WarcRecord, lost: Counter[str]) -> RawPage | WatRecord | None:
    """Read what is wanted of a record.

    Args:
        record: of any type. lost: told of pages that can't be read.

    Returns:
        A page, a WAT record, or None: for records of other types, among them revisits, responses
        that are no page, and redirections, which browsers don't show.

    Raises:
        OSError: when the archive is damaged.
    """
    kind = record.record_type
    url = record.headers.get("WARC-Target-URI") or ""
    content_type = _plain_type(record.headers.get("Content-Type"))
    if kind == WarcRecordType.metadata:
        if content_type != WAT_TYPE:
            return None
        if record.content_length > MOST_WAT:
            lost[TOO_LARGE] += 1
            return None
        return WatRecord(url, record.reader.read())
    if kind == WarcRecordType.resource and content_type in PAGE_TYPES:
        return _whole(RawPage(url, "", record.reader.read(MOST_PAGE + 1)), lost)
    if kind != WarcRecordType.response or not record.is_http:
        return None
    if record.content_length > 2 * MOST_PAGE:
        lost[TOO_LARGE] += 1
        return None
    raw = record.reader.read()
    try:
        message = read_message(raw, MOST_PAGE + 1)
    except ValueError:
        lost[UNDECODABLE] += 1
        return None
    if 300 <= message.status < 400 or not _is_page(message):
        return None
    return _whole(RawPage(url, message.charset, message.body), lost)


def _is_page(message: Message) -> bool:
    if message.content_type:
        return message.content_type in PAGE_TYPES
    return message.body[:SNIFFED].lstrip().lower().startswith(PAGE_BEGINNINGS)


def _whole(page: RawPage, lost: Counter[str]) -> RawPage | None:
    if len(page.content) > MOST_PAGE:
        lost[TOO_LARGE] += 1
        return None
    return page


def _plain_type(value: str | None) -> str:
    """A media type without its parameters."""
    return (value or "").partition(";")[0].strip().lower()
