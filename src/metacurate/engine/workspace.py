"""A command's output folder while it is at work: lock, stages, errors, and what is written last."""

import logging
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from metacurate import __version__
from metacurate.engine.command_line import COMMAND_LINE
from metacurate.engine.jobs import Ledger, living_arrays
from metacurate.engine.local import LocalEngine
from metacurate.engine.lock import LOCK, Held, lock
from metacurate.engine.manifest import (
    MANIFEST,
    check_claim,
    claim,
    read_configuration,
    work_folder,
)
from metacurate.engine.progress import Progress, Silent
from metacurate.engine.run import CorruptInputError, Outcome, run
from metacurate.engine.stage import Stage
from metacurate.engine.storage import (
    drop_temporaries,
    is_folder,
    list_folder,
    remove,
    write_json,
    write_parquet,
)
from metacurate.engine.stores import Place
from metacurate.engine.work import Engine
from metacurate.errors import MetacurateError, UsageError
from metacurate.schema import SHARDS

log = logging.getLogger(__name__)

OnError: TypeAlias = Literal["fail", "skip"]

SHARDS_FILE = "shards.parquet"
POOL_SHARDS_FILE = f"_accounting/{SHARDS_FILE}"  # where the output folder itself is a pool


@dataclass
class Workspace:
    """An output folder that this process holds.

    Attributes:
        folder: the output folder. configuration: what it is bound to, once it is claimed.
        engine: what runs its stages. slots: so many tasks at once.
        on_error: what corrupt inputs mean. progress: what is told.
        shards: where in it shards.parquet goes: not among the files of a pool; None for nowhere.
        held: its lock.
        began: when, by the monotonic clock, in seconds.
        outcomes: of the stages that were run, by name.
    """

    folder: Place
    configuration: dict[str, Any]
    engine: Engine
    slots: int
    on_error: OnError
    progress: Progress
    shards: str | None = SHARDS_FILE
    held: Held = field(default_factory=Held)
    began: float = field(default_factory=time.monotonic)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _told: set[tuple[str, str | None]] = field(default_factory=set)

    @property
    def work(self) -> Place:
        """The folder for what only resumption needs."""
        return work_folder(self.folder)

    def claim(self) -> None:
        """Bind the folder to its configuration: once nothing speaks against the run."""
        claim(self.folder, self.configuration)

    def run(self, stage: Stage) -> Outcome:
        """Bring a stage to its end.

        Args:
            stage: what to do.

        Raises:
            CorruptInputError: when inputs are corrupt and that is not to be skipped.
            MetacurateError: when results can't be written.
        """
        outcome = run(
            stage,
            self.folder,
            self.engine,
            self.slots,
            progress=self.progress,
            check=self.held.check,
        )
        self.outcomes[stage.name] = outcome
        if outcome.errors:
            self._judge(stage, outcome)
        return outcome

    def _judge(self, stage: Stage, outcome: Outcome) -> None:
        if self.on_error == "fail":
            remove([self.folder / MANIFEST])
            self.write_shards(outcome)
            raise CorruptInputError(stage.name, outcome.errors, self.shards)
        news = [e for e in outcome.errors if (e.source, e.error) not in self._told]
        self._told.update((e.source, e.error) for e in news)
        if news:
            log.warning("skipped: %s", CorruptInputError(stage.name, news, self.shards))

    def unit_totals(self, counted: Outcome) -> dict[str, Any]:
        """Numbers of units, and the time since the beginning.

        Args:
            counted: of the stage whose units are told.
        """
        return {
            "units": len(counted.records),
            "failed_units": sum(record.failed for record in counted.records),
            "resumed_units": sum(outcome.resumed for outcome in self.outcomes.values()),
            "seconds": round(time.monotonic() - self.began, 3),
        }

    def write_shards(self, outcome: Outcome) -> None:
        """Write shards.parquet, where it has a place: what became of each unit.

        A file's rows that could not even be converted are told with its first unit.

        Args:
            outcome: of the stage that decided the rows' fates.
        """
        self.held.check()
        if self.shards is None:
            return
        earlier = {
            record.source: record.error
            for other in self.outcomes.values()
            for record in other.records
            if record.error is not None
        }
        attributes = {"input": "source"}
        columns: dict[str, list[Any]] = {
            name: [getattr(record, attributes.get(name, name)) for record in outcome.records]
            for name in SHARDS.names
        }
        columns["error"] = [
            record.error or (earlier.get(record.source) if record.first_row == 0 else None)
            for record in outcome.records
        ]
        write_parquet(self.folder / self.shards, pa.table(columns, schema=SHARDS))

    def write_manifest(self, totals: dict[str, Any], digests: dict[str, str]) -> None:
        """Write manifest.json, the last of all files: its presence means complete.

        Args:
            totals: the summary. digests: of what went in.
        """
        self.held.check()
        manifest = {
            "totals": totals,
            "command_line": COMMAND_LINE.get(),
            "configuration": self.configuration,
            "digests": digests,
            "versions": versions(),
        }
        write_json(self.folder / MANIFEST, manifest)


