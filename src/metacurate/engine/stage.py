"""What a stage is: the work on many units, described apart from who runs it."""

import hashlib
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import pyarrow as pa

from metacurate.engine.stores import Place


@dataclass(frozen=True)
class Unit:
    """A range of rows of one input file: the smallest piece of work.

    Attributes:
        source: path or URI of the input.
        identity: what changes when the input's content does (size and time, or an ETag).
        first_row: of the range.
        rows: number of rows.
        anchor: the row where reading has to begin: the first of its row group.
        problem: why the input can't be worked on, found while planning; None for a good one.
        size: how much work it is, in what its stage measures; its rows where that is None.
    """

    source: str
    identity: str
    first_row: int
    rows: int
    anchor: int
    problem: str | None = None
    size: int | None = None

    @property
    def work(self) -> int:
        """How much work the unit is, in what its stage measures."""
        return self.rows if self.size is None else self.size

    @cached_property
    def name(self) -> str:
        """Names the unit's outputs: the input's stem, a hash of its identity, and the range."""
        path = self.source.partition("?")[0] if "://" in self.source else self.source
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", Path(path).stem)[:80]
        identity = hashlib.sha256(f"{self.source}\0{self.identity}".encode()).hexdigest()[:12]
        return f"{stem}-{identity}-{self.first_row:012d}-{self.first_row + self.rows:012d}"


@dataclass(frozen=True)
class UnitRecord:
    """What became of a unit: every one of its rows, the time, and the error if there was one.

    Attributes:
        unit: its name.
        source: path or URI of the input.
        first_row: of the unit.
        rows_read: rows that were read.
        invalid: rows without a url or text, or whose text is no UTF-8.
        filtered: rows that the pool's filter leaves out.
        kept, balanced_away, unmatched: rows by fate; None where the stage decides none.
        other_caption: matched rows that are left out because another caption of their image
            was chosen; None where the stage chooses none.
        duplicate: rows that another row of the pool repeats, which is kept.
        held_elsewhere: rows that another pool holds already.
        seconds: time it took.
        output: name of the file made of it, or None.
        error: one line, about some of its rows, or where it `failed` about the whole unit.
        failed: True where the unit has no result.
        work: how much the unit was, in what its stage measures.
    """

    unit: str
    source: str
    first_row: int
    rows_read: int
    invalid: int
    seconds: float
    filtered: int = 0
    kept: int | None = None
    balanced_away: int | None = None
    unmatched: int | None = None
    other_caption: int | None = None
    duplicate: int | None = None
    held_elsewhere: int | None = None
    output: str | None = None
    error: str | None = None
    failed: bool = False
    work: int = 0

    @classmethod
    def of(cls, unit: Unit, began: float, **fields: Any) -> Self:
        """Record what became of a unit.

        Args:
            unit: which. began: when work on it did, by the monotonic clock, in seconds.
            **fields: all but its name, source, first row and time.
        """
        seconds = time.monotonic() - began
        return cls(unit.name, unit.source, unit.first_row, seconds=seconds, **fields)

    def to_json(self) -> dict[str, Any]:
        """The record's fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read what `to_json` made."""
        return cls(**fields)


class StoppedError(Exception):
    """A unit was left because the run is asked to stop; nothing is recorded of it."""


class Stop(Protocol):
    """Tells a task at work whether the run is to end: an event of threads, or of processes."""

    def is_set(self) -> bool:
        """Whether it is."""
        ...


class Watch:
    """What a task at work listens to, and where it tells how far it is."""

    def __init__(self, stop: Stop, advance: Callable[[int], None]) -> None:
        """Begin with nothing done.

        Args:
            stop: set when the run is to end. advance: told of work that is done.
        """
        self._stop = stop
        self._advance = advance
        self.done = 0

    def advance(self, work: int) -> None:
        """Tell that so much more is done, in what the stage measures.

        Raises:
            StoppedError: when the run is to end.
        """
        if self._stop.is_set():
            raise StoppedError
        self.done += work
        self._advance(work)


class Task(ABC):
    """One worker's pass over several units, with what it adds up on the way.

    Attributes:
        mapped: whether what it adds up is read piece by piece, from the disk: so it is not
            compressed, however large it is.
    """

    mapped: ClassVar[bool] = False

    @property
    def full(self) -> bool:
        """Whether what was added up has grown so large that it should be recorded now."""
        return False

    def clear(self) -> None:
        """Begin again with nothing added up: what there was is recorded."""
        raise NotImplementedError

    @abstractmethod
    def process(self, unit: Unit) -> UnitRecord:
        """Turn a unit into its outputs: pure and idempotent.

        Raises:
            InputError: when the unit's input is broken; nothing of it is added up then.
            StoppedError: when the run is to end.
        """

    @abstractmethod
    def partial(self) -> pa.Table:
        """What was added up over the units that were processed."""

    def close(self) -> None:  # noqa: B027 - most tasks hold nothing
        """Let go of what the task holds open: connections, threads."""


class Stage(ABC):
    """A kind of work on all units. Implementations are frozen dataclasses.

    A run is keyed by the stage's name and configuration, and by each unit's name: so changed
    inputs or flags redo what they must, and never mix.
    """

    name: str
    measure: ClassVar[str] = "pairs"  # what the work of its units is counted in
    runs_in: Literal["threads", "processes"] = "threads"  # processes where Python parses
    outputs: ClassVar[str | None] = None  # folder in the output folder for the units' files

    @abstractmethod
    def configuration(self) -> dict[str, Any]:
        """All that the result depends on besides the units, as JSON."""

    @abstractmethod
    def units(self) -> Sequence[Unit]:
        """The units of the work, in a stable order."""

    @abstractmethod
    def task(self, outputs: Place, watch: Watch) -> Task:
        """Begin a pass of one worker.

        Args:
            outputs: folder for the files that it writes.
            watch: told of progress, and listened to.
        """

    @property
    def key(self) -> str:
        """Hash of the configuration, in hex."""
        text = json.dumps(self.configuration(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
