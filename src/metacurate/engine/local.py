"""The embedded engine: this machine's cores, by threads or by processes.

Threads serve work that releases the interpreter lock, processes work that Python itself does.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from metacurate.engine.stage import Stop
from metacurate.errors import MetacurateError

Item = TypeVar("Item")
Result = TypeVar("Result")
Advance = Callable[[int], None]

POLL = 0.2  # seconds between two looks at what processes have done
GRACE = 5.0  # seconds that processes have for ending by themselves
PARENT_DEATH_SIGNAL = 1  # of prctl(2)


def default_workers() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_threads(
    function: Callable[[Item, Stop, Advance], Result],
    items: Sequence[Item],
    workers: int,
    advance: Advance,
) -> Iterator[Result]:
    """Run a function over items in threads; results come as they are ready.

    When the caller stops listening (an error, Ctrl-C), the items that wait are dropped, and
    those at work are told by the event.

    Args:
        function: takes an item, the event that asks it to stop, and `advance`.
        items: what to work on.
        workers: number of threads.
        advance: told of work that is done, from any thread.

    Yields:
        The results, in no certain order.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(workers, thread_name_prefix="metacurate") as pool:
        waiting: set[Future[Result]] = set()
        try:
            waiting.update(pool.submit(function, item, stop, advance) for item in items)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            stop.set()
            _cancel(waiting)


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
        MetacurateError: when a process was killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
    stopped = context.RawValue("b", 0)
    done_by_item = context.RawArray("q", max(1, len(items)))
    others = multiprocessing.active_children()
    told = 0

    def tell() -> None:
        nonlocal told
        total = sum(done_by_item)
        if total > told:
            advance(total - told)
            told = total

    with ProcessPoolExecutor(
        min(workers, max(1, len(items))), context, _begin, (stopped, done_by_item)
    ) as pool:
        waiting: set[Future[Result]] = set()
        try:
            waiting.update(pool.submit(_work, function, i, item) for i, item in enumerate(items))
            while waiting:
                done, waiting = wait(waiting, timeout=POLL, return_when=FIRST_COMPLETED)
                tell()
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise MetacurateError(
                "a worker process ended before its work was done: it was killed, or there was "
                "too little memory, or the script that called has no "
                "`if __name__ == '__main__':`. What was finished stays: the same call goes on"
            ) from error
        finally:
            stopped.value = 1
            _cancel(waiting)
            _, late = wait(waiting, timeout=GRACE)
            for process in multiprocessing.active_children() if late else ():
                if process not in others:  # it is deep in a library; what it recorded stays
                    process.terminate()


def _cancel(futures: set[Future[Any]]) -> None:
    for future in futures:
        future.cancel()


class _Stopped:
    """The stop that processes share: a byte, without a lock."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def is_set(self) -> bool:
        """Whether the run is to end."""
        return bool(self._value.value)


_shared: dict[str, Any] = {}  # of a worker process: what it was begun with


def _begin(stopped: Any, done_by_item: Any) -> None:
    """Prepare a worker process."""
    ignore_interrupts_and_end_with_parent()
    _shared.update(stop=_Stopped(stopped), done=done_by_item)


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

    def advance(work: int) -> None:
        done[slot] += work

    return function(item, _shared["stop"], advance)
