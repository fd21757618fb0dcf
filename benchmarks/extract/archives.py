"""The archives that are measured on: real ones where there are any, else made ones."""

import gzip
import json
import os
from pathlib import Path

import numpy as np

from benchmarks import data

PAGES = 1_200  # of made archives, about as many as the real ones hold
LINKS, IMAGES = 150, 22  # of a made page


def archive_path(kind: str) -> Path:
    """A WAT or WARC file.

    Args:
        kind: ``wat`` or ``warc``.
    """
    name = {"wat": "pages.warc.wat.gz", "warc": "pages.warc.gz"}[kind]
    if (folder := os.environ.get("METACURATE_DATA")) and (Path(folder) / "web" / name).exists():
        return Path(folder) / "web" / name
    path = data.WORK / f"made.{name}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make = _wat if kind == "wat" else _warc
        path.write_bytes(b"".join(gzip.compress(make(i), 6) for i in range(PAGES)))
    return path


def describe(kind: str) -> str:
    """One sentence about an archive.

    Args:
        kind: ``wat`` or ``warc``.
    """
    path = archive_path(kind)
    made = "made pages" if path.name.startswith("made.") else "1,221 real pages"
    return f"{path.name}: {made}, {path.stat().st_size / 1e6:.1f} MB"


def _texts(page: int) -> list[str]:
    captions = data.captions()
    random = np.random.default_rng(page)
    return [captions[int(i)].as_py() or "" for i in random.integers(0, len(captions), LINKS)]


def _url(page: int) -> str:
    return f"https://site{page % 97}.example/section/page-{page}.html"


def _wat(page: int) -> bytes:
    texts = _texts(page)
    links = [{"path": "A@/href", "url": f"/section/{i}", "text": t} for i, t in enumerate(texts)]
    links += [
        {"path": "IMG@/src", "url": f"/images/{page}-{i}.jpg", "alt": texts[i] if i % 2 else ""}
        for i in range(IMAGES)
    ]
    html = {"Head": {"Title": texts[0]}, "Links": links}
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": html}}
    header = {"WARC-Target-URI": _url(page)}
    envelope = {"Payload-Metadata": payload, "WARC-Header-Metadata": header}
    record = {"Container": {"Filename": "made.warc.gz"}, "Envelope": envelope}
    return _record("metadata", "application/json", page, json.dumps(record).encode())


def _warc(page: int) -> bytes:
    texts = _texts(page)
    body = "".join(f"<div><p>{t}</p><a href='/{i}'>{t}</a></div>" for i, t in enumerate(texts))
    body += "".join(f"<img src='/{page}-{i}.jpg' alt='{i} pictures'>" for i in range(IMAGES))
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    content = f"{head}<!doctype html><html><body>{body}</body></html>".encode()
    return _record("response", "application/http; msgtype=response", page, content)


def _record(kind: str, content_type: str, page: int, body: bytes) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {_url(page)}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"
