"""The engine for clusters under Slurm: an array of jobs, submitted through submitit.

The process that submits may end: what jobs do is recorded beside the outputs, which jobs there
are is noted in the output folder, and the next call with the same arguments goes on from both.
"""

import hashlib
import logging
import os
import pickle
import re
import secrets
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar

from metacurate.engine.jobs import (
    BEGUN,
    CANCELLED,
    ERROR,
    PENDING,
    Job,
    JobState,
    Ledger,
    ask,
    job_states,
    living_arrays,
)
from metacurate.engine.local import LocalEngine
from metacurate.engine.manifest import drop_task, read_records, task_place
from metacurate.engine.stage import Unit
from metacurate.engine.storage import is_file, list_folder, read_all, read_bytes, write_atomically
from metacurate.engine.work import MOST_LOST, TRIES, Advance, Made, Units, Work
from metacurate.errors import MetacurateError, UnexpectedError, UsageError, first_line
from metacurate.matching.cache import cache_folder

LOGS = "slurm"  # folder of submitit's files
FIRST_POLL, LAST_POLL = 1.0, 10.0  # seconds between two looks at the jobs
SLOWING = 1.3  # from each look to the next
UNANSWERED = 30  # looks in a row to which Slurm gives no answer
JOBS_PER_SLOT = 4  # so that a job that is slow holds up little
AGAIN = 16  # units of a job, at most, that takes up what another left
UNBEGUN = 3  # jobs that end before they begin: then something is wrong with all of them
MACHINES = frozenset({"NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "REVOKED"})
DEFAULT_ARRAY = 1000  # jobs, where the cluster does not tell its limit
GONE = JobState("ENDED")  # what Slurm has forgotten

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlurmEngine:
    """Jobs of a Slurm cluster whose machines share the folder, or reach the object store.

    Attributes:
        partition: for the jobs; the cluster's own choice without it.
        time: of a job, at most, as sbatch takes it.
        mem: memory of a job, as sbatch takes it.
        cpus: cores of a job: so many units at once.
        array_parallelism: jobs at once, at most.
    """

    partition: str | None = None
    time: str = "4:00:00"
    mem: str = "8G"
    cpus: int = 4
    array_parallelism: int = 64
    name: ClassVar[str] = "slurm"
    outlives: ClassVar[bool] = True

    def slots(self, workers: int | None) -> int:
        """Cores of all jobs that run at once.

        Args:
            workers: None: jobs and their cores tell it.

        Raises:
            UsageError: for a number of workers, or of jobs or cores that can't be.
            MetacurateError: when submitit or Slurm's commands are missing.
        """
        if workers is not None:
            raise UsageError(
                "--workers is for local and ray: jobs at once are --slurm-array-parallelism, and "
                "units at once in a job --slurm-cpus"
            )
        for name, number in (("cpus", self.cpus), ("array-parallelism", self.array_parallelism)):
            if number < 1:
                raise UsageError(f"--slurm-{name} {number}: at least 1 is needed")
        try:
            import submitit  # noqa: F401
        except ImportError as error:
            raise MetacurateError(
                'jobs are submitted by submitit: pip install "metacurate[slurm]"'
            ) from error
        if shutil.which("sbatch") is None or shutil.which("squeue") is None:
            raise MetacurateError("there is no sbatch or squeue here: is this a machine of Slurm?")
        return self.cpus * self.array_parallelism

    def map(
        self, work: Work, tasks: Sequence[Units], slots: int, advance: Advance
    ) -> Iterator[Made]:
        """Have all tasks worked on; see `metacurate.engine.work.Engine`.

        Jobs that an earlier call has submitted are waited for. What a job leaves when it dies is
        submitted again, in smaller jobs, then a unit a job: so a unit that kills its job is found.

        Raises:
            MetacurateError: also when jobs were cancelled, or those of another stage are still
                at work.
        """
        jobs = _Jobs(self, work)
        jobs.adopt()
        try:
            yield from jobs.finish(tasks, slots // self.cpus, advance)
        except BaseException as error:
            if jobs.arrays and not isinstance(error, GeneratorExit):
                log.warning(
                    "jobs go on (scancel %s ends them); the same command waits for them again",
                    " ".join(jobs.arrays),
                )
            raise

    def close(self) -> None:
        """Jobs go on."""


class _Jobs:
    """The jobs of a stage, as one call watches over them."""

    def __init__(self, engine: SlurmEngine, work: Work) -> None:
        self._engine = engine
        self._work = work
        self._ledger = Ledger(work.folder.parent)
        self._folder = _job_folder(work)
        self._payload: tuple[Path, str] | None = None
        self._seen: set[str] = set()  # files of records
        self._states: dict[Job, JobState] = {}  # as they were last seen
        self._tries: Counter[str] = Counter()  # of units
        self._ended: set[Job] = set()
        self._lost = self._unbegun = 0  # jobs, since something was recorded
        self._cancelled: list[str] = []
        self._stuck: set[str] = set()
        self.arrays: dict[str, list[list[str]]] = {}  # names of units of each job, while it runs

    def adopt(self) -> None:
        """Take over what an earlier call has submitted, and refuse what another stage has."""
        living, self._states = living_arrays(self._ledger)
        for array, noted in living.items():
            if noted["stage"] != self._work.folder.name:
                raise MetacurateError(
                    "jobs of another stage are still at work in this folder: wait for them, or "
                    f"end them with: scancel {array}"
                )
            self.arrays[array] = noted["units"]
            log.info("%s: waiting for jobs %s of an earlier call", self._work.stage.name, array)
        for job in self._ledger.told(ERROR):  # their cause may be mended: tried again
            array, _, number = job.rpartition("_")
            if array in self.arrays:
                self.arrays[array][int(number)] = []

    def finish(self, tasks: Sequence[Units], parallel: int, advance: Advance) -> Iterator[Made]:
        """Submit what no job has, and go on until all is recorded."""
        waiting = {unit.name: unit for task in tasks for unit in task}
        yield from self._take_in(waiting, advance)  # what was recorded since the run was planned
        queued = set(chain.from_iterable(chain.from_iterable(self.arrays.values())))
        free = [
            [unit for unit in task if unit.name in waiting and unit.name not in queued]
            for task in tasks
        ]
        self._submit(self._group([task for task in free if task], parallel * JOBS_PER_SLOT))
        pause, silent = FIRST_POLL, 0
        while waiting:
            time.sleep(pause)
            pause = min(LAST_POLL, pause * SLOWING)
            try:
                states = job_states(list(self.arrays))
            except MetacurateError as error:
                silent += 1
                if silent == UNANSWERED:
                    raise
                log.info("%s; asking again", error)
                continue
            silent = 0
            yield from self._take_in(waiting, advance)
            for unit, reason in self._look_after(states, waiting):
                del waiting[unit.name]
                advance(unit.work)
                yield self._work.give_up(unit, reason)
            if waiting and not self.arrays and self._cancelled:
                raise MetacurateError(
                    f"{len(self._cancelled)} jobs were cancelled ({self._cancelled[0]}, ...). What "
                    "was finished stays: the same command submits the rest"
                )
        self._end()

    def _take_in(self, waiting: dict[str, Unit], advance: Advance) -> Iterator[Made]:
        """Find what jobs have recorded since the last look."""
        folder = self._work.folder
        names = (name for name in list_folder(folder) if name.endswith(".json"))
        paths = [folder / name for name in sorted(names) if name not in self._seen]
        for path, content in zip(paths, read_all(paths), strict=True):
            self._seen.add(path.name)
            records = read_records(content)
            new = [record for record in records if record.unit in waiting]
            if new and len(new) < len(records):  # a job that nobody knew of did them, too
                drop_task(path)
            elif new:
                for record in new:
                    del waiting[record.unit]
                self._lost = self._unbegun = 0
                advance(sum(record.work for record in new))
                yield [(path, records)]

    def _look_after(
        self, states: dict[Job, JobState], waiting: Mapping[str, Unit]
    ) -> list[tuple[Unit, str]]:
        """Submit again what jobs left that have ended.

        Returns:
            Units whose tries are used up, and why.

        Raises:
            MetacurateError: when a job ended with an error that others would meet, too.
        """
        given_up: list[tuple[Unit, str]] = []
        again: list[list[Units]] = []
        begun, errors = self._ledger.told(BEGUN), self._ledger.told(ERROR)
        for array, jobs in list(self.arrays.items()):
            for number, names in enumerate(jobs):
                job = (array, number)
                before, state = self._states.get(job, GONE), states.get(job, GONE)
                left = [waiting[name] for name in names if name in waiting]
                self._tell_if_stuck(array, state)
                if not left or state.is_active:
                    continue
                if job not in self._ended:  # its records may take a moment to be seen
                    self._ended.add(job)
                    continue
                jobs[number] = []
                name = f"{array}_{number}"
                if name in errors:
                    told = read_bytes(errors[name]).decode()
                    raise MetacurateError(f"job {name}: {told} (its log is in {self._folder})")
                if state.name == CANCELLED or (
                    state == GONE and before.name == PENDING and name not in begun
                ):
                    self._cancelled.append(name)  # Slurm forgets at once what never began
                    continue
                log.warning(
                    "job %s ended (%s) with %d of its %d units left; its log is in %s",
                    name, state, len(left), len(names), self._folder,
                )  # fmt: skip
                if state.name in MACHINES or name not in begun:
                    self._blame_machines(name, state, name in begun)
                    size = len(left)
                elif len(names) > 1:  # which unit it was shows in smaller jobs
                    size = AGAIN if len(names) > AGAIN else 1
                else:
                    size = 1
                    self._tries.update(names)
                if self._tries[names[0]] == TRIES:
                    reason = f"its job ended {TRIES} times without a result, the last time: {state}"
                    given_up += [(unit, reason) for unit in left]
                else:
                    pieces = [left[i : i + size] for i in range(0, len(left), size)]
                    again += [[[unit] for unit in piece] for piece in pieces]
            if not any(
                states.get((array, n), GONE).is_active for n in range(len(jobs))
            ) and not any(name in waiting for names in jobs for name in names):
                del self.arrays[array]
                self._ledger.forget([array])
        self._states.update(states)
        self._submit(again)
        return given_up

    def _tell_if_stuck(self, array: str, state: JobState) -> None:
        if state.stuck and state.stuck not in self._stuck:
            self._stuck.add(state.stuck)
            log.warning("jobs of array %s wait for what will not come: %s", array, state)

    def _blame_machines(self, job: str, state: JobState, has_begun: bool) -> None:
        """Count a job that no unit has ended: its machine went, or its Python could not begin.

        Raises:
            MetacurateError: for one too many while nothing was recorded.
        """
        self._lost += 1
        self._unbegun += not has_begun
        if self._unbegun == UNBEGUN:
            raise MetacurateError(
                f"{UNBEGUN} jobs ended before they began, the last {job}: do the machines have "
                f"this Python, metacurate, and this folder? The logs are in {self._folder}"
            )
        if self._lost == MOST_LOST:
            raise MetacurateError(
                f"{MOST_LOST} jobs lost their machines, the last {job} ({state}), and nothing was "
                "done meanwhile. What was finished stays: the same command goes on"
            )

    def _group(self, tasks: Sequence[Units], jobs: int) -> list[Sequence[Units]]:
        """Tasks that follow one another as so many jobs, at most, none with idle cores."""
        size = max(self._engine.cpus, -(-len(tasks) // jobs))
        return [tasks[start : start + size] for start in range(0, len(tasks), size)]

    def _submit(self, jobs: Sequence[Sequence[Units]]) -> None:
        """Submit jobs, each with its tasks, in as many arrays as the cluster's limit asks for."""
        most = _most_jobs() if jobs else 1
        for start in range(0, len(jobs), most):
            some = jobs[start : start + most]
            payload, digest = self._payload = self._payload or _pack(self._work, self._folder)
            units = [list(chain.from_iterable(job)) for job in some]
            with self._ledger.adding(self._work.folder.name, units) as (name, note):
                array = _sbatch(self._engine, self._folder, payload, digest, some, name)
                note(array)
            self.arrays[array] = [[unit.name for unit in job] for job in units]
            self._states.update({(array, n): JobState(PENDING) for n in range(len(some))})
            log.info(
                "%s: %d units in %d jobs of array %s",
                self._work.stage.name, sum(map(len, units)), len(some), array,
            )  # fmt: skip

    def _end(self) -> None:
        """All is recorded: nothing more is to be done by anybody."""
        active = [array for (array, _), job in self._states.items() if job.is_active]
        left = [array for array in self.arrays if array in active]
        if left:
            ask("scancel", *left)
        self._ledger.forget(self.arrays)
        self.arrays.clear()
        if not self._ended:  # else there are logs to be read
            shutil.rmtree(self._folder, ignore_errors=True)
        elif self._payload is not None:
            self._payload[0].unlink(missing_ok=True)


def _most_jobs() -> int:
    """So many jobs an array may have on this cluster."""
    done = ask("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", done.stdout, re.MULTILINE)
    return max(1, int(found[1]) - 1) if found else DEFAULT_ARRAY


def _job_folder(work: Work) -> Path:
    """Where submitit keeps its files: on a disk that the jobs share."""
    if isinstance(work.folder, Path):
        return work.folder / LOGS
    cache = cache_folder()
    if cache is None:
        raise MetacurateError("METACURATE_CACHE names no folder that the jobs share")
    return cache / LOGS / hashlib.sha256(str(work.folder).encode()).hexdigest()[:24]


def _pack(work: Work, folder: Path) -> tuple[Path, str]:
    """Write once what all jobs need; and its digest, without which no job reads it."""
    content = pickle.dumps(work, protocol=5)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(8)}.work"
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
    path.chmod(0o600)
    return path, hashlib.sha256(content).hexdigest()


def _sbatch(
    engine: SlurmEngine,
    folder: Path,
    payload: Path,
    digest: str,
    jobs: Sequence[Sequence[Units]],
    name: str,
) -> str:
    """Submit an array.

    Returns:
        Its id.

    Raises:
        MetacurateError: when Slurm refuses it.
    """
    import submitit

    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    options = {
        "slurm_job_name": name,
        "slurm_time": engine.time,
        "slurm_mem": engine.mem,
        "cpus_per_task": engine.cpus,
        "slurm_array_parallelism": engine.array_parallelism,
        "slurm_use_srun": False,  # else scancel and time limits take seconds longer
        "slurm_signal_delay_s": 0,  # else a signal before the time limit looks like an error
    }
    if engine.partition is not None:
        options["slurm_partition"] = engine.partition
    executor.update_parameters(**options)
    try:
        submitted = executor.map_array(
            run_job, [payload] * len(jobs), [digest] * len(jobs), jobs, [engine.cpus] * len(jobs)
        )
    except (submitit.core.utils.FailedJobError, OSError) as error:
        raise MetacurateError(f"Slurm refuses the jobs: {first_line(error)}") from error
    return str(submitted[0].job_id).partition("_")[0]


def run_job(payload: Path, digest: str, tasks: Sequence[Units], cpus: int) -> None:
    """Work on the tasks of a job: what submitit calls on a machine of the cluster.

    Args:
        payload: a pickled `Work`. digest: SHA-256 of it, in hex: any other is refused.
        tasks: of the job. cpus: so many at once.

    Raises:
        MetacurateError: when the payload is another one, or results can't be written.
        UnexpectedError: for any other exception.
    """
    for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGCONT):
        signal.signal(number, signal.SIG_DFL)  # submitit lets them pass unheard
    content = payload.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise MetacurateError(f"{payload}: is not what was submitted")
    work: Work = pickle.loads(content)  # noqa: S301 - its digest came with the job
    ledger, job = Ledger(work.folder.parent), _own_name()
    ledger.tell(job, BEGUN)
    try:
        work.check(chain.from_iterable(tasks))
        left = [task for task in tasks if not _is_recorded(work, task)]
        for _ in LocalEngine().map(work, left, cpus, lambda _: None):
            continue
    except Exception as error:
        told = error if isinstance(error, MetacurateError) else UnexpectedError.of(error)
        ledger.tell(job, ERROR, first_line(told))
        raise


def _own_name() -> str:
    """The job's array and number; an array of one job is none for Slurm."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ["SLURM_JOB_ID"])
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"


def _is_recorded(work: Work, task: Units) -> bool:
    """Whether a task is done: by this job, before Slurm began it anew."""
    return is_file(task_place(work.folder, (unit.name for unit in task)))
