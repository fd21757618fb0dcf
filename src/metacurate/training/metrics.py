"""How a training goes: a line of JSON for each few steps, and the same for TensorBoard."""

import json
import math
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from metacurate.engine.storage import write_text
from metacurate.errors import MetacurateError

LINES = "metrics.jsonl"
TENSORBOARD = "tensorboard"

Metrics = Mapping[str, float | int]


class MetricsLog:
    """Appends to metrics.jsonl and to TensorBoard's events."""

    def __init__(self, run: Path, step: int) -> None:
        """Go on behind a step; lines of later steps, which are done again, are removed.

        Args:
            run: its folder. step: how many are done.
        """
        self._path = run / LINES
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        kept = [line for line in lines if _step_of(line) <= step]
        write_text(self._path, "".join(line + "\n" for line in kept))
        self._file = self._path.open("a")
        self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=step + 1)

    def __enter__(self) -> Self:
        """Write until the block ends."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the files."""
        with suppress(OSError) if error else nullcontext():  # what went wrong first is told
            self._file.close()
            self._board.close()

    def write(self, step: int, metrics: Metrics) -> None:
        """Write what was measured.

        Args:
            step: how many are done. metrics: by name.

        Raises:
            MetacurateError: when the disk is full.
        """
        try:
            self._file.write(json.dumps({"step": step, **metrics}) + "\n")
            self._file.flush()
            for name, value in metrics.items():
                self._board.add_scalar(name, value, step)
        except OSError as error:
            raise MetacurateError(f"{self._path}: can't be written: {error}") from error


def _step_of(line: str) -> float:
    """The step of a line; that of one that was cut off is none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
