"""Scale: what engines and bookkeeping cost, and what that makes of whole crawls.

`run` measures and models. Each measurement is a call of `main` in a process of its own, on made
pools and units; `model` needs nothing but the figures.
"""

import gc
import multiprocessing
import os
import pickle
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial, wraps
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from benchmarks import data
from benchmarks.extract.archives import archive_path
from benchmarks.fresh import Figures, agree, answer, measure, peak_memory, seconds
from benchmarks.machine import best_efficiency
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import QUICK, Sizes
from metacurate import Matcher, Metadata
from metacurate.curation.count import Counts
from metacurate.curation.curate import count, curate, plan, sample
from metacurate.curation.plan import MinThresholds, PlanTask
from metacurate.curation.stages import Tally
from metacurate.engine.local import LocalEngine
from metacurate.engine.manifest import WORK, Records, write_task
from metacurate.engine.progress import Silent
from metacurate.engine.ray import RayEngine
from metacurate.engine.run import TASKS_PER_WORKER, UNITS_PER_TASK, Outcome
from metacurate.engine.run import run as run_stage
from metacurate.engine.slurm import SlurmEngine
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import arrow_tables, walk, write_arrow, write_text
from metacurate.engine.stores import EXTRAS, Place, place_of
from metacurate.engine.work import Engine, Work
from metacurate.engine.workspace import SHARDS_FILE, Workspace, open_workspace
from metacurate.pool.dedup import dedup
from metacurate.pool.dedup_stages import KeyStage
from metacurate.pool.files import InputFile, find_files
from metacurate.pool.tables import FOOTERS_AT_ONCE, Pool, PoolFile, read_footers
from metacurate.pool.web.crawl import ArchiveFile
from metacurate.pool.web.extract import extract
from metacurate.pool.web.sieve import Wanted
from metacurate.pool.web.stage import ExtractStage
from metacurate.pool.winners import (
    MOST_PARTITIONS,
    PARTITION_ROWS,
    RECORD_BYTES,
    Keyed,
    KeyTask,
    decide,
)
from metacurate.schema import EXTRACTED

MOST_OVERHEAD = 5.0  # ms a unit
MOST_MEMORY = 500.0  # MB, of the process that runs a stage
LEAST_EFFICIENCY = 0.85
WORKERS = (1, 2)
UNIT_ROWS = 50_000  # of 10 billion pairs in 200,000 shards
MATCHED = 0.8  # of them match
ENTRIES, COUNTED = 500_000, 80_000  # of the metadata, and those that a task's texts match
KEY_BYTES = 32  # of what `dedup` notes of a row: key, hash, place


@dataclass(frozen=True)
class Amount:
    """How much is measured.

    Attributes:
        units: of empty work, on each engine. listed: files of a folder.
        planned: files of a made pool, and records that are accounted for.
        pairs: whose smallest thresholds are mapped. rows: that are decided about.
        partials: that are added up. archives: that are extracted.
    """

    units: int
    listed: int
    planned: int
    pairs: int
    rows: int
    partials: int
    archives: int


MUCH = Amount(100_000, 20_000, 200_000, 20_000_000, 20_000_000, 64, 9)
LITTLE = Amount(2_000, 500, 5_000, 4_000_000, 2_000_000, 8, 3)


@dataclass(frozen=True)
class Assumed:
    """What the model takes as given. Prices are list prices of AWS, us-east-1, and change.

    Attributes:
        archives: WAT files of a crawl. archive_bytes: of one, compressed. pages: of the crawl.
        pairs: of a pool. shards: files that it lies in. kept: share that balancing keeps.
        slots: tasks at once. latency: seconds of a request to a store.
        bandwidth: bytes a second of a connection to it.
        vcpu_hour: dollars, on demand (c7i).
        gets, puts: dollars for a thousand requests of S3: GET and HEAD; PUT and LIST.
    """

    archives: int = 90_000
    archive_bytes: float = 330e6
    pages: float = 2.7e9
    pairs: float = 10e9
    shards: int = 200_000
    kept: float = 0.25
    slots: int = 256
    latency: float = 0.03
    bandwidth: float = 80e6
    vcpu_hour: float = 0.045
    gets: float = 0.0004
    puts: float = 0.005

    @property
    def unit_rows(self) -> float:
        """Pairs of a shard."""
        return self.pairs / self.shards


# Work that is done at once


@dataclass(frozen=True)
class Nothing(Stage):
    """Units without work; a small file of each where it `writes`."""

    number: int
    writes: bool = False
    name = "nothing"
    measure: ClassVar[str] = "units"
    outputs: ClassVar[str | None] = "made"

    def configuration(self) -> dict[str, Any]:
        """Its fields."""
        return {"number": self.number, "writes": self.writes}

    def units(self) -> Sequence[Unit]:
        """Made ones."""
        return [_unit(i) for i in range(self.number)]

    def task(self, outputs: Place, watch: Watch) -> "NothingTask":
        """Begin to do nothing."""
        return NothingTask(outputs if self.writes else None, watch)


@dataclass(frozen=True)
class NothingInProcesses(Nothing):
    """The same, in processes."""

    runs_in: Literal["threads", "processes"] = "processes"


