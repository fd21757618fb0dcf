"""The embedded engine: threads of this process, for work that releases the interpreter lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_threads(
    function: Callable[[Item, Event], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """Run a function over items in threads; results come as they are ready.

    When the caller stops listening (an error, Ctrl-C), the items that wait are dropped, and
    those at work are told by the event.

    Args:
        function: takes an item and the event that asks it to stop.
        items: what to work on.
        workers: number of threads.

    Yields:
        The results, in no certain order.
    """
    stop = Event()
    with ThreadPoolExecutor(workers, thread_name_prefix="metacurate") as pool:
        waiting: set[Future[Result]] = set()
        try:
            for item in items:
                waiting.add(pool.submit(function, item, stop))
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            stop.set()
            for future in waiting:
                future.cancel()
