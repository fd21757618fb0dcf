"""What the process that runs all does alone: list, read footers, pack, record, add up, decide."""

import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fresh import Figures, agree, peak_memory, seconds
from benchmarks.scale.amount import MATCHED, UNIT_ROWS
from benchmarks.scale.empty import made_unit
from benchmarks.scale.process import forget_peak, memory_field, timed, work_folder
from metacurate.curation.count import Counts
from metacurate.curation.plan import MinThresholds, PlanTask
from metacurate.curation.stages import Tally
from metacurate.engine.local import LocalEngine
from metacurate.engine.manifest import write_task
from metacurate.engine.progress import Silent
from metacurate.engine.run import UNITS_PER_TASK, Outcome
from metacurate.engine.stage import Stage, Unit, UnitRecord
from metacurate.engine.storage import write_arrow
from metacurate.engine.stores import Place
from metacurate.engine.work import Work
from metacurate.engine.workspace import SHARDS_FILE, Workspace
from metacurate.pool.dedup_stages import KeyStage
from metacurate.pool.files import InputFile, find_files
from metacurate.pool.tables import Pool, PoolFile, read_footers
from metacurate.pool.web.crawl import ArchiveFile
from metacurate.pool.web.sieve import Wanted
from metacurate.pool.web.stage import ExtractStage
from metacurate.pool.winners import PARTITION_ROWS, Keyed, KeyTask, decide

ENTRIES, COUNTED = 500_000, 80_000  # of the metadata, and those that a task's texts match


def measure_listing(files: int) -> Figures:
    """List a folder of small files, and read all footers."""
    with work_folder() as folder:
        first = folder / "pool/000000.parquet"
        first.parent.mkdir()
        pairs = {"url": [f"https://example.org/{i}" for i in range(10)], "text": ["a text"] * 10}
        pq.write_table(pa.table(pairs), first)
        for number in range(1, files):
            os.link(first, first.with_name(f"{number:06d}.parquet"))
        found, listed = timed(lambda: find_files(str(first.parent)))
        footers, read = timed(lambda: read_footers(found))
        units, opened = timed(lambda: [unit.name for unit in Pool.open(footers).units])
    agree("files", {"made": str(files), "units": str(len(units))})
    return {"list": listed, "footers": read, "open": opened}


def measure_stage(files: int) -> Figures:
    """What all tasks are sent: a stage over a pool; and what it takes where it is unpacked."""
    content, figures = _packed_stage(files)
    gc.collect()
    before = memory_field("RssAnon")
    again, load = timed(lambda: pickle.loads(content))
    unpacked = memory_field("RssAnon") - before
    agree("files", {"pool": str(files), "unpacked": str(len(again.stage.pool.files))})
    paths = (f"s3://commoncrawl{unit.source}" for unit in map(made_unit, range(files)))
    crawl = ExtractStage(tuple(ArchiveFile(p, "immutable", 0) for p in paths), Wanted(), ())
    sent, dump = _pack(crawl)
    return {
        **figures, "load": load, "unpacked": unpacked, "crawl_bytes": len(sent),
        "crawl": dump + timed(lambda: pickle.loads(sent))[1],
    }  # fmt: skip


def _packed_stage(files: int) -> tuple[bytes, Figures]:
    before = memory_field("RssAnon")
    stage = KeyStage(_made_pool(files, UNIT_ROWS), "pair", 0)
    _, units = timed(lambda: [unit.name for unit in stage.units()])  # as a run asks for them
    held = memory_field("RssAnon") - before
    content, dump = _pack(stage)
    return content, {"units": units, "held": held, "bytes": len(content), "dump": dump}


def _pack(stage: Stage) -> tuple[bytes, float]:
    work = Work(stage, Path("out"), Path("out"))
    content, time_ = timed(lambda: pickle.dumps(work, protocol=5))
    return content, time_


def _made_pool(files: int, rows: int) -> Pool:
    schema = pa.schema([("url", pa.string()), ("text", pa.string())])
    units = map(made_unit, range(files))
    inputs = (InputFile(unit.source, unit.identity, "parquet", size=10_000_000) for unit in units)
    made = (PoolFile(one, one.path, (rows,), schema, None, 10_000_000) for one in inputs)
    return Pool(tuple(made), "url", "text", 0)


def measure_accounting(units: int) -> Figures:
    """Write what became of each unit, and the manifest."""
    before = memory_field("RssAnon")
    records = [
        UnitRecord(
            unit.name, unit.source, 0, UNIT_ROWS, 0, 0.5, kept=20_000, balanced_away=20_000,
            unmatched=10_000, output=f"{unit.name}.parquet", work=UNIT_ROWS,
        )
        for unit in map(made_unit, range(units))
    ]  # fmt: skip
    held, all_ = memory_field("RssAnon") - before, memory_field("VmRSS")
    forget_peak()
    with work_folder() as folder:
        outcome = Outcome(records, [], 0, ())
        configuration = {"command": "curate", "pool": ["s3://bucket/crawl"]}
        space = Workspace(folder, configuration, LocalEngine(), 1, "fail", Silent())
        _, took = timed(lambda: space.write_shards(outcome))
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
    with work_folder() as folder:
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

    with work_folder() as folder:
        places: list[Place] = []
        for first in range(0, units, UNITS_PER_TASK):
            runs = [left() for _ in range(min(UNITS_PER_TASK, units - first))]
            places.append(
                _write_task(folder, made_unit(first), pa.concat_tables(runs), PlanTask.mapped)
            )
        size = sum(path.stat().st_size for path in folder.glob("*.arrow"))
        del runs
        counts = Counts(np.full(ENTRIES, 100_000, np.uint64), 0, 0, "", "paper")
        before = memory_field("RssAnon")
        found, read = timed(lambda: MinThresholds.read(places, counts, pairs))
        _, asked = timed(lambda: found.largest_threshold(units * matched // 2))
        held = max(0.0, memory_field("RssAnon") - before)
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

    with work_folder() as folder:
        places: list[Place] = []
        task = Noted()
        for unit in pool.units:
            task.process(unit)
            if task.full or alone or unit is pool.units[-1]:
                places.append(_write_task(folder, unit, task.partial(), KeyTask.mapped))
                task.clear()
        noted = sum(path.stat().st_size for path in folder.glob("*.arrow"))
        del task
        before = memory_field("VmRSS")
        forget_peak()
        fates, took = timed(lambda: decide(folder, "0" * 16, pool, places))
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
