"""Units without work, brought to their end by each engine."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from benchmarks.fresh import Figures, agree, peak_memory
from benchmarks.scale.amount import UNIT_ROWS, WORKERS
from benchmarks.scale.process import engine_named, timed, work_folder
from metacurate.engine.manifest import Records
from metacurate.engine.progress import Silent
from metacurate.engine.run import Outcome
from metacurate.engine.run import run as run_stage
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import arrow_tables, walk, write_text
from metacurate.engine.stores import Place
from metacurate.engine.work import Engine

ENGINES: dict[str, dict[str, Any]] = {
    "local, threads": {"engine": "local"},
    "local, processes": {"engine": "local", "in_processes": True},
    "ray": {"engine": "ray"},
    "slurm": {"engine": "slurm"},
}


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
        return [made_unit(i) for i in range(self.number)]

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


def made_unit(number: int) -> Unit:
    path = f"s3://bucket/crawl/{number % 100:02d}/part-{number:06d}.parquet"
    return Unit(path, f"{number} 1700000000000000000", 0, UNIT_ROWS, 0)


# What runs in processes of their own


def measure_engine(engine: str, units: int, in_processes: bool = False) -> Figures:
    """Bring units without work to their end, then find all of them done."""
    stage = (NothingInProcesses if in_processes else Nothing)(units)
    with work_folder() as folder, engine_named(engine) as one:
        slots = one.slots(None if engine == "slurm" else WORKERS[-1])
        run_it = partial(_bring_to_end, stage, folder / "out", one, slots)
        if engine == "ray":  # its processes begin with the first tasks
            _bring_to_end(Nothing(8 * WORKERS[-1]), folder / "first", one, slots)
        before = peak_memory()
        names, planned = timed(lambda: [unit.name for unit in stage.units()])
        outcome, took = timed(run_it)
        memory = peak_memory()
        done = sum(table["units"][0].as_py() for table in arrow_tables(outcome.partials))
        agree("units", {"asked": str(units), "done": str(done)})
        sizes = [size for _, size in walk(folder / "out")]
        records = Records(folder / "out", stage)
        _, load = timed(lambda: records.load(names, folder / "out/made", alone=True))
        again, resume = timed(run_it)
        agree("units that were done before", {"all": str(units), "found": str(again.resumed)})
    return {
        "seconds": took, "memory": memory, "before": before, "files": len(sizes),
        "bytes": sum(sizes), "tasks": len(outcome.partials), "plan": planned, "load": load,
        "resume": resume,
    }  # fmt: skip


def _bring_to_end(stage: Stage, out: Path, engine: Engine, slots: int) -> Outcome:
    return run_stage(stage, out, engine, slots, progress=Silent(), check=lambda: None)
