"""HTTP responses as archives hold them (RFC 9112), also with what crawlers change about them.

Some crawlers end lines with a line feed alone, or keep headers that tell of an encoding which they
have undone: so the body decides.
"""

import codecs
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
ENCODINGS = frozenset({"gzip", "x-gzip", "deflate", "br"})  # which browsers have sent for long
GZIP = b"\x1f\x8b"
MOST_HEAD = 1 << 16  # bytes


@dataclass(frozen=True)
class Head:
    """What a response tells of itself.

    Attributes:
        status: 0 where there is none. content_type: without parameters, in lower case; "" where
            the server tells none. charset: that goes with it, or "".
        encodings: of the body, the first one first. chunked: whether it is in chunks.
        size: bytes, with the empty line.
    """

    status: int
    content_type: str
    charset: str
    encodings: tuple[str, ...]
    chunked: bool
    size: int


def read_head(raw: bytes) -> Head:
    """Read a response's head.

    Args:
        raw: from the status line on.

    Raises:
        ValueError: when it does not end.
    """
    end = HEAD_END.search(raw, 0, MOST_HEAD)
    if end is None:
        raise ValueError("the head does not end")
    lines = raw[: end.start()]
    status = STATUS.match(lines)
    headers: dict[bytes, str] = {}
    for name, value in HEADER.findall(lines):
        headers.setdefault(name.lower(), value.decode("latin-1").strip())
    content_type = headers.get(b"content-type", "")
    charset = CHARSET.search(content_type)
    encodings = _listed(headers.get(b"content-encoding", ""))
    transfers = _listed(headers.get(b"transfer-encoding", ""))
    return Head(
        int(status[1]) if status else 0,
        content_type.partition(";")[0].strip().lower(),
        charset[1] if charset else "",
        (*encodings, *(one for one in transfers if one != "chunked")),
        "chunked" in transfers,
        end.end(),
    )


def decode_body(head: Head, body: bytes, most: int) -> bytes:
    """Decode a response's body.

    Args:
        head: of it. body: as it was sent. most: bytes of content that are decoded.

    Raises:
        ValueError: when it can't be decoded.
    """
    if head.chunked and CHUNK.match(body):
        body = _joined(body)
    if not head.encodings or _is_decoded(body, head.encodings[-1]):
        return body[:most]
    if unknown := set(head.encodings) - ENCODINGS:
        raise ValueError(f"its encoding {min(unknown)} is not known")
    response = HTTPResponse(
        io.BytesIO(body),
        {"Content-Encoding": ", ".join(one.removeprefix("x-") for one in head.encodings)},
        preload_content=False,
    )
    try:
        return response.read(most)
    except HTTPError as error:
        raise ValueError("its encoding is damaged") from error


def _listed(value: str) -> tuple[str, ...]:
    names = (one.strip().lower() for one in value.split(","))
    return tuple(one for one in names if one not in ("", "identity"))


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
    return body[:512].removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<")
