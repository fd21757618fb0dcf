"""HTTP responses of archives, also those that crawlers have changed."""

import gzip
import zlib

import brotli
import pytest

from metacurate.pool.web.message import Message, read_message

from .archives import http

HTML = b"<html>" + bytes(range(32, 127)) * 100
MOST = 1 << 20


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
    ],
)
def test_bodies(body: bytes, headers: list[str]) -> None:
    raw = http(body, "Content-Type: text/html", *headers)
    assert read_message(raw, MOST) == Message(200, "text/html", "", HTML)
    assert read_message(raw, 100).body == HTML[:100]


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
        found = read_message(raw, MOST)
        assert (found.content_type, found.charset, found.body) == (content_type, charset, b"x")


def test_status() -> None:
    assert read_message(http(b"", status="404 Not Found"), MOST).status == 404
    assert read_message(b"nonsense\r\n\r\nx", MOST) == Message(0, "", "", b"x")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        http(gzip.compress(HTML)[:20] + b"x" * 200, "Content-Encoding: gzip"),
        http(b"\x1f\x8bnonsense", "Content-Encoding: gzip"),
        http(b"\x00\x01nonsense", "Content-Encoding: br"),
    ],
)
def test_what_can_not_be_decoded_is_told(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_message(raw, MOST)


def test_chunks_that_are_cut_short_give_what_there_is() -> None:
    raw = http(chunked(HTML)[:2500], "Transfer-Encoding: chunked")
    assert HTML.startswith(body := read_message(raw, MOST).body)
    assert len(body) >= 2000


def test_a_decompression_bomb_is_read_to_the_limit() -> None:
    raw = http(gzip.compress(bytes(200 << 20), 1), "Content-Encoding: gzip")
    assert len(read_message(raw, MOST).body) == MOST
