"""Signals that end a training: it writes a checkpoint first."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
AGAIN = 1.0  # seconds

Gather = Callable[[Sequence[int]], list[list[int]]]


class Interrupt:
    """What was asked for.

    Attributes:
        signal: that came; 0 before.
    """

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.signal = 0
        self._came = 0.0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Keep a signal for later; another Ctrl-C ends at once.

        One that follows within a second is the same: launchers forward what a terminal, or Slurm,
        has sent to all processes.
        """
        now = time.monotonic()
        if self.signal and number == signal.SIGINT and now - self._came > AGAIN:
            signal.default_int_handler(number, frame)
        if not self.signal:
            self.signal, self._came = number, now

    def agree(self, gather: Gather) -> bool:
        """Ask all processes whether one of them is to end: then all are.

        Args:
            gather: gives the numbers of all processes for that of this one.
        """
        asked = max(number for (number,) in gather([self.signal]))
        if asked:  # else one may have come while they asked, which is for the next time
            self.signal = asked
        return asked != 0


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Keep Ctrl-C and SIGTERM until the block ends, which then happen as always.

    In a thread that is not the main one signals stay as they are.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        signal.signal(number, interrupt.receive)
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if interrupt.signal:
        os.kill(os.getpid(), interrupt.signal)
