"""The jobs that a run has submitted to Slurm: which there are, and how they are."""

import json
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeAlias

from metacurate.engine.storage import (
    list_folder,
    read_bytes,
    remove,
    write_json,
    write_text,
)
from metacurate.engine.stores import Place
from metacurate.engine.work import Units
from metacurate.errors import MetacurateError, first_line

JOBS = "jobs"  # folder among a run's records
NOTED = ".json"  # ending of an array's note
SUBMITTED = ".submitted"  # of one that has no id yet
BEGUN = ".begun"  # of a job that has begun
ERROR = ".error"  # of one that ended with an error
ANSWER = 60.0  # seconds that Slurm's commands have
AT_ONCE = 200  # arrays that are asked after together
PENDING, CANCELLED = "PENDING", "CANCELLED"
ACTIVE = frozenset({
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD",
    "REQUEUE_FED", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
})  # fmt: skip
STUCK = frozenset({  # why a job waits that will wait forever
    "PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints",
    "AccountNotAllowed", "QOSNotAllowed", "InvalidAccount", "InvalidQOS", "JobHeldUser",
    "JobHeldAdmin", "launch_failed_requeued_held",
})  # fmt: skip


Job: TypeAlias = tuple[str, int]  # array and number


class JobState(NamedTuple):
    """How a job is.

    Attributes:
        name: as Slurm names it. stuck: why it will wait forever, if it will.
    """

    name: str
    stuck: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it may do something yet."""
        return self.name in ACTIVE

    def __str__(self) -> str:
        """As people read it."""
        return f"{self.name} ({self.stuck})" if self.stuck else self.name


class Ledger:
    """Which arrays of jobs a run has submitted, the units of each job, and what jobs tell."""

    def __init__(self, work: Place) -> None:
        """Find it.

        Args:
            work: folder of a run's records.
        """
        self.folder = work / JOBS

    @contextmanager
    def adding(
        self, stage: str, jobs: Sequence[Units]
    ) -> Iterator[tuple[str, Callable[[str], None]]]:
        """Note an array before it is submitted, so that no death of this process can hide it.

        Args:
            stage: name of the folder of the stage's records. jobs: units of each.

        Yields:
            The name to submit it under, and what is to be told its id.

        Raises:
            MetacurateError: when it can't be noted.
        """
        name = f"metacurate-{stage.rpartition('-')[0]}-{secrets.token_hex(6)}"
        place = self.folder / f"{name}{SUBMITTED}"
        noted = {"stage": stage, "units": [[unit.name for unit in job] for job in jobs]}
        write_json(place, noted)
        yield name, lambda array: write_json(self.folder / f"{array}{NOTED}", noted)
        remove([place])

    def read(self, ending: str = NOTED) -> dict[str, dict[str, Any]]:
        """The arrays that are noted, by their ids: `stage`, and `units` of each job.

        Args:
            ending: of the notes: those of arrays without an id have another.

        Raises:
            MetacurateError: when the notes can't be read.
        """
        found = {}
        for name in sorted(list_folder(self.folder)):
            if name.endswith(ending):
                with suppress(FileNotFoundError):  # it was dropped meanwhile
                    content = read_bytes(self.folder / name)
                    found[name.removesuffix(ending)] = json.loads(content)
        return found

    def find_out(self) -> None:
        """Find the ids of arrays whose submitting process died before it could note them.

        For whoever holds the run's lock.

        Raises:
            MetacurateError: when Slurm does not answer.
        """
        for name, noted in self.read(SUBMITTED).items():
            answer = ask("squeue", "--noheader", "--states=all", f"--name={name}", "--format=%F")
            if answer.returncode:
                raise _unanswered(answer)
            for array in set(answer.stdout.split()):
                write_json(self.folder / f"{array}{NOTED}", noted)
            remove([self.folder / f"{name}{SUBMITTED}"])

    def forget(self, arrays: Iterable[str]) -> None:
        """Drop arrays that are over, with what their jobs told.

        Args:
            arrays: their ids.

        Raises:
            MetacurateError: when that can't be done.
        """
        over = set(arrays)
        names = list_folder(self.folder) if over else {}
        remove(
            self.folder / name for name in names if name.partition(".")[0].partition("_")[0] in over
        )

    def tell(self, job: str, ending: str, text: str = "") -> None:
        """Note what a job has to tell: that it has begun, or what ended it.

        Args:
            job: array and number. ending: which of the two. text: the error, in one line.

        Raises:
            MetacurateError: when it can't be noted.
        """
        write_text(self.folder / f"{job}{ending}", text)

    def told(self, ending: str) -> dict[str, Place]:
        """Where jobs told something, by array and number.

        Args:
            ending: what.

        Raises:
            MetacurateError: when that can't be looked at.
        """
        return {
            name.removesuffix(ending): self.folder / name
            for name in list_folder(self.folder)
            if name.endswith(ending)
        }


def job_states(arrays: Sequence[str]) -> dict[Job, JobState]:
    """States of the jobs of some arrays, by array and number, as `squeue` tells them.

    Args:
        arrays: their ids. Jobs that Slurm has forgotten are left out.

    Raises:
        MetacurateError: when Slurm does not answer.
    """
    states: dict[Job, JobState] = {}
    for start in range(0, len(arrays), AT_ONCE):
        some = arrays[start : start + AT_ONCE]
        answer = ask(
            "squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(some)}",
            "--format=%F|%K|%T|%r",
        )  # fmt: skip
        if answer.returncode and "Invalid job id" not in answer.stderr:
            raise _unanswered(answer)
        for line in answer.stdout.splitlines():
            parent, number, state, reason = line.split("|")
            job = JobState(state, reason if reason in STUCK else "")
            states[parent, int(number) if number.isdigit() else 0] = job
    return states


def living_arrays(ledger: Ledger) -> tuple[dict[str, dict[str, Any]], dict[Job, JobState]]:
    """Arrays of a run that may do something yet; those that are over are dropped.

    For whoever holds the run's lock.

    Args:
        ledger: of the run.

    Returns:
        What is noted of them, as of `Ledger.read`, and the states of all that were noted.

    Raises:
        MetacurateError: when arrays are noted and Slurm does not answer.
    """
    if not list_folder(ledger.folder):
        return {}, {}
    try:
        ledger.find_out()
        noted = ledger.read()
        states = job_states(list(noted))
    except MetacurateError as error:
        raise MetacurateError(
            f"{error}. Jobs that are noted in {ledger.folder} may be at work: call where Slurm "
            "answers, or remove that folder where you know that none is"
        ) from error
    active = {array for (array, _), job in states.items() if job.is_active}
    ledger.forget(noted.keys() - active)
    return {array: one for array, one in noted.items() if array in active}, states


def read_jobs(work: Place) -> dict[str, Counter[str]]:
    """How many jobs of each state a run has, by the name of its stage's folder.

    Args:
        work: folder of the run's records.

    Returns:
        Nothing where there are none; a state of UNKNOWN where Slurm can't be asked here.
    """
    ledger = Ledger(work)
    noted = ledger.read()
    found: dict[str, Counter[str]] = {}
    try:
        states = job_states(list(noted))
    except MetacurateError:
        states = {}
        for one in noted.values():
            found.setdefault(one["stage"], Counter())["UNKNOWN"] += len(one["units"])
    for (array, _), job in states.items():
        if array in noted:
            found.setdefault(noted[array]["stage"], Counter())[str(job)] += 1
    for one in ledger.read(SUBMITTED).values():
        found.setdefault(one["stage"], Counter())["UNKNOWN"] += len(one["units"])
    return found


def ask(*command: str) -> "subprocess.CompletedProcess[str]":
    """Call a command of Slurm.

    Args:
        *command: its name and arguments.

    Raises:
        MetacurateError: when it is not on this machine, or does not end.
    """
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=False, timeout=ANSWER
        )
    except FileNotFoundError as error:
        raise MetacurateError(f"there is no {command[0]} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise MetacurateError(f"{command[0]} gives no answer") from error


def _unanswered(answer: "subprocess.CompletedProcess[str]") -> MetacurateError:
    return MetacurateError(f"squeue: {first_line(OSError(answer.stderr)) or 'no answer'}")
