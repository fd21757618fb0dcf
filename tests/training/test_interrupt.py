"""Signals are kept until a checkpoint is written, and none is lost."""

import os
import signal
from collections.abc import Sequence

import pytest

from metacurate.training.interrupt import AGAIN, Interrupt, interruptible


def interrupted_twice(behind: list[int]) -> None:
    with interruptible() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # forwarded by a launcher: the same
        behind.append(interrupt.signal)


def test_a_signal_happens_behind_the_block() -> None:
    behind: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_twice(behind)
    assert behind == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt, now = Interrupt(), [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    interrupt.receive(signal.SIGINT, None)
    now[0] += 2 * AGAIN
    interrupt.receive(signal.SIGTERM, None)
    with pytest.raises(KeyboardInterrupt):
        interrupt.receive(signal.SIGINT, None)


def test_all_processes_end_with_one() -> None:
    interrupt = Interrupt()
    assert not interrupt.agree(lambda own: [[0], list(own)])
    assert interrupt.agree(lambda own: [[signal.SIGTERM], list(own)])
    assert interrupt.signal == signal.SIGTERM


def test_a_signal_that_comes_while_processes_ask_is_for_the_next_time() -> None:
    interrupt = Interrupt()

    def gather(own: Sequence[int]) -> list[list[int]]:
        told = list(own)
        interrupt.receive(signal.SIGTERM, None)
        return [told]

    assert not interrupt.agree(gather)
    assert interrupt.agree(gather)