@contextmanager
def open_workspace(
    out: Place | None,
    configuration: dict[str, Any],
    *,
    engine: Engine | None = None,
    workers: int | None = None,
    on_error: OnError = "fail",
    progress: Progress | None = None,
    shards: str | None = SHARDS_FILE,
) -> Iterator[Workspace]:
    """Hold an output folder until the block ends; `Workspace.claim` binds it.

    Args:
        out: the folder; None for a temporary one, which is removed.
        configuration: see `metacurate.engine.manifest.check_claim`.
        engine: what runs the stages; this machine without it.
        workers: number of tasks at once; as many as there is room for without it.
        on_error: ``fail`` when an input is corrupt, after all others are done; or ``skip`` it.
        progress: told of what is done.
        shards: where in it shards.parquet goes; None for nowhere.

    Raises:
        UsageError: for fewer than one worker, or a folder that holds something else.
        MetacurateError: when another run holds the folder, or it can't be written.
    """
    engine = engine or LocalEngine()
    told = progress or Silent()
    try:
        slots = engine.slots(workers)
        with _open(out, configuration, engine, slots, on_error, told, shards) as space:
            yield space
    finally:
        engine.close()


@contextmanager
def _open(
    out: Place | None,
    configuration: dict[str, Any],
    engine: Engine,
    slots: int,
    on_error: OnError,
    told: Progress,
    shards: str | None,
) -> Iterator[Workspace]:
    if out is None:
        if engine.outlives:
            raise UsageError(f"--engine {engine.name} needs --out: its jobs meet there")
        with tempfile.TemporaryDirectory(prefix="metacurate-") as folder:
            yield Workspace(Path(folder), configuration, engine, slots, on_error, told, shards)
        return
    check_claim(out, configuration)
    existed = is_folder(out)
    with lock(work_folder(out)) as held:
        out = out.absolute() if isinstance(out, Path) else out  # as workers elsewhere see it
        work = work_folder(out)
        at_work, _ = living_arrays(Ledger(work))
        if at_work and not (engine.outlives and read_configuration(out) == configuration):
            raise MetacurateError(
                f"{out}: jobs of an earlier run are still at work in it: let the same command wait "
                f"for them, or end them with: scancel {' '.join(at_work)}"
            )
        stages = (name for name, entry in list_folder(work).items() if entry.is_folder)
        places = [out, work, *(work / name for name in stages)]
        for place in places if shards is None else [*places, (out / shards).parent]:
            if not at_work:
                drop_temporaries(place)
        try:
            check_claim(out, configuration)  # again: another run may have ended meanwhile
            yield Workspace(out, configuration, engine, slots, on_error, told, shards, held)
        finally:
            if not existed and isinstance(out, Path):
                _drop_empty(out)


def _drop_empty(out: Path) -> None:
    """Remove a folder that holds nothing but the lock, which is ours: the run was refused."""
    work = work_folder(out)
    if [path.name for path in work.glob("*")] == [LOCK]:
        (work / LOCK).unlink()
        work.rmdir()
        if not any(out.iterdir()):
            out.rmdir()


def versions(*more: str) -> dict[str, str]:
    """Versions of metacurate, Python, and the libraries that results pass through.

    Args:
        *more: names of others, where they are installed.
    """
    libraries = {name: version(name) for name in ("numba", "numpy", "pyarrow")}
    for name in more:
        with suppress(PackageNotFoundError):
            libraries[name] = version(name)
    return {"metacurate": __version__, "python": platform.python_version(), **libraries}
