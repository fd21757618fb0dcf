"""HTTP responses as archives hold them (RFC 9112), also with what crawlers change about them.

Some crawlers end lines with a line feed alone, or keep headers that tell of an encoding which they
have undone: so the body decides.
"""

import io
import re
from dataclasses import dataclass

from urllib3 import HTTPResponse
from urllib3.exceptions import HTTPError

HEAD_END = re.compile(rb"\r?\n\r?\n")
STATUS = re.compile(rb"HTTP/[0-9.]+\s+([0-9]{3})")
HEADER = re.compile(
    rb"(?im)^(Content-Type|Content-Encoding|Transfer-Encoding)[ \t]*:[ \t]*([^\r\n]*)"
)
CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';]+)""", re.IGNORECASE)
CHUNK = re.compile(rb"\s{0,2}([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]{0,200})?\r?\n")
GZIP = b"\x1f\x8b"
MOST_HEAD = 1 << 16  # bytes


@dataclass(frozen=True)
class Message:
    """A response.

    Attributes:
        status: 0 where there is none. content_type: without parameters, in lower case; "" where
            the server tells none. charset: that goes with it, or "". body: decoded.
    """

    status: int
    content_type: str
    charset: str
    body: bytes


def read_message(raw: bytes, most: int) -> Message:
    """Read a response.

    Args:
        raw: from the status line on. most: bytes of the body that are decoded.

    Raises:
        ValueError: when the body can't be decoded, or there is no head.
    """
    end = HEAD_END.search(raw, 0, MOST_HEAD)
    if end is None:
        raise ValueError("the head does not end")
    head, body = raw[: end.start()], raw[end.end() :]
    status = STATUS.match(head)
    headers: dict[bytes, str] = {}
    for name, value in HEADER.findall(head):
        headers.setdefault(name.lower(), value.decode("latin-1").strip())
    content_type = headers.get(b"content-type", "")
    charset = CHARSET.search(content_type)
    return Message(
        int(status[1]) if status else 0,
        content_type.partition(";")[0].strip().lower(),
        charset[1] if charset else "",
        _decoded(
            body,
            headers.get(b"transfer-encoding", "").lower(),
            headers.get(b"content-encoding", "").lower(),
            most,
        ),
    )


def _decoded(body: bytes, transfer: str, encoding: str, most: int) -> bytes:
    if transfer.endswith("chunked") and CHUNK.match(body):
        body = _joined(body)
    if not encoding or encoding == "identity" or _is_decoded(body, encoding):
        return body[:most]
    response = HTTPResponse(
        io.BytesIO(body),
        {"Content-Encoding": encoding.removeprefix("x-")},
        preload_content=False,
    )
    try:
        return response.read(most)
    except HTTPError as error:
        raise ValueError(f"its encoding {encoding} is damaged") from error


def _joined(chunks: bytes) -> bytes:
    """The content of chunks (RFC 9112, section 7.1); of a body that is cut short, what there is."""
    parts = []
    position = 0
    while (found := CHUNK.match(chunks, position)) is not None and (size := int(found[1], 16)):
        position = found.end() + size
        parts.append(chunks[found.end() : position])
    return b"".join(parts)


def _is_decoded(body: bytes, encoding: str) -> bool:
    """Whether a crawler has undone an encoding that the head still tells of."""
    if encoding in ("gzip", "x-gzip"):
        return not body.startswith(GZIP)
    return body[:512].lstrip().startswith(b"<")
