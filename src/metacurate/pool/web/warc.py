"""What is wanted of an archive's records: pages of WARC files, and WAT records."""

from dataclasses import dataclass
from typing import Final

from fastwarc.warc import WarcRecord, WarcRecordType

from metacurate.pool.web.message import MOST_HEAD, decode_body, read_head
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


@dataclass(frozen=True)
class Lost:
    """A page that can't be read.

    Attributes:
        reason: what it is counted under.
    """

    reason: str


def take(record: WarcRecord) -> RawPage | WatRecord | Lost | None:
    """Read what is wanted of a record.

    Args:
        record: of any type.

    Returns:
        A page, a WAT record, or one of these that can't be read; None for records of other types,
        among them revisits, responses that are no page, and redirections, which browsers don't
        show.

    Raises:
        OSError: when the archive is damaged.
    """
    kind = record.record_type
    if kind == WarcRecordType.metadata:
        if _plain_type(record.headers.get("Content-Type")) != WAT_TYPE:
            return None
        if record.content_length > MOST_WAT:
            return Lost(TOO_LARGE)
        return WatRecord(_target(record), record.reader.read())
    if kind == WarcRecordType.resource:
        if _plain_type(record.headers.get("Content-Type")) not in PAGE_TYPES:
            return None
        return _whole(RawPage(_target(record), "", record.reader.read(MOST_PAGE + 1)))
    if kind == WarcRecordType.response and record.is_http:
        return _take_response(record)
    return None


def _take_response(record: WarcRecord) -> RawPage | Lost | None:
    beginning = record.reader.read(MOST_HEAD)
    try:
        head = read_head(beginning)
    except ValueError:
        return Lost(UNDECODABLE)
    if 300 <= head.status < 400 or (head.content_type and head.content_type not in PAGE_TYPES):
        return None
    if record.content_length > 2 * MOST_PAGE:
        return Lost(TOO_LARGE) if head.content_type else None
    body = beginning[head.size :] + record.reader.read()
    try:
        content = decode_body(head, body, MOST_PAGE + 1)
    except ValueError:
        return Lost(UNDECODABLE) if head.content_type else None
    if not head.content_type and not _begins_page(content):
        return None
    return _whole(RawPage(_target(record), head.charset, content))


def _target(record: WarcRecord) -> str:
    """The URL of what a record holds; WARC/1.0 puts it into angle brackets."""
    return (record.headers.get("WARC-Target-URI") or "").strip("<> \t")


def _begins_page(content: bytes) -> bool:
    return content[:SNIFFED].lstrip().lower().startswith(PAGE_BEGINNINGS)


def _whole(page: RawPage) -> RawPage | Lost:
    return Lost(TOO_LARGE) if len(page.content) > MOST_PAGE else page


def _plain_type(value: str | None) -> str:
    """A media type without its parameters."""
    return (value or "").partition(";")[0].strip().lower()
