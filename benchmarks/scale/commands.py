"""Commands over pools and archives: the time of stages, bytes and memory."""

import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.extract.archives import archive_path
from benchmarks.fresh import Figures, peak_memory
from benchmarks.scale.process import engine_named, memory_field, work_folder
from metacurate import Metadata
from metacurate.curation.curate import curate, plan
from metacurate.engine.manifest import WORK
from metacurate.engine.progress import Silent
from metacurate.engine.storage import walk
from metacurate.pool.dedup import dedup
from metacurate.pool.web.extract import extract


class Stages(Silent):
    """The time that stages take, without what is before, between and behind them.

    Attributes:
        seconds: by stage. workers: the largest peak memory of worker processes, in MB.
    """

    def __init__(self) -> None:
        """Start with none."""
        self.seconds: dict[str, float] = {}
        self.workers = 0.0

    def start(self, title: str, total: int, measure: str = "pairs") -> None:  # noqa: ARG002
        """Begin a stage."""
        self._title, self._began = title, time.perf_counter()

    def advance(self, work: int) -> None:  # noqa: ARG002
        """Look at the processes meanwhile."""
        for process in multiprocessing.active_children():
            self.workers = max(self.workers, memory_field("VmHWM", process.pid))

    def end(self) -> None:
        """Note the time of the stage."""
        self.seconds[self._title] = time.perf_counter() - self._began


def measure_command(command: str, rows: int, engine: str = "local", workers: int = 1) -> Figures:
    """Run a command over a pool twice; tell the second run's stages, and what it read and wrote."""
    metadata = Metadata.read(data.metadata_path())
    pool = data.repeating_pool_path(rows) if command == "dedup" else data.pool_path(rows)
    commands: dict[str, Callable[..., object]] = {
        "curate": partial(curate, pool, metadata),
        "plan": partial(plan, pool, metadata, budgets=[rows // 4]),
        "dedup": partial(dedup, pool),
    }
    told = Stages()
    with work_folder() as folder, engine_named(engine) as one:
        run_it = partial(commands[command], engine=one, workers=workers)
        run_it(out=folder / "first")
        shutil.rmtree(folder / "first")
        run_it(out=folder / "out", progress=told)
        written = sum(n for name, n in walk(folder / "out") if not name.startswith(WORK))
        tables = [pq.ParquetFile(path) for path in (folder / "out").glob("curated/*.parquet")]
        kept = sum(table.metadata.num_rows for table in tables)
    return {
        "stages": told.seconds, "columns": _column_bytes(pool), "written": written, "kept": kept,
        "memory": peak_memory(),
    }  # fmt: skip


def _column_bytes(path: Path) -> dict[str, int]:
    footer = pq.ParquetFile(path).metadata
    found: Counter[str] = Counter()
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            found[column.path_in_schema] += column.total_compressed_size
    return dict(found)


def measure_extract(archives: int) -> Figures:
    """Extract an archive under several names, one after another, and take the median."""
    source = archive_path("wat")
    with work_folder() as folder:
        (folder / "wat").mkdir()
        for number in range(archives):
            shutil.copy(source, folder / f"wat/{number}.warc.wat.gz")
        told = Stages()
        summary = extract(str(folder / "wat"), folder / "out", workers=1, progress=told)
        shards = pq.read_table(folder / "out/_accounting/shards.parquet")
        written = sum(path.stat().st_size for path in (folder / "out").glob("*.parquet"))
    return {
        "seconds": median(shards["seconds"].to_pylist()), "bytes": source.stat().st_size,
        "pages": summary["pages"] / archives, "pairs": summary["kept"] / archives,
        "written": written / archives, "memory": told.workers,
    }  # fmt: skip
