"""What any threshold would keep: exact answers from the smallest thresholds of all pairs."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from metacurate.curation.balance import check_threshold, tail_share_of
from metacurate.curation.count import Counts
from metacurate.curation.stages import Sampling
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import LocalCopies, read_arrow
from metacurate.engine.stores import Place
from metacurate.errors import UsageError
from metacurate.pool.reader import CorruptRows, Reader

SMALLEST = 5e-324  # the smallest float64 above 0
EMPTY = pa.table(
    {"min_threshold": pa.array([], pa.float64()), "matches": pa.array([], pa.uint64())}
)

Run = tuple[npt.NDArray[np.float64], npt.NDArray[np.uint64]]


@dataclass(frozen=True)
class PlanStage(Stage):
    """One pass over ids and texts: the smallest threshold at which each pair is kept.

    Attributes:
        sampling: the pool and what pairs are drawn with; its threshold does not matter.
    """

    sampling: Sampling
    name = "plan"

    def configuration(self) -> dict[str, Any]:
        """All that decides which pairs are kept, but the threshold."""
        return self.sampling.configuration()

    def units(self) -> Sequence[Unit]:
        """The pool's."""
        return self.sampling.pool.units

    def task(self, outputs: Place, watch: Watch) -> "PlanTask":  # noqa: ARG002
        """Begin to draw; nothing is written into `outputs`."""
        return PlanTask(self, watch)


class PlanTask(Task):
    """Draws the pairs of several units."""

    mapped: ClassVar[bool] = True

    def __init__(self, stage: PlanStage, watch: Watch) -> None:
        """Start with no pairs."""
        sampling = stage.sampling
        pool = sampling.pool
        self._sampling = sampling
        self._reader = Reader(pool, [pool.id_column, pool.text_column], watch, sampling.choice)
        self._runs: list[pa.Table] = []

    def process(self, unit: Unit) -> UnitRecord:
        """Draw a unit's pairs, and note the smallest thresholds of those that match.

        Raises:
            InputError: when the file is broken.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        corrupt = CorruptRows()
        thresholds, lengths, invalid, read = [], [], 0, 0
        for rows in self._reader.batches(unit):
            drawn = self._sampling.draw(rows, corrupt)
            possible = np.isfinite(drawn.draws) & (drawn.lengths > 0)
            mins = self._sampling.balance.min_thresholds(
                drawn.matches.filter(pa.array(possible)), drawn.draws[possible]
            )
            thresholds.append(mins)
            lengths.append(drawn.lengths[possible].astype(np.uint64))
            invalid += int(np.isnan(drawn.draws).sum())
            read += len(drawn.draws)
        mins = np.concatenate([np.empty(0), *thresholds])
        order = np.argsort(mins)
        upto = np.cumsum(np.concatenate([np.empty(0, np.uint64), *lengths])[order])
        self._runs.append(pa.table({"min_threshold": mins[order], "matches": upto}))
        return UnitRecord.of(
            unit,
            began,
            rows_read=read + self._reader.filtered + self._reader.left,
            invalid=invalid,
            filtered=self._reader.filtered,
            unmatched=read - invalid - len(mins),
            other_caption=None if self._sampling.choice is None else self._reader.left,
            error=corrupt.message,
        )

    def partial(self) -> pa.Table:
        """A chunk for each unit: smallest thresholds, ascending, and matches up to there."""
        return pa.concat_tables([EMPTY, *self._runs])


@dataclass(frozen=True)
class Answer:
    """What a threshold would keep.

    Attributes:
        threshold: t.
        kept: number of pairs that are kept. share: of the pool's pairs.
        tail_share: share of the matches that fall to tail entries.
        head_entries, tail_entries: numbers of entries with a count of at least t, and below.
        matches_kept: sum of the entries of all pairs that are kept.
    """

    threshold: float
    kept: int
    share: float
    tail_share: float
    head_entries: int
    tail_entries: int
    matches_kept: int

    def to_json(self) -> dict[str, Any]:
        """The answer's fields."""
        return asdict(self)


class MinThresholds:
    """The smallest thresholds of all matched pairs, and with them what any threshold keeps."""

    def __init__(self, runs: Sequence[Run], counts: Counts, pairs: int) -> None:
        """Take what was drawn.

        Args:
            runs: smallest thresholds, float64, ascending; and the numbers of matches of all
                pairs up to each, uint64.
            counts: over the pool. pairs: number of the pool's pairs.
        """
        self._runs = list(runs)
        self._counts = counts
        self._pairs = pairs
        self._copies: LocalCopies | None = None  # of the files that are mapped

    @classmethod
    def read(cls, partials: Sequence[Place], counts: Counts, pairs: int) -> "MinThresholds":
        """Map what a `PlanStage` left.

        Args:
            partials: its files. counts: over the pool. pairs: number of the pool's pairs.
        """
        copies = LocalCopies(partials)
        runs = [
            (batch["min_threshold"].to_numpy(), batch["matches"].to_numpy())
            for path in copies.paths
            for batch in read_arrow(path).to_batches()
        ]
        found = cls(runs, counts, pairs)
        found._copies = copies
        return found

    def kept(self, threshold: float) -> int:
        """Number of pairs that a threshold keeps."""
        return sum(int(np.searchsorted(mins, threshold, "right")) for mins, _ in self._runs)

    def matches_kept(self, threshold: float) -> int:
        """Number of matches of the pairs that a threshold keeps."""
        total = 0
        for mins, upto in self._runs:
            kept = int(np.searchsorted(mins, threshold, "right"))
            total += int(upto[kept - 1]) if kept else 0
        return total

    def largest_threshold(self, budget: int) -> float:
        """The largest threshold that keeps no more than so many pairs.

        Found by bisection over the float64 numbers themselves, so nothing lies in between.

        Args:
            budget: number of pairs, at least 1.

        Returns:
            The threshold; the largest count, which thins nothing, where the budget suffices
            for all matched pairs.

        Raises:
            UsageError: for a budget below 1, or one that every threshold exceeds.
        """
        check_budget(budget)
        highest = float(max(1, self._counts.values.max(initial=0)))
        if self.kept(highest) <= budget:
            return highest
        if self.kept(SMALLEST) > budget:
            raise UsageError(f"every threshold keeps more than {budget} pairs")
        low, high = (int(np.float64(t).view(np.int64)) for t in (SMALLEST, highest))
        while high - low > 1:
            middle = (low + high) // 2
            if self.kept(_float_of(middle)) <= budget:
                low = middle
            else:
                high = middle
        return _float_of(low)

    def answer(self, threshold: float) -> Answer:
        """All that a threshold decides.

        Args:
            threshold: t, above 0.

        Raises:
            UsageError: for one that is not.
        """
        threshold = check_threshold(threshold)
        values = self._counts.values
        kept = self.kept(threshold)
        head = int(np.count_nonzero(values.astype(np.float64) >= threshold))
        return Answer(
            threshold=threshold,
            kept=kept,
            share=kept / self._pairs if self._pairs else 0.0,
            tail_share=tail_share_of(values, threshold),
            head_entries=head,
            tail_entries=len(values) - head,
            matches_kept=self.matches_kept(threshold),
        )


def check_budget(budget: int) -> int:
    """Refuse a budget that is no number of pairs.

    Args:
        budget: of any integer type.

    Returns:
        It.

    Raises:
        UsageError: naming it.
    """
    if not hasattr(budget, "__index__") or budget < 1:
        raise UsageError(f"a budget of {budget} is no number of pairs from 1 on")
    return int(budget)


def _float_of(bits: int) -> float:
    return float(np.int64(bits).view(np.float64))
