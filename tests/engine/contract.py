"""A stage with traps in it; `python -m tests.engine.contract` runs it in a process of its own."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa

from metacurate.engine.local import LocalEngine
from metacurate.engine.lock import lock
from metacurate.engine.manifest import work_folder
from metacurate.engine.progress import Silent
from metacurate.engine.ray import RayEngine
from metacurate.engine.run import Outcome, run
from metacurate.engine.slurm import SlurmEngine
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import arrow_tables, write_parquet
from metacurate.engine.stores import Place, place_of
from metacurate.engine.work import Engine
from metacurate.errors import InputError, MetacurateError

Name = Literal["threads", "processes", "ray", "slurm"]
ROOT = Path(__file__).parents[2]
STEP = 0.05  # seconds


class OddError(Exception):
    """One that another process can't rebuild."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"odd, for {why}")


@dataclass(frozen=True)
class Letters(Stage):
    """Counts the letters of files; what a file begins with may be a trap.

    Attributes:
        files: their paths. marks: folder where each attempt at a file leaves a line.
        runs_in: as for every stage.
    """

    files: tuple[str, ...]
    marks: str
    runs_in: Literal["threads", "processes"] = "threads"
    name = "letters"
    measure: ClassVar[str] = "letters"
    outputs: ClassVar[str | None] = "letters"

    def configuration(self) -> dict[str, Any]:
        """Nothing decides about the result."""
        return {}

    def units(self) -> Sequence[Unit]:
        """A unit for each file."""
        return [Unit(path, "1", 0, 1, 0, None, Path(path).stat().st_size) for path in self.files]

    def task(self, outputs: Place, watch: Watch) -> "LetterTask":
        """Begin to count."""
        return LetterTask(self, outputs, watch)


class LetterTask(Task):
    """Counts the letters of several files."""

    def __init__(self, stage: Letters, outputs: Place, watch: Watch) -> None:
        """Start at zero."""
        self._marks = Path(stage.marks)
        self._outputs = outputs
        self._watch = watch
        self._total: Counter[str] = Counter()

    def process(self, unit: Unit) -> UnitRecord:
        """Count, unless the file is a trap."""
        began, text = time.monotonic(), Path(unit.source).read_text()
        mark = self._marks / Path(unit.source).name
        with mark.open("a") as file:
            file.write(f"{os.getpid()}\n")
        trap = text.partition(":")[0]
        if trap == "kill" or (trap == "kill once" and len(attempts(mark)) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if trap == "broken":
            raise InputError(unit.source, "is broken")
        if trap == "full":
            raise MetacurateError("No space left on device")
        if trap == "odd":
            raise OddError(unit.source, "no reason")
        while trap == "wait" and not (self._marks / "go").exists():
            time.sleep(STEP)
            self._watch.advance(0)
        if trap == "slow":
            time.sleep(6 * STEP)
        found = Counter(text)
        self._total.update(found)
        output = f"{unit.name}.parquet"
        write_parquet(self._outputs / output, table_of(found))
        return UnitRecord.of(unit, began, rows_read=1, invalid=0, kept=1, output=output)

    def partial(self) -> pa.Table:
        """Numbers of letters."""
        return table_of(self._total)


def table_of(counts: Counter[str]) -> pa.Table:
    names = sorted(counts)
    return pa.table(
        {
            "letter": pa.array(names, pa.string()),
            "count": pa.array([counts[name] for name in names], pa.int64()),
        }
    )


def attempts(mark: Path) -> list[str]:
    return mark.read_text().splitlines() if mark.exists() else []


def total(outcome: Outcome) -> Counter[str]:
    counts: Counter[str] = Counter()
    for table in arrow_tables(outcome.partials):
        for row in table.to_pylist():
            counts[row["letter"]] += row["count"]
    return counts


def engine_of(name: Name) -> Engine:
    if name == "ray":
        return RayEngine()
    if name == "slurm":
        return SlurmEngine(cpus=1, mem="300M", time="5", array_parallelism=4)
    return LocalEngine()


def count_letters(folder: Path, name: Name, out: str | Place | None = None) -> Outcome:
    """Count the letters of all files in a folder, by an engine, from wherever a run has left it."""
    files = tuple(str(path) for path in sorted((folder / "files").iterdir()))
    marks = folder / "marks"
    marks.mkdir(exist_ok=True)
    stage = Letters(files, str(marks), "processes" if name == "processes" else "threads")
    place, engine = place_of(out or folder / "out"), engine_of(name)
    slots = engine.slots(None if name == "slurm" else 2)
    slots = 1 if name == "slurm" else slots  # so that a task has several units
    with lock(work_folder(place)) as held:
        return run(stage, place, engine, slots, progress=Silent(), check=held.check)


if __name__ == "__main__":
    from tests.engine.contract import count_letters as count  # under a name that workers know

    count(Path(sys.argv[1]), sys.argv[2])  # type: ignore[arg-type]
