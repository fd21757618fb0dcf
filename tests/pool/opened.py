"""Pools of small files, opened as the commands do it."""

from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.stage import Unit, Watch
from metacurate.pool.files import Source, find_files
from metacurate.pool.reader import Reader
from metacurate.pool.tables import Pool, read_footer

ROWS = {"url": ["u/0", "u/1"], "text": ["a dog", "a cat"]}


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def open_pool(source: Source, **named: Any) -> Pool:
    return Pool.open([read_footer(file) for file in find_files(source)], **named)


def ignoring() -> Watch:
    """Nobody listens, and nobody asks to stop."""
    return Watch(Event(), lambda work: None)


def read(pool: Pool, unit: Unit, columns: list[str] | None = None) -> pa.Table:
    batches = [rows.batch for rows in Reader(pool, columns, ignoring()).batches(unit)]
    return pa.Table.from_batches(batches)
