"""The jobs that a run has submitted to Slurm: which there are, and how they are."""

import json
import re
import secrets
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from metacurate.engine.storage import (
    Place,
    list_folder,
    read_all,
    read_bytes,
    remove,
    write_json,
    write_text,
)
from metacurate.engine.work import Units
from metacurate.errors import MetacurateError, first_line

JOBS = "jobs"  # folder among a run's records
SUBMITTED = ".submitted"  # ending of a note whose array has no id yet
ACTIVE = frozenset({
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "REQUEUE_HOLD",
    "REQUEUE_FED", "RESIZING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED",
})  # fmt: skip


STUCK = frozenset({  # why a job waits that will wait forever
    "PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints",
    "AccountNotAllowed", "QOSNotAllowed", "InvalidAccount", "InvalidQOS", "JobHeldUser",
    "JobHeldAdmin", "launch_failed_requeued_held",
})  # fmt: skip


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
    """Which arrays of jobs a run has submitted, and the units of each job."""

    def __init__(self, work: Place) -> None:
        """Find it.

        Args:
            work: folder of a run's records.
        """
        self._folder = work / JOBS

    @contextmanager
    def adding(
        self, stage: str, jobs: Sequence[Units]
    ) -> Iterator[tuple[str, Callable[[str], None]]]:
        """Note an array before it is submitted, so that no death of this process can hide it.

        Args:
            stage: name of the folder of the stage's records. jobs: units of each.

        Yields:
            The name to submit it under, and what is to be told its id.
        """
        name = f"metacurate-{stage.rpartition('-')[0]}-{secrets.token_hex(6)}"
        place = self._folder / f"{name}{SUBMITTED}"
        noted = {"stage": stage, "units": [[unit.name for unit in job] for job in jobs]}
        write_json(place, noted)
        yield name, lambda array: write_json(self._folder / f"{array}.json", noted)
        remove([place])

    def read(self) -> dict[str, dict[str, Any]]:
        """The arrays that are noted, by their ids: `stage`, and `units` of each job.

        Raises:
            MetacurateError: when an array was submitted whose id is not known, and Slurm does
                not tell it.
        """
        self._find_out()
        names = sorted(n for n in list_folder(self._folder) if n.endswith(".json"))
        contents = read_all([self._folder / name for name in names])
        return {
            name.removesuffix(".json"): json.loads(content)
            for name, content in zip(names, contents, strict=True)
        }

    def _find_out(self) -> None:
        """Ask for the ids of arrays whose submitting process died before it could note them."""
        for file in list_folder(self._folder):
            if not file.endswith(SUBMITTED):
                continue
            done = ask(
                "squeue", "--noheader", "--states=all", f"--name={file.removesuffix(SUBMITTED)}",
                "--format=%F",
            )  # fmt: skip
            if done.returncode:
                raise MetacurateError(f"squeue: {first_line(OSError(done.stderr)) or 'no answer'}")
            content = read_bytes(self._folder / file)
            for array in set(done.stdout.split()):
                write_text(self._folder / f"{array}.json", content.decode())
            remove([self._folder / file])

    def forget(self, arrays: Iterable[str]) -> None:
        """Drop arrays that are over.

        Args:
            arrays: their ids.
        """
        over = set(arrays)
        names = list_folder(self._folder)
        remove(self._folder / name for name in names if re.split("[._]", name)[0] in over)

    def tell_error(self, job: str, error: BaseException) -> None:
        """Note what ended a job that no other try will mend.

        Args:
            job: array and number. error: what it was.
        """
        write_text(self._folder / f"{job}.error", first_line(error) or type(error).__name__)

    def read_error(self, job: str) -> str | None:
        """What `tell_error` noted of a job, or None.

        Args:
            job: array and number.
        """
        try:
            return read_bytes(self._folder / f"{job}.error").decode()
        except FileNotFoundError:
            return None


def job_states(arrays: Iterable[str]) -> dict[tuple[str, int], JobState]:
    """States of the jobs of some arrays, by array and number, as `squeue` tells them.

    Args:
        arrays: their ids. Jobs that Slurm has forgotten are left out.

    Raises:
        MetacurateError: when Slurm does not answer.
    """
    states: dict[tuple[str, int], JobState] = {}
    for array in arrays:
        done = ask(
            "squeue", "--noheader", "--array", "--states=all", f"--jobs={array}",
            "--format=%F|%K|%T|%r",
        )  # fmt: skip
        if done.returncode and "Invalid job id" not in done.stderr:
            raise MetacurateError(f"squeue: {first_line(OSError(done.stderr)) or 'no answer'}")
        for line in done.stdout.splitlines():
            parent, number, state, reason = line.split("|")
            job = JobState(state, reason if reason in STUCK else "")
            states[parent, int(number) if number.isdigit() else 0] = job
    return states


def read_jobs(work: Place) -> dict[str, Counter[str]]:
    """How many jobs of each state a run has, by the name of its stage's folder.

    Args:
        work: folder of the run's records.

    Returns:
        Nothing where there are none; a state of UNKNOWN where Slurm can't be asked here.
    """
    found: dict[str, Counter[str]] = {}
    for array, noted in Ledger(work).read().items():
        states: Counter[str] = Counter()
        try:
            states.update(map(str, job_states([array]).values()))
        except (MetacurateError, OSError):
            states["UNKNOWN"] += len(noted["units"])
        found.setdefault(noted["stage"], Counter()).update(states)
    return found


def refuse_jobs(work: Place) -> None:
    """Refuse to work in a folder in which jobs are at work.

    Args:
        work: folder of the run's records.

    Raises:
        MetacurateError: naming them.
    """
    ledger = Ledger(work)
    for array in ledger.read():
        if any(job.is_active for job in job_states([array]).values()):
            raise MetacurateError(
                f"jobs of an earlier run are still at work in this folder: go on with --engine "
                f"slurm, or end them with: scancel {array}"
            )


def ask(*command: str) -> "subprocess.CompletedProcess[str]":
    """Call a command of Slurm.

    Args:
        *command: its name and arguments.

    Raises:
        MetacurateError: when it is not on this machine.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError as error:
        raise MetacurateError(
            f"there is no {command[0]} here: is this a machine of Slurm?"
        ) from error
