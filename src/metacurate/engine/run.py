"""Run a stage: plan, skip what is done, map over workers, record, account."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from metacurate.engine.manifest import MANIFEST, Records
from metacurate.engine.progress import Progress
from metacurate.engine.stage import Stage, Unit, UnitRecord
from metacurate.engine.storage import list_folder, remove
from metacurate.engine.stores import Place
from metacurate.engine.work import Engine, Work
from metacurate.errors import MetacurateError

log = logging.getLogger(__name__)

TASKS_PER_WORKER = 8  # so that workers end together, and a kill costs little
UNITS_PER_TASK = 64  # at the most, for the same reason
OUTPUT_NAME = re.compile(r"-[0-9a-f]{12}-\d{9,}-\d{9,}\.parquet$")  # as units name their files
LISTED = 20  # failures that an error names


@dataclass(frozen=True)
class Outcome:
    """What a run of a stage left.

    Attributes:
        records: of all units, in the order of the plan.
        partials: files that add up to the stage's result.
        resumed: number of units that an earlier run had done.
        unread: names of units that failed though nothing spoke against them when planned.
    """

    records: list[UnitRecord]
    partials: list[Place]
    resumed: int
    unread: tuple[str, ...]

    @property
    def errors(self) -> list[UnitRecord]:
        """Records of units that failed, or that had corrupt rows."""
        return [record for record in self.records if record.error is not None]

    def identity(self, planned: str) -> str:
        """Identity of what was read.

        Args:
            planned: of all that was to be read, in hex.

        Returns:
            The same, or where units could not be read one for the rest, in hex.
        """
        if not self.unread:
            return planned
        return hashlib.sha256("\n".join([planned, *self.unread]).encode()).hexdigest()


class CorruptInputError(MetacurateError):
    """Some inputs were corrupt; all others are done and recorded."""

    def __init__(
        self, stage: str, errors: Sequence[UnitRecord], listing: str | None = None
    ) -> None:
        """List the failures, a line each.

        Args:
            stage: its name. errors: the records that hold one.
            listing: the file that lists all of them, if there is one.
        """
        self.errors = list(errors)
        lines = list(dict.fromkeys(f"{r.source}: {r.error}" for r in errors))
        if len(lines) > LISTED:
            where = "" if listing is None else f", listed in {listing}"
            lines[LISTED:] = [f"and {len(lines) - LISTED} more{where}"]
        if len(lines) == 1:
            super().__init__(lines[0])
        else:
            super().__init__(f"{stage}: {len(errors)} units had errors\n" + "\n".join(lines))


def run(
    stage: Stage,
    out: Place,
    engine: Engine,
    slots: int,
    *,
    progress: Progress,
    check: Callable[[], None],
) -> Outcome:
    """Bring a stage to its end in an output folder, from wherever an earlier run left it.

    Broken inputs are recorded, and the others are finished; the caller decides what they mean.

    Args:
        stage: what to do.
        out: the output folder, locked by the caller.
        engine: what runs it. slots: so many tasks at once.
        progress: told of rows that are done.
        check: raises when the folder is not held any more.

    Returns:
        The records and partial results of all units.

    Raises:
        MetacurateError: when tasks can't be run, or results not be written.
    """
    units = stage.units()
    records = Records(out, stage)
    outputs = out if stage.outputs in (None, ".") else out / stage.outputs
    found = records.load((u.name for u in units), outputs, alone=not engine.outlives)
    done = {record.unit: record for record in found}
    resumed = len(done)
    pending = [unit for unit in units if unit.name not in done]
    if pending:
        remove([out / MANIFEST])
        records.drop_others()  # their files are about to be written anew under the same names
        records.plan(units, stage.measure)
    if resumed:
        log.info("%s: %d of %d units were done before", stage.name, resumed, len(units))

    if pending:
        progress.start(stage.name, sum(unit.work for unit in pending), stage.measure)
        work = Work(stage, outputs, records.folder)
        tasks = list(_tasks(pending, slots))

        def advance(work: int) -> None:
            check()  # also within a task: a worker is not to write on
            progress.advance(work)

        for made in engine.map(work, tasks, slots, advance):
            check()
            for path, recorded in made:
                records.add(path, recorded)
                done.update((record.unit, record) for record in recorded)
        progress.end()
    check()
    records.drop_others()
    if stage.outputs is not None:
        _drop_stale(stage, outputs, done.values())
    unread = (u.name for u in units if done[u.name].failed and u.problem is None)
    return Outcome([done[unit.name] for unit in units], records.partials(), resumed, tuple(unread))


def _drop_stale(stage: Stage, folder: Place, records: Iterable[UnitRecord]) -> None:
    """Remove files that no record tells of: of inputs that changed or went, or of other flags.

    Only when all is done: a job that is at work has written files that it will record later.

    Raises:
        MetacurateError: when a file is missing that a record tells of.
    """
    wanted = {record.output for record in records if record.output is not None}
    names = list_folder(folder)
    remove(folder / name for name in names if OUTPUT_NAME.search(name) and name not in wanted)
    missing = sorted(wanted - names.keys())
    if missing:
        raise MetacurateError(
            f"{stage.name}: {len(missing)} files that were written are gone ({missing[0]}, ...): "
            "the same call writes them again"
        )


def _tasks(units: Sequence[Unit], workers: int) -> Iterator[list[Unit]]:
    """Group units that follow one another; those of one row group as few times as is useful.

    A reader can't jump into a row group, so each task that begins inside one decodes the rows
    before it: one row group is cut into no more tasks than there are workers.
    """
    size = min(UNITS_PER_TASK, max(1, len(units) // (workers * TASKS_PER_WORKER)))
    task: list[Unit] = []
    for _, group in groupby(units, key=lambda unit: (unit.source, unit.anchor)):
        members = list(group)
        piece = max(1, -(-len(members) // workers))
        for start in range(0, len(members), piece):
            task.extend(members[start : start + piece])
            if len(task) >= size:
                yield task
                task = []
    if task:
        yield task
