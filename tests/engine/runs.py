"""Pools to run on, commands in processes of their own, and what a run leaves."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.metadata.metadata import Metadata

CONCEPTS = Metadata.from_entries([*(f"w{i}" for i in range(100)), "w0 w1", "nowhere"])


def captions(rows: int, seed: int = 0) -> list[str]:
    """Eight words each, the first ones frequent."""
    words = np.random.default_rng(seed).geometric(0.03, (rows, 8)) - 1
    return [" ".join(f"w{word}" for word in row) for row in words.tolist()]


def write_file(path: Path, texts: list[str], prefix: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    urls = [f"https://example.org/{prefix}{path.stem}/{i}.jpg" for i in range(len(texts))]
    pq.write_table(pa.table({"url": urls, "text": texts}), path)


def start(*arguments: object, setup: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """Start a command as a shell in the foreground does: Ctrl-C is not ignored.

    No report is written at the end, which would take some seconds.
    """
    more = ["--no-report"] if arguments[0] in ("curate", "sample") else []

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if setup is not None:
            setup()

    return subprocess.Popen(
        [sys.executable, "-m", "metacurate", *map(str, arguments), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def totals(out: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text("utf-8"))
    result: dict[str, Any] = manifest["totals"]
    return result


def contents(out: Path) -> dict[str, bytes]:
    """The subset and the counts, byte by byte."""
    files = [*(out / "curated").iterdir(), out / "counts.parquet"]
    return {path.name: path.read_bytes() for path in files}


def written(out: Path) -> dict[Path, int]:
    """When each unit's files were written."""
    files = [*out.glob("curated/*"), *out.glob(".metacurate/*-*/*")]
    return {path.relative_to(out): path.stat().st_mtime_ns for path in files}
