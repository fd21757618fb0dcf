"""HTTP responses of archives, also those that crawlers have changed."""

import gzip
import zlib

import brotli
import pytest

from metacurate.pool.web.message import Head, decode_body, read_head

from .archives import http

HTML = b"<html>" + bytes(range(32, 127)) * 100
MOST = 1 << 20


def read(raw: bytes, most: int = MOST) -> tuple[Head, bytes]:
    head = read_head(raw)
    return head, decode_body(head, raw[head.size :], most)


def chunked(body: bytes, size: int = 1000) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in [*parts, b""])


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (HTML, []),
        (chunked(HTML), ["Transfer-Encoding: chunked"]),
        (gzip.compress(HTML), ["Content-Encoding: gzip"]),
        (gzip.compress(HTML), ["content-encoding:  GZIP "]),
        (zlib.compress(HTML), ["Content-Encoding: deflate"]),
        (brotli.compress(HTML), ["Content-Encoding: br"]),
        (chunked(gzip.compress(HTML)), ["Transfer-Encoding: chunked", "Content-Encoding: x-gzip"]),
        (HTML, ["Content-Encoding: identity"]),
        (HTML, ["Content-Encoding: gzip"]),
        (HTML, ["Content-Encoding: br", "Transfer-Encoding: chunked"]),
        (HTML, ["Content-Encoding: zstd"]),
        (gzip.compress(HTML), ["Transfer-Encoding: gzip"]),
        (chunked(gzip.compress(HTML)), ["Transfer-Encoding: gzip, chunked"]),
        (gzip.compress(brotli.compress(HTML)), ["Content-Encoding: br, gzip"]),
    ],
)
def test_bodies(body: bytes, headers: list[str]) -> None:
    raw = http(body, "Content-Type: text/html", *headers)
    head, content = read(raw)
    assert (head.status, head.content_type, head.charset, content) == (200, "text/html", "", HTML)
    assert read(raw, 100)[1] == HTML[:100]


@pytest.mark.parametrize(
    ("header", "content_type", "charset"),
    [
        ("Content-Type: text/html; charset=UTF-8", "text/html", "UTF-8"),
        ("CONTENT-TYPE:Text/HTML;Charset='euc-jp'", "text/html", "euc-jp"),
        ('content-type: text/html; boundary=x; charset="iso-8859-1" ', "text/html", "iso-8859-1"),
        ("Content-Type:", "", ""),
        ("X-Content-Type: text/html", "", ""),
    ],
)
def test_types(header: str, content_type: str, charset: str) -> None:
    for raw in (http(b"x", header), http(b"x", header).replace(b"\r\n", b"\n")):
        found, body = read(raw)
        assert (found.content_type, found.charset, body) == (content_type, charset, b"x")


def test_status() -> None:
    assert read_head(http(b"", status="404 Not Found")).status == 404
    assert read(b"nonsense\r\n\r\nx") == (Head(0, "", "", (), False, 12), b"x")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        http(gzip.compress(HTML)[:20] + b"x" * 200, "Content-Encoding: gzip"),
        http(b"\x1f\x8bnonsense", "Content-Encoding: gzip"),
        http(b"\x00\x01nonsense", "Content-Encoding: br"),
        http(b"\x28\xb5\x2f\xfd", "Content-Encoding: zstd"),
    ],
)
def test_what_can_not_be_decoded_is_told(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read(raw)


def test_chunks_that_are_cut_short_give_what_there_is() -> None:
    raw = http(chunked(HTML)[:2500], "Transfer-Encoding: chunked")
    assert HTML.startswith(body := read(raw)[1])
    assert len(body) >= 2000


def test_a_decompression_bomb_is_read_to_the_limit() -> None:
    raw = http(gzip.compress(bytes(200 << 20), 1), "Content-Encoding: gzip")
    assert len(read(raw)[1]) == MOST
