"""The engine for Ray clusters, of machines that share nothing but the storage."""

import functools
import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, ClassVar, NamedTuple

from metacurate.engine.stage import Unit
from metacurate.engine.work import (
    MOST_LOST,
    TRIES,
    Advance,
    Made,
    Units,
    Work,
    check_workers,
)
from metacurate.errors import MetacurateError, UnexpectedError, UsageError, first_line

IN_FLIGHT = 2  # tasks for each slot: the next one waits where the last one ends
POLL = 0.5  # seconds between two looks at how far tasks are, and between two reports of a task
CONNECT = 10.0  # seconds for a connection
GRACE = 5.0  # seconds that tasks have for ending by themselves
KILLS = f"workers died {TRIES} times while they were at work on nothing else"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(TRIES - 1),  # else without end
}

log = logging.getLogger(__name__)


class RayEngine:
    """Tasks of a Ray cluster: one that is there, or one that is started on this machine.

    Attributes:
        address: of the cluster; None for one that is started on this machine.
    """

    name: ClassVar[str] = "ray"
    outlives: ClassVar[bool] = False

    def __init__(self, address: str | None = None) -> None:
        """Connect to nothing yet.

        Args:
            address: host:port, or ``auto`` for one that runs on this machine; RAY_ADDRESS
                without it, and without that a new one.

        Raises:
            UsageError: for an address of Ray's client, which can't watch over tasks.
        """
        self.address = address or os.environ.get("RAY_ADDRESS")
        if (self.address or "").startswith("ray://"):
            raise UsageError(
                f"address {self.address}: Ray's client can't be used: call metacurate on a "
                "machine of the cluster (ray submit, ray exec, or a job), with host:port or auto"
            )
        self._is_ours = self._is_bounded = False
        self._tracker: Any = None  # one for all stages: a process that starts takes a core's time

    def slots(self, workers: int | None) -> int:
        """As many as asked for; else all cores of the cluster.

        Args:
            workers: number of tasks at once.

        Raises:
            UsageError: for fewer than one.
            MetacurateError: when Ray is not installed, or no cluster answers.
        """
        self._is_bounded = workers is not None
        if workers is not None:
            check_workers(workers)
        ray, is_ours = _connect(self.address)
        self._is_ours |= is_ours
        cores = int(ray.cluster_resources().get("CPU", 0))
        if workers is None and not cores:
            raise MetacurateError("the Ray cluster has no cores")
        return cores if workers is None else workers

    def map(
        self, work: Work, tasks: Sequence[Units], slots: int, advance: Advance
    ) -> Iterator[Made]:
        """Have all tasks worked on; see `metacurate.engine.work.Engine`.

        What all tasks need goes into the object store once, and from there once to each machine,
        where tasks read its arrays without copying them; where a machine can't get it, it is put
        there anew. Ray runs a task again whose worker or machine dies; where that does not help,
        its units are tried one by one.
        """
        ray, _ = _connect(self.address)
        most = slots if self._is_bounded else IN_FLIGHT * slots
        waiting = deque(tuple(task) for task in tasks)
        if self._tracker is None:
            self._tracker = _start_tracker(ray)
        flight = _Flight(ray, work, self._tracker, advance)
        try:
            while waiting or flight.running:
                while waiting and len(flight.running) < most:
                    flight.start(waiting.popleft())
                for units, made, is_lost in flight.wait():
                    if made is not None:
                        yield made
                    elif is_lost:
                        if flight.losses >= MOST_LOST:
                            raise MetacurateError(
                                f"machines were lost {MOST_LOST} times, and nothing was done "
                                "meanwhile. What was finished stays: the same call goes on"
                            )
                        waiting.append(units)
                    elif len(units) > 1:
                        log.warning("workers died: %d units are tried one by one", len(units))
                        waiting.extend((unit,) for unit in units)
                    else:
                        advance(units[0].work)
                        yield work.give_up(units[0], KILLS)
        finally:
            flight.end()

    def close(self) -> None:
        """Leave the cluster that this engine has joined; one that it started ends with that."""
        self._tracker = None
        if self._is_ours:
            import ray

            self._is_ours = False
            ray.shutdown()


