"""Compare the pairs that are left with what a set leaves, then times; and watch memory."""

import shutil
from statistics import median
from typing import Any

from benchmarks import data
from benchmarks.fresh import Figures, agree, measure
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

MOST_MEMORY = 1_000.0
WORKERS = (1, 2)


def run(sizes: Sizes) -> Section:
    data.repeating_pool_path(data.SMALL)
    speed = [_speed(pool, sizes.runs) for pool in sizes.pools]
    memory = [_memory(pool) for pool in sizes.memory]
    tables = [_speed_table(speed), _memory_table(memory)]
    return Section("dedup", tables, {"speed": speed, "memory": memory})


def _speed(pool: int, times: int) -> Figures:
    data.repeating_pool_path(pool)
    sets: list[Figures] = []
    ours: dict[int, list[Figures]] = {workers: [] for workers in WORKERS}
    for turn in range(times):
        sets.append(_measure("plain_set", pool, digest=turn == 0))
        for workers in WORKERS:
            ours[workers].append(_measure("metacurate", pool, digest=turn == 0, workers=workers))
            if turn == 0:
                agree("pairs", {"set": sets[0]["answer"], "metacurate": ours[workers][0]["answer"]})
    return {"pool": pool, "set": sets, "metacurate": ours}


def _memory(pool: int) -> Figures:
    data.repeating_pool_path(pool)
    return {"pool": pool, "run": _measure("metacurate", pool, digest=False, workers=max(WORKERS))}


def _measure(name: str, pool: int, digest: bool, **options: Any) -> Figures:
    """Write into a folder that is removed at the end, and look at what it holds."""
    out = data.WORK / "unique"
    shutil.rmtree(out, ignore_errors=True)
    try:
        figures = measure(f"dedup.{name}", rows=pool, out=str(out), **options)
        return {**figures, **(measure("dedup.digest", out=str(out)) if digest else {})}
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _speed_table(measured: list[Figures]) -> Table:
    rows = []
    for one in measured:
        plain = _median(one["set"], "seconds")
        alone, both = (_median(one["metacurate"][workers], "seconds") for workers in WORKERS)
        rows.append(
            [
                f"{one['pool']:,}", f"{one['set'][0]['rows']:,}", f"{plain:.2f}", f"{alone:.2f}",
                f"{both:.2f}", f"{plain / alone:.1f}", f"{plain / both:.1f}",
                f"{one['pool'] / both:,.0f}", f"{_median(one['set'], 'memory'):.0f}",
                f"{_median(one['metacurate'][max(WORKERS)], 'memory'):.0f}",
            ]
        )  # fmt: skip
    note = (
        "`metacurate dedup` from Parquet to Parquet, with one and two workers, beside a Python "
        "set of all pairs that writes the first row of each. Every fourth row repeats a pair; the "
        "same pairs are left.\n"
        "*Times* is how many times as fast metacurate is. A set holds all pairs in memory; "
        "metacurate none, and reads the pool twice."
    )
    columns = [
        "rows", "left", "set s", "1 worker s", "2 workers s", "times", "times", "rows/s",
        "set MB", "peak MB",
    ]  # fmt: skip
    return Table("One row of each pair", columns, rows, note)


def _memory_table(measured: list[Figures]) -> Table:
    rows = [
        [f"{one['pool']:,}", f"{one['run']['seconds']:.1f}", f"{one['run']['memory']:.0f}"]
        for one in measured
    ]
    peak = max(one["run"]["memory"] for one in measured)
    note = (
        f"Peak resident memory of `metacurate dedup` with {max(WORKERS)} workers, all included.\n"
        f"Budget: {MOST_MEMORY:,.0f} MB: {verdict(peak <= MOST_MEMORY)}."
    )
    return Table("Memory", ["rows", "seconds", "peak MB"], rows, note)


def _median(runs: list[Figures], key: str) -> float:
    return float(median(one[key] for one in runs))
