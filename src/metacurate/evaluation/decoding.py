"""Images decoded and prepared, by this process or by several."""

import itertools
import multiprocessing
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any

from metacurate.engine.local import ignore_interrupts_and_end_with_parent
from metacurate.errors import MetacurateError
from metacurate.evaluation.datasets import Picture
from metacurate.evaluation.preprocessing import Pixels, Preparation, prepare

AT_ONCE = 16  # images that a process is given together
AHEAD = 4  # times as many are under way, for each process


def prepared(
    pictures: Iterable[Picture], preparation: Preparation, workers: int
) -> Generator[tuple[Picture, Pixels | str]]:
    """Prepare images, in the order in which they come.

    Args:
        pictures: read as they are needed. preparation: how.
        workers: processes that decode; 0 for this one.

    Yields:
        Each image, without its content, with its pixels or the reason why it has none.

    Raises:
        MetacurateError: when a process dies.
    """
    if not workers:
        for picture in pictures:
            yield _told(picture), _prepare(picture, preparation)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy PyTorch's threads and locks
    waiting: deque[tuple[list[Picture], Any]] = deque()
    pool = ProcessPoolExecutor(workers, context, ignore_interrupts_and_end_with_parent)
    try:
        rest = iter(pictures)
        while some := list(itertools.islice(rest, AT_ONCE)):
            told = [_told(picture) for picture in some]
            waiting.append((told, pool.submit(_prepare_all, some, preparation)))
            if len(waiting) >= AHEAD * workers:
                yield from _next(waiting)
        while waiting:
            yield from _next(waiting)
    except BrokenProcessPool as error:
        raise MetacurateError(
            "a process that decodes images has ended: there was too little memory, or the script "
            "that called has no `if __name__ == '__main__':`"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(picture: Picture, preparation: Preparation) -> Pixels | str:
    return picture.fault if picture.content is None else prepare(picture.content, preparation)


def _prepare_all(pictures: Sequence[Picture], preparation: Preparation) -> list[Pixels | str]:
    return [_prepare(picture, preparation) for picture in pictures]


def _told(picture: Picture) -> Picture:
    return replace(picture, content=None)


def _next(waiting: "deque[tuple[list[Picture], Any]]") -> Iterator[tuple[Picture, Pixels | str]]:
    pictures, future = waiting.popleft()
    yield from zip(pictures, future.result(), strict=True)
