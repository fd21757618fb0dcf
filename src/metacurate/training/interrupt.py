"""Signals that end a training: it writes a checkpoint first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """What was asked for.

    Attributes:
        signal: that came; None before.
    """

    def __init__(self) -> None:
        """Nothing was asked for."""
        self.signal: int | None = None

    def receive(self, number: int, _: FrameType | None) -> None:
        """Keep a signal for later; the second one ends at once."""
        self.signal = number
        for one in ENDING:
            signal.signal(
                one, signal.SIG_DFL if one != signal.SIGINT else signal.default_int_handler
            )


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
    if interrupt.signal is not None:
        os.kill(os.getpid(), interrupt.signal)
