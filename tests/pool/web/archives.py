"""Archives for tests, written record by record, so that any byte of them can be wrong."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = "http://page.example/dir/page.html"


def record(
    kind: str,
    body: bytes,
    *,
    url: str = PAGE,
    content_type: str = "application/json",
    length: object = None,
    line_end: str = "\r\n",
) -> bytes:
    """A record, with a length that may be wrong."""
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {url}",
        "WARC-Date: 2024-05-18T01:58:10Z",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    head = "".join(line + line_end for line in lines) + line_end
    return head.encode() + body + (2 * line_end).encode()


def wat_json(links: list[Any], base: str | None = None) -> bytes:
    """The JSON of a WAT record for a page with these links."""
    head = {"Title": "a page", **({} if base is None else {"Base": base})}
    page = {"Head": head, "Links": links}
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": page}}
    return json.dumps({"Envelope": {"Payload-Metadata": payload}}).encode()


def wat(links: list[Any], base: str | None = None, **options: Any) -> bytes:
    """A WAT record."""
    return record("metadata", wat_json(links, base), **options)


def image(url: str, **texts: str) -> dict[str, str]:
    """An image among the links of a WAT record."""
    return {"path": "IMG@/src", "url": url, **texts}


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response as a server sends it."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def response(
    html: bytes | str, *headers: str, content_type: str = "text/html; charset=utf-8", **options: Any
) -> bytes:
    """A record of a page."""
    body = html.encode() if isinstance(html, str) else html
    message = http(body, f"Content-Type: {content_type}", *headers)
    return record("response", message, content_type="application/http; msgtype=response", **options)


def write_archive(path: Path, records: Iterable[bytes]) -> Path:
    """Write records: each a member where the name ends in .gz, as they are otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = (gzip.compress(one) if path.name.endswith(".gz") else one for one in records)
    path.write_bytes(b"".join(members))
    return path
