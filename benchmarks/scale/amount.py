"""How much is measured, and how it is cut into units and tasks."""

from dataclasses import dataclass

from metacurate.engine.run import TASKS_PER_WORKER, UNITS_PER_TASK

WORKERS = (1, 2)
UNIT_ROWS = 50_000  # of 10 billion pairs in 200,000 shards
MATCHED = 0.8  # of them match


@dataclass(frozen=True)
class Amount:
    """How much is measured.

    Attributes:
        units: of empty work, on each engine. listed: files of a folder.
        planned: files of a made pool, and records that are accounted for.
        pairs: whose smallest thresholds are mapped. rows: that are decided about.
        partials: that are added up. archives: that are extracted.
    """

    units: int
    listed: int
    planned: int
    pairs: int
    rows: int
    partials: int
    archives: int


MUCH = Amount(100_000, 20_000, 200_000, 20_000_000, 20_000_000, 64, 9)
LITTLE = Amount(2_000, 500, 5_000, 4_000_000, 2_000_000, 8, 3)


def task_count(units: float, slots: int) -> int:
    """So many tasks a run makes of units that are a file each."""
    size = min(UNITS_PER_TASK, max(1, int(units) // (slots * TASKS_PER_WORKER)))
    return -(-int(units) // size)