class NothingTask(Task):
    """Counts its units."""

    def __init__(self, outputs: Place | None, watch: Watch) -> None:
        """Start at zero."""
        self._outputs = outputs
        self._watch = watch
        self._done = 0

    def process(self, unit: Unit) -> UnitRecord:
        """Count it."""
        began = time.monotonic()
        self._watch.advance(unit.rows)
        self._done += 1
        output = None
        if self._outputs is not None:
            output = f"{unit.name}.parquet"
            write_text(self._outputs / output, "made")
        return UnitRecord.of(unit, began, rows_read=unit.rows, invalid=0, output=output)

    def partial(self) -> pa.Table:
        """How many there were."""
        return pa.table({"units": [self._done]})


def _unit(number: int) -> Unit:
    path = f"/pools/crawl/{number % 100:02d}/part-{number:06d}.parquet"
    return Unit(path, f"{number} 1700000000000000000", 0, UNIT_ROWS, 0)


# What runs in processes of their own


def measure_engine(engine: str, units: int, in_processes: bool = False) -> Figures:
    """Bring units without work to their end, then find all of them done."""
    stage = (NothingInProcesses if in_processes else Nothing)(units)
    with _folder() as folder, _engine(engine) as one:
        slots = one.slots(None if engine == "slurm" else WORKERS[-1])
        run_it = partial(_bring_to_end, stage, folder / "out", one, slots)
        if engine == "ray":  # its processes begin with the first tasks
            _bring_to_end(Nothing(8 * WORKERS[-1]), folder / "first", one, slots)
        before = peak_memory()
        names, planned = _timed(lambda: [unit.name for unit in stage.units()])
        outcome, took = _timed(run_it)
        memory = peak_memory()
        done = sum(table["units"][0].as_py() for table in arrow_tables(outcome.partials))
        agree("units", {"asked": str(units), "done": str(done)})
        sizes = [size for _, size in walk(folder / "out")]
        records = Records(folder / "out", stage)
        _, load = _timed(lambda: records.load(names, folder / "out/made", alone=True))
        again, resume = _timed(run_it)
        agree("units that were done before", {"all": str(units), "found": str(again.resumed)})
    return {
        "seconds": took, "memory": memory, "before": before, "files": len(sizes),
        "bytes": sum(sizes), "tasks": len(outcome.partials), "plan": planned, "load": load,
        "resume": resume,
    }  # fmt: skip


@contextmanager
def _engine(name: str) -> Iterator[Engine]:
    """An engine; of Ray, a cluster that ends with the block, and none that happens to be here."""
    if name == "slurm":
        yield SlurmEngine(cpus=1, mem="2G", array_parallelism=WORKERS[-1], time="1:00:00")
    elif name == "ray":
        import ray

        try:
            yield RayEngine("local")
        finally:
            ray.shutdown()
    else:
        yield LocalEngine()


def _bring_to_end(stage: Stage, out: Path, engine: Engine, slots: int) -> Outcome:
    return run_stage(stage, out, engine, slots, progress=Silent(), check=lambda: None)


def measure_requests(command: str, files: int, workers: int) -> Figures:
    """Count what a command asks a store of memory that holds its pool and its outputs."""
    texts = [" ".join(f"w{i * k % 97}" for k in range(6)) for i in range(200)]
    made: dict[str, list[Any]] = dict.fromkeys(EXTRACTED.names, texts)
    made["language_score"] = [0.5] * len(texts)
    for number in range(files):
        made["url"] = [f"https://example.org/{number}/{i}.jpg" for i in range(len(texts))]
        content = BytesIO()
        pq.write_table(pa.table(made, schema=EXTRACTED), content)
        fsspec.filesystem("memory").pipe_file(f"/pool/{number:06d}.parquet", content.getvalue())
    metadata = Metadata.from_entries([f"w{i}" for i in range(90)])
    matcher, pool = Matcher(metadata), "memory://pool"
    requests = _count_requests()
    count(pool, matcher, out="memory://counted", workers=workers)

    def nothing(out: str, workers: int) -> None:
        configuration = {"command": "nothing", "pool": []}
        with open_workspace(place_of(out), configuration, workers=workers) as space:
            space.claim()
            space.run(Nothing(files, writes=True))

    counted = "memory://counted"
    commands: dict[str, Callable[..., object]] = {
        "nothing": nothing,
        "count": partial(count, pool, matcher),
        "plan": partial(plan, pool, metadata, budgets=[50], counts=counted),
        "sample": partial(sample, pool, metadata, counted, threshold=20.0),
        "dedup": partial(dedup, pool),
    }
    requests.clear()
    commands[command](out="memory://out", workers=workers)
    return {"requests": dict(requests)}


ASKED = {
    "put_file": "PUT", "pipe_file": "PUT", "cat_file": "GET", "get_file": "GET", "ls": "LIST",
    "find": "LIST", "glob": "LIST", "isdir": "LIST", "info": "HEAD", "exists": "HEAD",
    "isfile": "HEAD", "open": "HEAD", "rm_file": "DELETE", "rm": "DELETE",
}  # fmt: skip  # calls of fsspec, and the request that s3fs makes of each


