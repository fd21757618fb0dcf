"""How far a run is: a bar on a terminal, plain lines elsewhere. Both go to standard error."""

import sys
import threading
import time
from types import TracebackType
from typing import Protocol, Self

LINE_EVERY = 10.0  # seconds


class Progress(Protocol):
    """What a run tells while it works; threads may call it at once."""

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        """Begin a stage of so much work, counted in `measure`."""

    def advance(self, work: int) -> None:
        """Tell that so much more is done."""

    def end(self) -> None:
        """End the stage."""


class Silent:
    """Tells nothing: the default in Python."""

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        """Ignore it."""

    def advance(self, work: int) -> None:
        """Ignore it."""

    def end(self) -> None:
        """Ignore it."""


class Bar:
    """A progress bar with pairs per second and time left."""

    def __init__(self) -> None:
        """Prepare the bar; it shows with the first stage."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} {task.fields[measure]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", visible=False, rate="", measure="")

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        """Begin a stage of so much work."""
        self._bar.reset(
            self._task, description=title, total=total, visible=True, rate="", measure=measure
        )

    def advance(self, work: int) -> None:
        """Tell that so much more is done."""
        self._bar.advance(self._task, work)
        task = self._bar.tasks[0]
        if task.speed:
            self._bar.update(self._task, rate=f"{task.speed:,.0f}/s")

    def end(self) -> None:
        """End the stage."""
        self._bar.refresh()


class Lines:
    """A line every ten seconds, and one at the end of a stage."""

    def __init__(self) -> None:
        """Prepare; nothing is printed before the first stage."""
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Nothing to show yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to take away."""

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        """Begin a stage of so much work."""
        self._title, self._total, self._done, self._measure = title, total, 0, measure
        self._began = self._told = time.monotonic()

    def advance(self, work: int) -> None:
        """Tell that so much more is done."""
        with self._lock:
            self._done += work
            now = time.monotonic()
            if now - self._told >= LINE_EVERY:
                self._told = now
                left = (self._total - self._done) * (now - self._began) / max(1, self._done)
                self._print(now, f", {left:,.0f} s left")

    def end(self) -> None:
        """End the stage."""
        self._print(time.monotonic(), "")

    def _print(self, now: float, rest: str) -> None:
        rate = self._done / max(1e-9, now - self._began)
        sys.stderr.write(
            f"{self._title}: {self._done:,} of {self._total:,} {self._measure}, "
            f"{rate:,.0f}/s{rest}\n"
        )


def terminal_progress() -> Bar | Lines:
    """A bar where standard error is a terminal, lines elsewhere."""
    return Bar() if sys.stderr.isatty() else Lines()
