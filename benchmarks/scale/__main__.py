"""A measurement in a process of its own."""

from collections.abc import Callable
from typing import Any

from benchmarks.fresh import Figures, answer
from benchmarks.scale.commands import measure_command, measure_extract
from benchmarks.scale.driver import (
    measure_accounting,
    measure_decide,
    measure_listing,
    measure_reduce,
    measure_stage,
    measure_thresholds,
)
from benchmarks.scale.empty import measure_engine
from benchmarks.scale.requests import measure_requests

PARTS: dict[str, Callable[..., Figures]] = {
    "engine": measure_engine,
    "requests": measure_requests,
    "listing": measure_listing,
    "stage": measure_stage,
    "accounting": measure_accounting,
    "reduce": measure_reduce,
    "thresholds": measure_thresholds,
    "decide": measure_decide,
    "command": measure_command,
    "extract": measure_extract,
}


def main(part: str, **options: Any) -> Figures:
    """Measure a part.

    Args:
        part: names the function. **options: what it takes.
    """
    return PARTS[part](**options)


if __name__ == "__main__":
    answer(main)
