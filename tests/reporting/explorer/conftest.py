"""One explorer for all tests that only look at it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc

from .served import Served, serve

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "<!-- <b>bold</b> {{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe",
    'a"onmouseover="alert(3)',
    "javascript:alert(4)",
    "\0\x1b[31m",
    "&lt;i&gt;",
]
LONG = "fox " * 25_000
URLS = [
    "javascript:alert(5)",
    "data:text/html,<script>alert(6)</script>",
    'https://pictures.test/"><script>alert(7)</script>',
    "https://pictures.test/\u202egnp.exe",
    "http://127.0.0.1:1/secret.png",
    "file:///etc/passwd",
    "https://pictures.test/a.jpg?x=<b>&y='\"",
    "",
]


@pytest.fixture(scope="session")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of 300 plain pairs and some that are none: markup, scripts, steering, length."""
    folder = tmp_path_factory.mktemp("animals")
    words = ["red fox", "fox", "red", "dog", "snow", "st. louis", ",", "owl", *HOSTILE]
    texts = [
        f"a red fox, snow {i}" if i % 3 else f"an owl near St. Louis, a red dog  and snow {i}"
        for i in range(300)
    ]
    urls = [f"https://pictures.test/{i}.jpg" for i in range(300)]
    for i, text in enumerate([*HOSTILE, LONG]):
        texts.append(f"fox {text} fox")
        urls.append(URLS[i % len(URLS)])
    table = pa.table(
        {
            "url": urls,
            "text": texts,
            "language": ["en" if i % 2 else "de" for i in range(len(texts))],
            "note": [HOSTILE[i % len(HOSTILE)] for i in range(len(texts))],
        }
    )
    pq.write_table(table, folder / "pool.parquet")
    metadata = mc.Metadata.from_entries(words)
    mc.curate(folder / "pool.parquet", metadata, threshold=30, out=folder / "out", mode="spaced")
    return folder / "out"


@pytest.fixture(scope="session")
def served(animals: Path) -> Iterator[Served]:
    """The explorer of `animals`, with all that it needs loaded."""
    with serve(animals) as explorer:
        explorer.page("/pairs", fate="all")
        yield explorer
