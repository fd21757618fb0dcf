"""Where a training's time goes: waiting for data, or computing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch


class Shares(NamedTuple):
    """Of the time between two readings.

    Attributes:
        seconds: between them. waiting: share of it in which no batch was there.
        computing: share of it in which the device computed.
    """

    seconds: float
    waiting: float
    computing: float


class Stopwatch:
    """Measures until it is read, and then anew.

    A GPU is measured by its own events: it works while Python goes on.
    """

    def __init__(self, device: torch.device) -> None:
        """Begin.

        Args:
            device: which computes.
        """
        self._on_gpu = device.type == "cuda"
        self._restart()

    def _restart(self) -> None:
        self._began = time.perf_counter()
        self._waited = self._computed = 0.0
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for a batch in this block."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute in this block."""
        if self._on_gpu:
            first = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            last = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            first.record()
            yield
            last.record()
            self._events.append((first, last))
            return
        began = time.perf_counter()
        yield
        self._computed += time.perf_counter() - began

    def read(self) -> Shares:
        """What was measured; a GPU is waited for."""
        if self._on_gpu:
            torch.cuda.synchronize()
            self._computed = sum(first.elapsed_time(last) for first, last in self._events) / 1000
        seconds = max(1e-9, time.perf_counter() - self._began)
        shares = Shares(seconds, self._waited / seconds, min(1.0, self._computed / seconds))
        self._restart()
        return shares
