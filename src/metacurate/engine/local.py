"""The embedded engine: this machine's cores, by threads or by processes.

Threads serve work that releases the interpreter lock, processes work that Python itself does.
"""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing.process import BaseProcess
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, TypeVar

from metacurate.engine.stage import Stop, Unit
from metacurate.engine.work import TRIES, Advance, Made, Units, Work, check_workers
from metacurate.errors import MetacurateError

Item = TypeVar("Item")
Result = TypeVar("Result")

POLL = 0.2  # seconds between two looks at what processes have done
AHEAD = 16  # items handed out for each process: each time Ctrl-C could leave a lock of the pool
GRACE = 5.0  # seconds that processes have for ending by themselves
PARENT_DEATH_SIGNAL = 1  # of prctl(2)
KILLS = (
    f"a worker process died {TRIES} times while it was at work on it alone: it was killed, or "
    "there was too little memory"
)

NONE_BEGAN = (
    "no worker process could begin: there was too little memory, or the script that called has no "
    "`if __name__ == '__main__':`"
)

log = logging.getLogger(__name__)


def default_workers() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalEngine:
    """This machine: threads, or processes for stages whose work Python itself does."""

    name: ClassVar[str] = "local"
    outlives: ClassVar[bool] = False

    def close(self) -> None:
        """Nothing is left to let go of."""

    def slots(self, workers: int | None) -> int:
        """As many as asked for; else all cores.

        Args:
            workers: number of threads or processes.

        Raises:
            UsageError: for fewer than one.
        """
        return check_workers(default_workers() if workers is None else workers)

    def map(
        self, work: Work, tasks: Sequence[Units], slots: int, advance: Advance
    ) -> Iterator[Made]:
        """Have all tasks worked on; see `metacurate.engine.work.Engine`.

        Where a process dies, the units that were at work are tried again one by one, so that
        the one which kills it is told from those beside it.
        """
        if work.stage.runs_in == "threads":
            yield from map_threads(work, tasks, slots, advance)
            return
        waiting, barren = list(tasks), 0
        while waiting:
            try:
                yield from map_processes(work, waiting, slots, advance)
            except WorkerDiedError as error:
                barren = 0 if error.begun else barren + 1
                if barren == TRIES:
                    raise MetacurateError(NONE_BEGAN) from error
                suspects = [unit for i in error.begun for unit in waiting[i]]
                waiting = [waiting[i] for i in error.waiting]
                advance(-sum(error.begun.values()))
                log.warning("a worker process died: %d units are tried again", len(suspects))
                for unit in suspects:
                    yield from _work_alone(work, unit, advance)
            else:
                return


def _work_alone(work: Work, unit: Unit, advance: Advance) -> Iterator[Made]:
    for _ in range(TRIES):
        try:
            yield from map_processes(work, [[unit]], 1, advance)
        except WorkerDiedError as error:
            advance(-sum(error.begun.values()))
        else:
            return
    advance(unit.work)
    yield work.give_up(unit, KILLS)


class WorkerDiedError(MetacurateError):
    """A process ended before its work was done.

    Attributes:
        begun: work that was done of the items that were not finished, by number.
        waiting: numbers of those that had not been begun.
    """

    def __init__(self, begun: dict[int, int], waiting: list[int]) -> None:
        """Tell what is left."""
        super().__init__(
            "a worker process ended before its work was done: it was killed, or there was too "
            "little memory"
        )
        self.begun = begun
        self.waiting = waiting


def map_threads(
    function: Callable[[Item, Stop, Advance], Result],
    items: Sequence[Item],
    workers: int,
    advance: Advance,
) -> Iterator[Result]:
    """Run a function over items in threads; results come as they are ready.

    When the caller stops listening (an error, Ctrl-C), the items that wait are dropped, and
    those at work are told. What the caller waits for has no lock that it could keep from a
    worker when Ctrl-C comes: the futures of a pool have.

    Args:
        function: takes an item, what asks it to stop, and `advance`.
        items: what to work on.
        workers: number of threads.
        advance: told of work that is done, from any thread.

    Yields:
        The results, in no certain order.
    """
    stopped = ctypes.c_byte(0)
    stop = _Stopped(stopped)
    left: SimpleQueue[Item] = SimpleQueue()
    done: SimpleQueue[Future[Result]] = SimpleQueue()

    def work() -> None:
        while not stop.is_set():
            try:
                item = left.get_nowait()
            except Empty:
                return
            made: Future[Result] = Future()
            try:
                made.set_result(function(item, stop, advance))
            except BaseException as error:  # noqa: BLE001 - the caller has it
                made.set_exception(error)
            done.put(made)

    for item in items:
        left.put(item)
    n_items = left.qsize()
    with ThreadPoolExecutor(workers, thread_name_prefix="metacurate") as pool:
        try:
            for _ in range(min(workers, n_items)):
                pool.submit(work)
            for _ in range(n_items):
                yield done.get().result()
        finally:
            stopped.value = 1


