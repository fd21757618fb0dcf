"""What engines run: a stage's work on the units of a task, and how they are asked to."""

import logging
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

from metacurate import __version__
from metacurate.engine.manifest import PLAN, write_task
from metacurate.engine.stage import Stage, Stop, StoppedError, Task, Unit, UnitRecord, Watch
from metacurate.engine.stores import Place
from metacurate.errors import InputError, MetacurateError, UnexpectedError, UsageError

Units: TypeAlias = Sequence[Unit]
Made: TypeAlias = list[tuple[Place, list[UnitRecord]]]  # files of records, and what they hold
Advance: TypeAlias = Callable[[int], None]

log = logging.getLogger(__name__)

TRIES = 3  # of a unit whose worker dies, before it counts as what kills it
MOST_LOST = 20  # tasks or jobs in a row that end with their machines


@dataclass(frozen=True)
class Work:
    """What a worker does with the units of a task.

    Attributes:
        stage: whose units. outputs: folder of the units' files. folder: of the records.
        version: of metacurate where the work was planned.
    """

    stage: Stage
    outputs: Place
    folder: Place
    version: str = __version__

    def __call__(self, units: Units, stop: Stop, advance: Advance) -> Made:
        """Work on units until the run is to end, and record what is done.

        Args:
            units: which. stop: asks to end. advance: told of work that is done.

        Raises:
            MetacurateError: when results can't be written.
            UnexpectedError: for any other exception; its trace is logged where it happened.
        """
        try:
            return self._work(units, stop, advance)
        except MetacurateError:
            raise
        except Exception as error:
            log.exception("a worker failed")
            raise UnexpectedError.of(error) from error

    def _work(self, units: Units, stop: Stop, advance: Advance) -> Made:
        watch = Watch(stop, advance)
        recorded: Made = []
        made: list[UnitRecord] = []

        def record(task: Task) -> None:
            if made:
                path = write_task(self.folder, made, task.partial(), mapped=task.mapped)
                recorded.append((path, list(made)))
                made.clear()

        with closing(self.stage.task(self.outputs, watch)) as task:
            for unit in units:
                if stop.is_set():
                    break
                before = watch.done
                try:
                    found = _attempt(task.process, unit)
                except StoppedError:
                    break
                made.append(replace(found, work=unit.work))
                advance(unit.work - (watch.done - before))  # what a failed unit left
                if task.full:
                    record(task)
                    task.clear()
            record(task)
        return recorded

    def check(self, units: Iterable[Unit]) -> None:
        """Refuse to work on another machine that would make something else of it.

        Args:
            units: of a task.

        Raises:
            MetacurateError: when it has another version, or does not see a file or the outputs:
                that is no file's fault.
        """
        here = socket.gethostname()
        if self.version != __version__:
            raise MetacurateError(
                f"the machine {here} has metacurate {__version__}, not {self.version}"
            )
        if isinstance(self.folder, Path) and not (self.folder / PLAN).exists():
            raise MetacurateError(
                f"the machine {here} does not see {self.folder}: write to a disk that all "
                "machines share, or to object storage"
            )
        for path in {unit.source for unit in units if unit.problem is None}:
            if Path(path).is_absolute() and not Path(path).exists():
                raise MetacurateError(f"the machine {here} does not see {path}")

    def give_up(self, unit: Unit, reason: str) -> Made:
        """Record a unit as failed whose workers died.

        Args:
            unit: which. reason: how, in one line.

        Raises:
            MetacurateError: when that can't be written.
        """
        record = UnitRecord.of(
            unit, time.monotonic(), rows_read=0, invalid=0, error=reason, failed=True
        )
        record = replace(record, work=unit.work)
        nothing = self.stage.task(self.outputs, Watch(_Never(), _ignore)).partial()
        return [(write_task(self.folder, [record], nothing), [record])]


class Engine(Protocol):
    """What runs tasks: the only part of a run that knows machines.

    Attributes:
        name: as users choose it.
        outlives: whether its work goes on when the process ends that called it.
    """

    name: ClassVar[str]
    outlives: ClassVar[bool]

    def slots(self, workers: int | None) -> int:
        """Number of tasks to work on at once.

        Args:
            workers: what the user asked for; None for as many as there is room for.

        Raises:
            UsageError: for a number that can't be.
            MetacurateError: when there is nothing that could run them.
        """
        ...

    def map(
        self, work: Work, tasks: Sequence[Units], slots: int, advance: Advance
    ) -> Iterator[Made]:
        """Have all tasks worked on.

        A worker that dies costs its task another try; a unit that kills its worker each time is
        recorded as failed. When the caller stops listening (an error, Ctrl-C), tasks at work are
        told to end.

        Args:
            work: what to do. tasks: with what. slots: so many at once.
            advance: told of work that is done.

        Yields:
            What was recorded, in no certain order.

        Raises:
            MetacurateError: when tasks can't be run, or results not be written.
        """
        ...

    def close(self) -> None:
        """Let go of what was started for it."""
        ...


def check_workers(workers: int) -> int:
    """Refuse a number of workers that can't work.

    Args:
        workers: how many.

    Returns:
        The number.

    Raises:
        UsageError: for fewer than one.
    """
    if workers < 1:
        raise UsageError(f"{workers} workers can't work: at least 1 is needed")
    return workers


class _Never:
    def is_set(self) -> bool:
        return False


def _ignore(work: int) -> None:
    """Tell nobody."""


def _attempt(process: Callable[[Unit], UnitRecord], unit: Unit) -> UnitRecord:
    began = time.monotonic()
    try:
        if unit.problem is not None:
            raise InputError(unit.source, unit.problem)
        return process(unit)
    except InputError as error:
        failed = UnitRecord.of(unit, began, rows_read=0, invalid=0, error=error.reason, failed=True)
        return replace(failed, source=error.source)