def _count_requests() -> Counter[str]:
    """Count from now on what is asked of the store in memory, as S3 would be asked for it."""
    requests: Counter[str] = Counter()
    inside, lock = threading.local(), threading.Lock()

    def counted(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Count calls, but not those that the file system makes of itself."""

        @wraps(call)
        def outermost(*arguments: Any, **named: Any) -> Any:
            if getattr(inside, "it", False):
                return call(*arguments, **named)
            with lock:
                requests[kind] += 1
            inside.it = True
            try:
                return call(*arguments, **named)
            finally:
                inside.it = False

        return outermost

    opens, tells = MemoryFileSystem._open, MemoryFileSystem.info
    reads = counted("GET", BytesIO.read)

    class Opened(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            content: bytes = reads(self, size)
            return content

    def opened(self: Any, path: str, mode: str = "rb", **named: Any) -> Any:
        file = opens(self, path, mode, **named)
        return Opened(file.getvalue()) if mode == "rb" else file

    def info(self: Any, path: str, **named: Any) -> Any:
        found = tells(self, path, **named)  # the time of a file as listings tell it
        created = found.get("created")
        return found | ({"created": created.timestamp()} if hasattr(created, "timestamp") else {})

    EXTRAS["memory"] = ""  # so that what its listings tell is believed, as of S3
    MemoryFileSystem.info, MemoryFileSystem._open = info, opened
    for name, kind in ASKED.items():
        setattr(MemoryFileSystem, name, counted(kind, getattr(MemoryFileSystem, name)))
    return requests


def measure_listing(files: int) -> Figures:
    """List a folder of small files, and read all footers."""
    with _folder() as folder:
        first = folder / "pool/000000.parquet"
        first.parent.mkdir()
        pairs = {"url": [f"https://example.org/{i}" for i in range(10)], "text": ["a text"] * 10}
        pq.write_table(pa.table(pairs), first)
        for number in range(1, files):
            os.link(first, first.with_name(f"{number:06d}.parquet"))
        found, listed = _timed(lambda: find_files(str(first.parent)))
        footers, read = _timed(lambda: read_footers(found))
        units, opened = _timed(lambda: [unit.name for unit in Pool.open(footers).units])
    agree("files", {"made": str(files), "units": str(len(units))})
    return {"list": listed, "footers": read, "open": opened}


def measure_stage(files: int) -> Figures:
    """What all tasks are sent: a stage over a pool; and what it takes where it is unpacked."""
    content, figures = _packed_stage(files)
    gc.collect()
    before = _memory("RssAnon")
    again, load = _timed(lambda: pickle.loads(content))
    unpacked = _memory("RssAnon") - before
    agree("files", {"pool": str(files), "unpacked": str(len(again.stage.pool.files))})
    paths = (f"s3://commoncrawl{unit.source}" for unit in map(_unit, range(files)))
    crawl = ExtractStage(tuple(ArchiveFile(p, "immutable", 0) for p in paths), Wanted(), ())
    sent, dump = _pack(crawl)
    return {
        **figures, "load": load, "unpacked": unpacked, "crawl_bytes": len(sent),
        "crawl": dump + _timed(lambda: pickle.loads(sent))[1],
    }  # fmt: skip


def _packed_stage(files: int) -> tuple[bytes, Figures]:
    before = _memory("RssAnon")
    stage = KeyStage(_made_pool(files, UNIT_ROWS), "pair", 0)
    _, units = _timed(lambda: [unit.name for unit in stage.units()])  # as a run asks for them
    held = _memory("RssAnon") - before
    content, dump = _pack(stage)
    return content, {"units": units, "held": held, "bytes": len(content), "dump": dump}


def _pack(stage: Stage) -> tuple[bytes, float]:
    work = Work(stage, Path("out"), Path("out"))
    content, time_ = _timed(lambda: pickle.dumps(work, protocol=5))
    return content, time_


def _made_pool(files: int, rows: int) -> Pool:
    schema = pa.schema([("url", pa.string()), ("text", pa.string())])
    units = map(_unit, range(files))
    inputs = (InputFile(unit.source, unit.identity, "parquet", size=10_000_000) for unit in units)
    made = (PoolFile(one, one.path, (rows,), schema, None, 10_000_000) for one in inputs)
    return Pool(tuple(made), "url", "text", 0)


def measure_accounting(units: int) -> Figures:
    """Write what became of each unit, and the manifest."""
    before = _memory("RssAnon")
    records = [
        UnitRecord(
            unit.name, unit.source, 0, UNIT_ROWS, 0, 0.5, kept=20_000, balanced_away=20_000,
            unmatched=10_000, output=f"{unit.name}.parquet", work=UNIT_ROWS,
        )
        for unit in map(_unit, range(units))
    ]  # fmt: skip
    held, all_ = _memory("RssAnon") - before, _memory("VmRSS")
    _forget_peak()
    with _folder() as folder:
        outcome = Outcome(records, [], 0, ())
        configuration = {"command": "curate", "pool": ["/pools/crawl"]}
        space = Workspace(folder, configuration, LocalEngine(), 1, "fail", Silent())
        _, took = _timed(lambda: space.write_shards(outcome))
        space.write_manifest(space.unit_totals(outcome), {})
        size = (folder / SHARDS_FILE).stat().st_size
        manifest = (folder / "manifest.json").stat().st_size
    return {
        "held": held, "seconds": took, "bytes": size, "manifest": manifest,
        "more": peak_memory() - all_,
    }  # fmt: skip


def measure_reduce(partials: int) -> Figures:
    """Add up what tasks counted."""
    random = np.random.default_rng(0)
    with _folder() as folder:
        places: list[Place] = []
        for number in range(partials):
            tally = Tally.zeros(ENTRIES)
            ids = random.choice(ENTRIES, COUNTED, replace=False)
            tally.values[ids] = random.integers(1, 1000, COUNTED)
            places.append(folder / f"{number}.arrow")
            write_arrow(places[-1], tally.to_table())
        took = seconds(lambda: Tally.total(places, ENTRIES), 3)
        return {"seconds": took, "bytes": sum(path.stat().st_size for path in folder.iterdir())}


def measure_thresholds(pairs: int) -> Figures:
    """Find a budget's threshold in what tasks leave."""
    random = np.random.default_rng(0)
    matched = int(UNIT_ROWS * MATCHED)
    units = pairs // matched

    def left() -> pa.Table:
        mins = np.sort(random.random(matched) * 1e5)
        upto = np.cumsum(random.integers(1, 8, matched).astype(np.uint64))
        return pa.table({"min_threshold": mins, "matches": upto})

    with _folder() as folder:
        places: list[Place] = []
        for first in range(0, units, UNITS_PER_TASK):
            runs = [left() for _ in range(min(UNITS_PER_TASK, units - first))]
            places.append(
                _write_task(folder, _unit(first), pa.concat_tables(runs), PlanTask.mapped)
            )
        size = sum(path.stat().st_size for path in folder.glob("*.arrow"))
        del runs
        counts = Counts(np.full(ENTRIES, 100_000, np.uint64), 0, 0, "", "paper")
        before = _memory("RssAnon")
        found, read = _timed(lambda: MinThresholds.read(places, counts, pairs))
        _, asked = _timed(lambda: found.largest_threshold(units * matched // 2))
        held = max(0.0, _memory("RssAnon") - before)
    return {
        "pairs": units * matched, "units": units, "seconds": read + asked, "bytes": size,
        "held": held,
    }  # fmt: skip


def measure_decide(rows: int, unit_rows: int, alone: bool) -> Figures:
    """Decide about rows, a fourth of which repeat others.

    Args:
        rows: of all. unit_rows: of a unit.
        alone: whether each unit is recorded for itself: many files, to see what a file costs.
    """
    pool = _made_pool(rows // unit_rows, unit_rows)
    random = np.random.default_rng(0)

    class Noted(KeyTask):
        def process(self, unit: Unit) -> UnitRecord:
            keys = random.integers(0, 2**63, unit.rows, np.uint64)
            keys[::4] = random.integers(0, rows // 1000, len(keys[::4]), np.uint64)
            hashes = np.stack([keys * np.uint64(0x9E3779B97F4A7C15), keys])
            self.collect(unit, [Keyed(np.arange(unit.rows), hashes, (keys,))])
            return UnitRecord.of(unit, 0.0, rows_read=unit.rows, invalid=0)

    with _folder() as folder:
        places: list[Place] = []
        task = Noted()
        for unit in pool.units:
            task.process(unit)
            if task.full or alone or unit is pool.units[-1]:
                places.append(_write_task(folder, unit, task.partial(), KeyTask.mapped))
                task.clear()
        noted = sum(path.stat().st_size for path in folder.glob("*.arrow"))
        del task
        before = _memory("VmRSS")
        _forget_peak()
        fates, took = _timed(lambda: decide(folder, "0" * 16, pool, places))
        peak = peak_memory()
        left = fates.count()
    assert 0.2 * rows < left < 0.25 * rows, f"{left} of {rows} rows would go"
    return {
        "rows": pool.rows, "seconds": took, "bytes": noted,
        "ranges": len(places) * -(-pool.rows // PARTITION_ROWS), "files": len(places),
        "more": peak - before,
    }  # fmt: skip


def _write_task(folder: Path, unit: Unit, left: pa.Table, mapped: bool) -> Place:
    """Record what a task left, as the engine does; of its units one will do."""
    record = UnitRecord.of(unit, 0.0, rows_read=unit.rows, invalid=0)
    return write_task(folder, [record], left, mapped=mapped).with_suffix(".arrow")


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
            self.workers = max(self.workers, _memory("VmHWM", process.pid))

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
    with _folder() as folder, _engine(engine) as one:
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
    with _folder() as folder:
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


def main(part: str, **options: Any) -> Figures:
    """Measure a part.

    Args:
        part: names the function. **options: what it takes.
    """
    found: Figures = globals()[f"measure_{part}"](**options)
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    data.WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.WORK) as folder:
        yield Path(folder)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def _forget_peak() -> None:
    """Have `peak_memory` begin again with what this process holds now, where Linux lets it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(field: str, process: int | None = None) -> float:
    """A field of a process's memory in MB: this one's, or another's; 0 where it can't be told."""
    try:
        status = Path(f"/proc/{process or 'self'}/status").read_text()
    except OSError:
        return 0.0
    found = (line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:"))
    return int(next(found, "0")) * 1024 / 1e6


# The benchmark

ENGINES: dict[str, dict[str, Any]] = {
    "local, threads": {"engine": "local"},
    "local, processes": {"engine": "local", "in_processes": True},
    "ray": {"engine": "ray"},
    "slurm": {"engine": "slurm"},
}
COMMANDS = ("nothing", "count", "plan", "sample", "dedup")
KINDS = ("GET", "HEAD", "LIST", "PUT", "DELETE")
FOOTER = 2  # requests for a file while a run is planned
FILES = ((32, 1), (96, 1), (96, 4))  # files and workers: 8, 8 and 32 tasks


def run(sizes: Sizes) -> Section:
    amount, pool = LITTLE if sizes is QUICK else MUCH, sizes.pools[-1]
    for path in (data.metadata_path(), data.pool_path(pool), data.repeating_pool_path(pool)):
        assert path.exists()  # made before anything is timed
    part = partial(measure, "scale")
    figures: Figures = {
        "amount": {**asdict(amount), "pool": pool},
        "efficiency": {name: _efficiency(name, pool, sizes.runs) for name in ("local", "ray")},
        "engines": {
            name: part(part="engine", units=amount.units, **options)
            for name, options in ENGINES.items()
            if name != "slurm" or shutil.which("sbatch")
        },
        "requests": {name: _requests(name) for name in COMMANDS},
        "listing": part(part="listing", files=amount.listed),
        "stage": part(part="stage", files=amount.planned),
        "accounting": part(part="accounting", units=amount.planned),
        "reduce": part(part="reduce", partials=amount.partials),
        "thresholds": part(part="thresholds", pairs=amount.pairs),
        "decide": [
            part(part="decide", rows=amount.rows, unit_rows=rows, alone=rows < UNIT_ROWS)
            for rows in (UNIT_ROWS, UNIT_ROWS // 10)
        ],
        "commands": {
            name: part(part="command", command=name, rows=pool)
            for name in ("curate", "plan", "dedup")
        },
        "extract": part(part="extract", archives=amount.archives),
    }
    tables = [
        _engine_table(figures), _efficiency_table(figures), _request_table(figures),
        _driver_table(figures), *model(figures, Assumed()),
    ]  # fmt: skip
    return Section("scale", tables, figures)


def _efficiency(engine: str, rows: int, times: int) -> Figures:
    runs: dict[int, list[Figures]] = {workers: [] for workers in WORKERS}
    best = []
    for _ in range(times):
        best.append(best_efficiency())
        for workers, found in runs.items():
            options: Figures = {"rows": rows, "engine": engine, "workers": workers}
            found.append(measure("scale", part="command", command="curate", **options))
    agree("kept", {f"{w} {i}": str(one["kept"]) for w in runs for i, one in enumerate(runs[w])})
    alone, both = (median(sum(one["stages"].values()) for one in runs[w]) for w in WORKERS)
    return {"alone": alone, "both": both, "possible": median(best), "runs": runs}


def _requests(command: str) -> dict[str, dict[str, float]]:
    """Requests of a command, by kind: so many for each unit, for each task, and besides."""
    runs = [
        measure("scale", part="requests", command=command, files=files, workers=workers)
        for files, workers in FILES
    ]
    (files, more, _), tasks = (f for f, _ in FILES), [_tasks(*one) for one in FILES]
    result: dict[str, dict[str, float]] = {"unit": {}, "task": {}, "run": {}}
    for kind in KINDS:
        few, many, cut = (one["requests"].get(kind, 0) for one in runs)
        unit, task = (many - few) / (more - files), (cut - many) / (tasks[2] - tasks[1])
        result["unit"][kind], result["task"][kind] = unit, task
        result["run"][kind] = few - unit * files - task * tasks[0]
    return result


def _tasks(units: float, slots: int) -> int:
    """So many tasks a run makes of units that are a file each."""
    size = min(UNITS_PER_TASK, max(1, int(units) // (slots * TASKS_PER_WORKER)))
    return -(-int(units) // size)


Columns = dict[str, Callable[[Any], str]]


def _table(title: str, note: str, columns: Columns, items: Iterable[Any]) -> Table:
    """A table with a row for each item, and columns that are told how to write it."""
    rows = [[cell(item) for cell in columns.values()] for item in items]
    return Table(title, list(columns), rows, note)


def _engine_table(figures: Figures) -> Table:
    units, engines = figures["amount"]["units"], figures["engines"]
    met = all(
        one["seconds"] / units * 1000 <= MOST_OVERHEAD and one["memory"] <= MOST_MEMORY
        for one in engines.values()
    )
    missing = ", ".join(name for name in ENGINES if name not in engines)
    note = (
        f"A stage of {units:,} units without work, {WORKERS[-1]} tasks at once: what is left is "
        "planning, tasks and records. *Peak* is of the process that runs it. *Plan* makes units "
        "and their names, *load* reads the records of all, *again* is the whole run once all are "
        "done. What Slurm takes is mostly the time until jobs begin and are looked at.\n"
        f"Aims: {MOST_OVERHEAD:.0f} ms a unit, {MOST_MEMORY:.0f} MB: {verdict(met)}."
        + (f"\nNot measured, since this machine has no sbatch: {missing}." if missing else "")
    )
    columns: Columns = {
        "engine": lambda one: one[0],
        "s": lambda one: f"{one[1]['seconds']:.1f}",
        "ms a unit": lambda one: f"{one[1]['seconds'] / units * 1000:.3f}",
        "peak MB": lambda one: f"{one[1]['memory']:.0f}",
        "tasks": lambda one: f"{one[1]['tasks']:,}",
        "files": lambda one: f"{one[1]['files']:,}",
        "MB": lambda one: f"{one[1]['bytes'] / 1e6:.1f}",
        "plan s": lambda one: f"{one[1]['plan']:.2f}",
        "load s": lambda one: f"{one[1]['load']:.2f}",
        "again s": lambda one: f"{one[1]['resume']:.2f}",
    }
    return _table("Units without work", note, columns, engines.items())


def _efficiency_table(figures: Figures) -> Table:
    found = {name: one["alone"] / 2 / one["both"] for name, one in figures["efficiency"].items()}
    possible = min(one["possible"] for one in figures["efficiency"].values())
    met = min(found.values()) >= LEAST_EFFICIENCY
    note = (
        f"The stages `count` and `sample` of `curate` over {figures['amount']['pool']:,} pairs, in "
        "the second run of a process: without the start of Ray and of its workers. *Possible* is "
        "the efficiency of two threads that share nothing, measured between runs.\n"
        f"Aim: {LEAST_EFFICIENCY:.0%}: {verdict(met, possible)}."
    )
    columns: Columns = {
        "engine": lambda one: one[0],
        "1 worker s": lambda one: f"{one[1]['alone']:.2f}",
        "2 workers s": lambda one: f"{one[1]['both']:.2f}",
        "efficiency": lambda one: f"{found[one[0]]:.0%}",
        "possible": lambda one: f"{one[1]['possible']:.0%}",
    }
    return _table("Two workers", note, columns, figures["efficiency"].items())


def _request_table(figures: Figures) -> Table:
    note = (
        "What commands ask of a store that holds pool and outputs, counted in memory as s3fs would "
        "ask S3: for each unit (a file of one row group with the columns that `extract` writes), "
        "for each task, and once. *nothing* writes a file for each unit. `dedup` has three passes "
        "and two stages, so two tasks for each of another's. A LIST tells a thousand names; while "
        "a run lasts, its lock asks a LIST, a GET and a PUT every five seconds."
    )
    columns: Columns = {"command": lambda one: one[0], "for each": lambda one: one[1]}
    for kind in KINDS:
        columns[kind] = lambda one, kind=kind: f"{one[2][kind]:.3g}"  # type: ignore[misc]
    items = [
        (command, what, found)
        for command, requests in figures["requests"].items()
        for what, found in requests.items()
    ]
    return _table("Requests to a store", note, columns, items)


def _driver_table(figures: Figures) -> Table:
    amount, listing, stage = figures["amount"], figures["listing"], figures["stage"]
    accounting, planned, asked = figures["accounting"], amount["planned"], figures["thresholds"]
    items: list[tuple[str, int, float]] = [
        ("list files", amount["listed"], listing["list"]),
        ("read footers", amount["listed"], listing["footers"]),
        ("find columns and units", amount["listed"], listing["open"]),
        (f"pack a stage over files ({stage['bytes'] / 1e6:.1f} MB)", planned, stage["dump"]),
        (f"unpack it ({stage['unpacked']:.0f} MB in memory)", planned, stage["load"]),
        (
            f"pack and unpack one over archives ({stage['crawl_bytes'] / 1e6:.1f} MB)",
            planned,
            stage["crawl"],
        ),
        (
            f"write shards.parquet ({accounting['bytes'] / 1e6:.1f} MB; takes "
            f"{accounting['more']:.0f} MB meanwhile)",
            planned,
            accounting["seconds"],
        ),
        ("add up the counts of a task", amount["partials"], figures["reduce"]["seconds"]),
        (
            f"a budget's threshold, of units ({asked['bytes'] / asked['pairs']:.1f} bytes of disk "
            f"and {asked['held'] * 1e6 / asked['pairs']:.1f} of memory a pair)",
            asked["units"],
            asked["seconds"],
        ),
    ]
    items += [
        (
            f"which row stays, of rows in {one['files']:,} files "
            f"({one['bytes'] / one['rows']:.1f} bytes of disk a row; takes {one['more']:.0f} MB)",
            one["rows"],
            one["seconds"],
        )
        for one in figures["decide"]
    ]
    note = (
        "What the process that runs all does alone, on a disk of this machine. It holds "
        f"{accounting['held'] * 1e3 / planned:.2f} kB for the record of each unit of each stage, "
        f"and {stage['held'] * 1e3 / planned:.2f} kB for each file of a pool and its unit."
    )
    columns: Columns = {
        "what": lambda one: one[0],
        "number": lambda one: f"{one[1]:,}",
        "s": lambda one: f"{one[2]:.3f}",
        "us each": lambda one: f"{one[2] / one[1] * 1e6:.2f}",
    }
    return _table("The driver", note, columns, items)


# The model of whole crawls


@dataclass(frozen=True)
class Step:
    """A step over a whole crawl or pool.

    Attributes:
        name: of the command, or stage. units: of work.
        seconds, read, written: of a unit: time, and bytes.
        requests: of all, by kind. planning: so many of a unit are the driver's.
        files: that are made.
        driver: seconds of what the driver does alone.
        worker, memory: MB, of a worker and of the driver.
    """

    name: str
    units: int
    seconds: float
    read: float
    written: float
    requests: dict[str, float]
    planning: int
    files: float
    driver: float
    worker: float
    memory: float

    @property
    def hours(self) -> float:
        """Of a CPU."""
        return self.units * self.seconds / 3600

    def waits(self, given: Assumed) -> float:
        """Hours that tasks wait for a store, each for one request after another.

        Args:
            given: how long a request takes.
        """
        asked = sum(self.requests[kind] for kind in ("GET", "HEAD", "PUT"))
        asked = max(0.0, asked - self.planning * self.units) * given.latency
        moved = self.units * (self.read + self.written) / given.bandwidth
        return (asked + moved) / 3600


def model(figures: Figures, given: Assumed) -> list[Table]:
    """What whole crawls would take.

    Args:
        figures: of `run`. given: what can't be measured here.
    """
    steps = [_extract_step(figures, given), *_pool_steps(figures, given)]
    return [_work_table(steps, given), _cost_table(steps, given), _limits_table(figures, given)]


def _extract_step(figures: Figures, given: Assumed) -> Step:
    found, units = figures["extract"], given.archives
    tasks = _tasks(units, given.slots)
    requests = _all_requests(figures["requests"]["nothing"], units, tasks)
    requests |= {kind: requests[kind] + units for kind in ("GET", "HEAD")}  # of archives
    return Step(
        "extract",
        units,
        found["seconds"] / found["bytes"] * given.archive_bytes,
        given.archive_bytes,
        found["written"] / found["pages"] * given.pages / units,
        requests,
        0,
        units + 2 * tasks,
        0.0,
        found["memory"],
        _driver_memory(figures, figures["engines"]["local, threads"]["before"], units, 1),
    )


def _pool_steps(figures: Figures, given: Assumed) -> list[Step]:
    commands, units, tasks = figures["commands"], given.shards, _tasks(given.shards, given.slots)
    share = given.unit_rows / figures["amount"]["pool"]
    columns = commands["curate"]["columns"]
    all_columns, noted = sum(columns.values()) * share, figures["decide"][0]
    added = figures["reduce"]["seconds"] / figures["amount"]["partials"] * tasks
    partial_bytes = figures["reduce"]["bytes"] / figures["amount"]["partials"] * tasks / units
    asked_of = figures["thresholds"]
    pair = asked_of["bytes"] / asked_of["pairs"] * MATCHED
    kept = commands["curate"]["written"] / commands["curate"]["kept"] * given.kept

    def step(
        name: str, command: str, stage: str, read: float, written: float, files: float,
        driver: float, stages: int = 1,
    ) -> Step:  # fmt: skip
        asked = figures["requests"].get(name.partition(":")[0], {})
        unpacked = figures["stage"]["unpacked"] / figures["amount"]["planned"] * units
        return Step(
            name,
            units,
            commands[command]["stages"][stage] * share,
            read,
            written,
            dict.fromkeys(KINDS, 0.0)
            if name == "dedup: copy"
            else _all_requests(asked, units, tasks),
            FOOTER,
            files,
            driver,
            commands[command]["memory"] + unpacked,
            _driver_memory(figures, commands[command]["memory"], units, stages),
        )

    copied = commands["dedup"]["written"] * share
    keys = noted["bytes"] / noted["rows"] * given.unit_rows
    deciding = sum(_decide_seconds(figures, given))
    return [
        step("dedup: keys", "dedup", "keys", all_columns, keys, 2 * _key_files(given), deciding),
        step("dedup: copy", "dedup", "dedup", all_columns, copied, units + 2 * tasks, 0.0, 2),
        step("count", "curate", "count", columns["text"] * share, partial_bytes, 2 * tasks, added),
        step(
            "plan", "plan", "plan", all_columns, pair * given.unit_rows, 2 * tasks,
            asked_of["seconds"] / asked_of["units"] * units,
        ),
        step(
            "sample", "curate", "sample", all_columns, kept * given.unit_rows + partial_bytes,
            units + 2 * tasks, added,
        ),
    ]  # fmt: skip


def _all_requests(
    requests: dict[str, dict[str, float]], units: int, tasks: int
) -> dict[str, float]:
    each, task, besides = (requests[name] for name in ("unit", "task", "run"))
    found = {kind: each[kind] * units + task[kind] * tasks + besides[kind] for kind in KINDS}
    return found | {"LIST": found["LIST"] + units / 1000}


def _driver_memory(figures: Figures, base: float, units: int, stages: int) -> float:
    """MB: what it takes for few units; files and units; records; shards.parquet."""
    accounting = figures["accounting"]
    each = figures["stage"]["held"] + accounting["held"] * stages + accounting["more"]
    return float(base + each / figures["amount"]["planned"] * units)


def _key_files(given: Assumed) -> float:
    """Files of keys that tasks leave: of whole units, until they have RECORD_BYTES."""
    units = -(-RECORD_BYTES // (given.unit_rows * KEY_BYTES))
    return given.shards / min(UNITS_PER_TASK, max(1, units))


def _range_rows(given: Assumed) -> float:
    """Keys that are decided about together."""
    return max(PARTITION_ROWS, given.pairs / MOST_PARTITIONS)


def _ranges(given: Assumed) -> float:
    """Ranges of keys, each of which is read from every file of keys."""
    return _key_files(given) * -(-given.pairs // _range_rows(given))


def _decide_seconds(figures: Figures, given: Assumed) -> tuple[float, float]:
    """For the rows, and for the ranges: the latter as many small files tell beside few large."""
    few, many = figures["decide"]
    ranged = (many["seconds"] - few["seconds"]) / (many["ranges"] - few["ranges"])
    row = (few["seconds"] - ranged * few["ranges"]) / few["rows"]
    return max(0.0, row) * given.pairs, max(0.0, ranged) * _ranges(given)


def _work_table(steps: Sequence[Step], given: Assumed) -> Table:
    note = (
        f"`extract`: {given.archives:,} WAT files of {given.archive_bytes / 1e6:.0f} MB, "
        f"{given.pages / 1e9:.1f} billion pages. The others: {given.pairs / 1e9:.0f} billion pairs "
        f"in {given.shards:,} shards, of which {given.kept:.0%} are kept. {given.slots} tasks at "
        "once. *Driver min* is what one process does alone when tasks are done."
    )
    columns: Columns = {
        "step": lambda step: step.name,
        "units": lambda step: f"{step.units:,}",
        "tasks": lambda step: f"{_tasks(step.units, given.slots):,}",
        "s a unit": lambda step: f"{step.seconds:.2f}",
        "CPU h": lambda step: f"{step.hours:,.1f}",
        "TB read": lambda step: f"{step.units * step.read / 1e12:.2f}",
        "TB written": lambda step: f"{step.units * step.written / 1e12:.2f}",
        "files": lambda step: f"{step.files:,.0f}",
        "worker MB": lambda step: f"{step.worker:,.0f}",
        "driver MB": lambda step: f"{step.memory:,.0f}",
        "driver min": lambda step: f"{step.driver / 60:,.1f}",
    }
    return _table("Whole crawls: work", note, columns, steps)


def _cost_table(steps: Sequence[Step], given: Assumed) -> Table:
    def gets(step: Step) -> float:
        return step.requests["GET"] + step.requests["HEAD"]

    def puts(step: Step) -> float:
        return step.requests["PUT"] + step.requests["LIST"]

    def hours(step: Step) -> float:
        return step.hours + step.waits(given)

    def asking(step: Step) -> float:
        return (gets(step) * given.gets + puts(step) * given.puts) / 1000

    note = (
        f"All in a store: a request takes {given.latency} s, and a connection moves "
        f"{given.bandwidth / 1e6:.0f} MB/s; a task asks one thing after another, and its vCPU "
        f"*waits*. *Min* is with {given.slots} vCPUs, without the driver's part. A vCPU hour costs "
        f"${given.vcpu_hour}, a thousand requests ${given.gets} (GET, HEAD) or ${given.puts} (PUT, "
        "LIST). All requests of `dedup` are in its first row.\n"
        f"Together: ${sum(map(hours, steps)) * given.vcpu_hour:,.2f}, and "
        f"${sum(map(asking, steps)):,.2f} for requests."
    )
    columns: Columns = {
        "step": lambda step: step.name,
        "CPU h": lambda step: f"{step.hours:,.1f}",
        "waits h": lambda step: f"{step.waits(given):,.1f}",
        "min": lambda step: f"{hours(step) / given.slots * 60:,.1f}",
        "vCPU $": lambda step: f"{hours(step) * given.vcpu_hour:,.2f}",
        "GET, HEAD": lambda step: f"{gets(step):,.0f}",
        "PUT, LIST": lambda step: f"{puts(step):,.0f}",
        "requests $": lambda step: f"{asking(step):,.2f}",
    }
    return _table("Whole crawls: requests and costs", note, columns, steps)


def _limits_table(figures: Figures, given: Assumed) -> Table:
    amount, listing, stage = (figures[name] for name in ("amount", "listing", "stage"))
    for_rows, for_ranges = (time / 3600 for time in _decide_seconds(figures, given))
    found, noted = figures["thresholds"], figures["decide"][0]
    pairs = given.pairs * MATCHED / found["pairs"]
    here = listing["footers"] / amount["listed"] * given.shards / 60
    away = given.shards * FOOTER * given.latency / FOOTERS_AT_ONCE / 60
    files = given.shards / amount["planned"]
    sorting = noted["more"] / min(PARTITION_ROWS, noted["rows"]) * _range_rows(given) / 1000
    items = [
        ("listing", f"{listing['list'] / amount['listed'] * given.shards / 60:.1f} min", "", ""),
        ("footers", f"{here:.1f} min; in a store {away:.1f} min", "", ""),
        (
            "the stage, in each worker",
            f"{stage['load'] * files:.1f} s",
            f"{stage['unpacked'] * files / 1e3:.1f} GB",
            f"{stage['bytes'] * files / 1e9:.2f} GB",
        ),
        (
            "plan: a budget's threshold",
            f"{found['seconds'] / found['units'] * given.shards / 60:.1f} min",
            f"{found['held'] * pairs / 1e3:,.0f} GB",
            f"{found['bytes'] * pairs / 1e9:,.0f} GB",
        ),
        (
            "dedup: which row stays",
            f"{for_rows:.1f} h for rows, {for_ranges:.1f} h for ranges",
            f"{given.pairs / 1e9:,.0f} GB of page cache; {sorting:.1f} GB",
            f"{given.pairs * (noted['bytes'] / noted['rows'] + 1) / 1e9:,.0f} GB",
        ),
    ]
    note = (
        f"The same pool: what the driver does alone. A request to a store takes {given.latency} s, "
        f"{FOOTERS_AT_ONCE} footers are read at once. Keys lie in {_key_files(given):,.0f} files, "
        f"of each of which {_ranges(given) / _key_files(given):,.0f} ranges are read."
    )
    columns: Columns = {
        "what": lambda one: one[0],
        "time": lambda one: one[1],
        "memory": lambda one: one[2],
        "disk": lambda one: one[3],
    }
    return _table("Whole crawls: the driver", note, columns, items)


if __name__ == "__main__":
    from benchmarks import scale  # what is pickled is found again by this name

    answer(scale.main)