class _Ended(NamedTuple):
    """A task that has ended: what was recorded; None where its worker died or it was lost."""

    units: tuple[Unit, ...]
    made: Made | None
    is_lost: bool = False  # with a machine that went or can't be reached: no unit's doing


class _Flight:
    """The tasks that are in Ray's hands.

    Attributes:
        running: by Ray's reference to a task: its number, its units, and what was sent for it.
        losses: machines that went or could not be reached, since a task was last done.
    """

    def __init__(self, ray: Any, work: Work, tracker: Any, advance: Advance) -> None:
        self._ray = ray
        self._deaths = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.LocalRayletDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
        )
        self._lost = (ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError)
        self._advance = advance
        self._work = work
        self._stored = ray.put(work)
        self._tracker = tracker
        self._run = ray.remote(_run).options(
            num_cpus=1, max_retries=TRIES - 1, enable_task_events=False
        )
        self._done: dict[int, int] = {}  # work of each task, as far as it was told
        self.running: dict[Any, tuple[int, tuple[Unit, ...], Any]] = {}
        self.losses = 0

    def start(self, units: tuple[Unit, ...]) -> None:
        """Hand a task to Ray."""
        number = next(_numbers)
        reference = self._run.remote([self._stored], units, number, self._tracker)
        self.running[reference] = number, units, self._stored
        self._done[number] = 0

    def wait(self) -> list[_Ended]:
        """Wait a moment for tasks to end.

        Raises:
            MetacurateError: what a task raised; or any other error of its.
        """
        ended, _ = self._ray.wait(list(self.running), num_returns=1, timeout=POLL)
        if ended:  # and what else has ended by now
            ended, _ = self._ray.wait(list(self.running), num_returns=len(self.running), timeout=0)
        else:
            self._tell()
        found: list[_Ended] = []
        for reference in ended:
            number, units, stored = self.running.pop(reference)
            told = self._done.pop(number)
            try:
                made: Made = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, MetacurateError):
                    raise error.cause from None
                if not isinstance(error.cause, self._ray.exceptions.ObjectLostError):
                    raise UnexpectedError.of(error.cause) from error
                log.debug("a task of %d units: %s", len(units), error.cause)
                self._advance(-told)
                if stored == self._stored:  # else another task has told already
                    self.losses += 1
                    log.warning("a machine could not get what tasks need: it is sent again")
                    self._stored = self._ray.put(self._work)
                found.append(_Ended(units, None, is_lost=True))
            except self._deaths as error:
                log.debug("a task of %d units: %s", len(units), error)
                self._advance(-told)
                is_lost = isinstance(error, self._lost)
                self.losses += is_lost
                found.append(_Ended(units, None, is_lost))
            except self._ray.exceptions.RayError as error:
                raise UnexpectedError.of(error) from error
            else:
                self._advance(sum(unit.work for unit in units) - told)
                self.losses = 0
                found.append(_Ended(units, made))
        return found

    def _tell(self) -> None:
        """Ask how far tasks are."""
        try:
            found = self._ray.get(self._tracker.read.remote(), timeout=GRACE)
        except self._ray.exceptions.RayError:  # it is starting again, as its machine died
            return
        for number, work in found.items():
            if work > self._done.get(number, work):
                self._advance(work - self._done[number])
                self._done[number] = work

    def end(self) -> None:
        """Ask what is still running to end, then end it: what was recorded stays."""
        if not self.running:
            return
        self._tracker.stop.remote(list(self._done))
        _, late = self._ray.wait(list(self.running), num_returns=len(self.running), timeout=GRACE)
        for reference in late:
            self._ray.cancel(reference, force=True)


_numbers = count()  # of tasks, over all stages: the tracker outlives one


def _start_tracker(ray: Any) -> Any:
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=True
    )
    tracker = ray.remote(_Tracker)
    return tracker.options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()