def map_processes(
    function: Callable[[Item, Stop, Advance], Result],
    items: Sequence[Item],
    workers: int,
    advance: Advance,
) -> Iterator[Result]:
    """Run a function over items in processes of their own; results come as they are ready.

    Nothing that processes share is locked, so one that is killed can't hold up the others. A
    process whose parent has gone ends at once.

    Args:
        function: as for `map_threads`; it, the items and the results can be pickled.
        items: what to work on.
        workers: number of processes.
        advance: told of work that is done, from this thread.

    Yields:
        The results, in no certain order.

    Raises:
        WorkerDiedError: when a process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
    stopped = context.RawValue("b", 0)
    begun = context.RawArray("b", max(1, len(items)))
    done_by_item = context.RawArray("q", max(1, len(items)))
    others = multiprocessing.active_children()
    told = 0

    def tell() -> None:
        nonlocal told
        total = sum(done_by_item)
        if total > told:
            advance(total - told)
            told = total

    pool = ProcessPoolExecutor(
        min(workers, max(1, len(items))), context, _begin, (stopped, begun, done_by_item)
    )
    waiting: dict[Future[Result], int] = {}
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    left = set(range(len(items)))
    try:
        coming = enumerate(items)
        while True:
            for i, item in islice(coming, AHEAD * workers - len(waiting)):
                future = pool.submit(_work, function, i, item)
                waiting[future] = i
                future.add_done_callback(done.put)
            if not waiting:
                break
            ready = _take(done, POLL)
            tell()
            for future in sorted(ready, key=lambda future: future.exception() is not None):
                result = future.result()  # those that are good first
                left.discard(waiting.pop(future))
                yield result
    except BrokenProcessPool as error:
        tell()
        raise WorkerDiedError(
            {i: done_by_item[i] for i in sorted(left) if begun[i]},
            [i for i in sorted(left) if not begun[i]],
        ) from error
    finally:
        stopped.value = 1
        pool.shutdown(wait=False, cancel_futures=True)  # a thread of the pool does the rest
        _end([one for one in multiprocessing.active_children() if one not in others])


def _take(done: SimpleQueue[Future[Result]], seconds: float) -> list[Future[Result]]:
    """What is done, after a wait of some seconds at the most.

    To wait for the futures themselves would take all their locks each time, and Ctrl-C then
    leaves one that no process's result can get past.
    """
    ready = []
    with suppress(Empty):
        ready.append(done.get(timeout=seconds))
        while True:
            ready.append(done.get_nowait())
    return ready


def _end(processes: Sequence[BaseProcess]) -> None:
    """Wait for processes that end by themselves; a second Ctrl-C doesn't."""
    deadline = time.monotonic() + GRACE
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            if process.is_alive():  # it is deep in a library; what it recorded stays
                process.terminate()


class _Stopped:
    """The stop that processes share: a byte, without a lock."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def is_set(self) -> bool:
        """Whether the run is to end."""
        return bool(self._value.value)


_shared: dict[str, Any] = {}  # of a worker process: what it was begun with


def _begin(stopped: Any, begun: Any, done_by_item: Any) -> None:
    """Prepare a worker process."""
    ignore_interrupts_and_end_with_parent()
    _shared.update(stop=_Stopped(stopped), begun=begun, done=done_by_item)


def ignore_interrupts_and_end_with_parent() -> None:
    """Prepare a process that works for another: that one hears Ctrl-C, and is never outlived."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # at once, even from inside a library
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    while parent is not None and parent.is_alive():
        time.sleep(POLL)
    os._exit(1)


def _work(function: Callable[[Item, Stop, Advance], Result], slot: int, item: Item) -> Result:
    done = _shared["done"]
    _shared["begun"][slot] = 1

    def advance(work: int) -> None:
        done[slot] += work

    return function(item, _shared["stop"], advance)