class _Tracker:
    """Lives in the cluster: hears how far tasks are, and tells them when to end."""

    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._stopped: set[int] = set()

    def report(self, number: int, work: int) -> bool:
        """Take in how much a task has done; returns whether it is to end."""
        self._done[number] = work
        return number in self._stopped

    def read(self) -> dict[int, int]:
        """What was reported since the last call."""
        found, self._done = self._done, {}
        return found

    def stop(self, numbers: Sequence[int]) -> None:
        """Have tasks end."""
        self._stopped.update(numbers)


class _Reports:
    """Tells the tracker how far a task is, now and then; and whether the task is to end."""

    def __init__(self, ray: Any, tracker: Any, number: int) -> None:
        self._ray = ray
        self._tracker = tracker
        self._number = number
        self._work = 0
        self._next = time.monotonic() + POLL
        self._answer: Any = None
        self._stopped = False

    def is_set(self) -> bool:
        """Whether the run is to end."""
        return self._stopped

    def advance(self, work: int) -> None:
        """Count work that is done."""
        self._work += work
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + POLL
        if self._answer is not None and self._ray.wait([self._answer], timeout=0)[0]:
            try:
                self._stopped = self._ray.get(self._answer)
            except self._ray.exceptions.RayError:  # the tracker starts again elsewhere
                self._answer = None
        self._answer = self._tracker.report.remote(self._number, self._work)


_loaded: dict[str, Work] = {}  # of a worker process: what it works for, read once


def _run(box: Sequence[Any], units: Units, number: int, tracker: Any) -> Made:
    """Work on a task, in a process of the cluster."""
    import ray

    (reference,) = box  # in a list Ray leaves it as it is: to load it for each task takes longer
    key = reference.hex()
    if key not in _loaded:
        work: Work = ray.get(reference)
        _loaded.clear()
        _loaded[key] = work
    _loaded[key].check(units)
    reports = _Reports(ray, tracker, number)
    return _loaded[key](units, reports, reports.advance)


def _connect(address: str | None) -> tuple[Any, bool]:
    """Ray, connected to a cluster; and whether it was not before.

    Raises:
        UsageError: when it is connected to another one.
        MetacurateError: when it is not installed, or no cluster answers.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise MetacurateError('Ray is not installed: pip install "metacurate[ray]"') from error
    if ray.is_initialized():
        now = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", "local", now):
            raise UsageError(f"Ray is connected to {now} already, not to {address}")
        return ray, False
    _refuse_silent(address)
    try:
        ray.init(
            address=address or "local", include_dashboard=False, logging_level=logging.ERROR,
            log_to_driver=False,
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        where = address or "on this machine"
        hint = "" if address is None else " (one that has a token needs RAY_AUTH_MODE=token)"
        raise MetacurateError(f"no Ray cluster {where}: {first_line(error)}{hint}") from error
    _tell_on_standard_error(ray)
    log.info(
        "Ray: %d cores on %d machines",
        ray.cluster_resources().get("CPU", 0), len([n for n in ray.nodes() if n["Alive"]]),
    )  # fmt: skip
    return ray, True


def _tell_on_standard_error(ray: Any) -> None:
    """Have Ray tell of workers that die where messages go: it would mix them with results."""
    module = ray._private.worker
    tell = getattr(module, "print_to_stdstream", None)
    if tell is None or hasattr(tell, "__wrapped__"):  # it has no such name in public
        return

    @functools.wraps(tell)
    def on_standard_error(data: dict[str, Any], *more: Any, **named: Any) -> Any:
        return tell({**data, "is_err": True}, *more, **named)

    module.print_to_stdstream = on_standard_error


def _refuse_silent(address: str | None) -> None:
    """Refuse an address at which nothing listens: Ray itself would try for minutes.

    Raises:
        MetacurateError: naming it.
    """
    found = re.fullmatch(r"\[?([^/\]]+?)\]?:(\d+)", address or "")
    if found is None:  # of this machine
        return
    try:
        socket.create_connection((found[1], int(found[2])), CONNECT).close()
    except OSError as error:
        raise MetacurateError(f"no Ray cluster {address}: {first_line(error)}") from error
