"""Compare the pairs that one and two workers keep, then their times; and watch memory."""

import shutil
from statistics import median

from benchmarks import data
from benchmarks.fresh import Figures, MeasurementError, agree, measure
from benchmarks.machine import best_efficiency
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

LEAST_EFFICIENCY = 0.85
MOST_MEMORY = 600.0
FLAT = 1.1  # the largest pool's peak over the smallest's
WORKERS = (1, 2)


def run(sizes: Sizes) -> Section:
    data.pool_path(data.SMALL)
    speed = [_speed(pool, sizes.runs) for pool in sizes.pools]
    memory = [_memory(pool) for pool in sizes.memory]
    tables = [_speed_table(speed), _memory_table(memory)]
    return Section("curate", tables, {"speed": speed, "memory": memory})


def _speed(pool: int, times: int) -> Figures:
    data.pool_path(pool)
    expected = measure("curate.straightforward", rows=pool)
    runs: dict[int, list[Figures]] = {workers: [] for workers in WORKERS}
    best = []
    for turn in range(times):
        best.append(best_efficiency())
        for workers in WORKERS:
            runs[workers].append(_curate(pool, workers, expected if turn == 0 else None))
            agree("kept", {"first": str(expected["kept"]), "now": str(runs[workers][-1]["kept"])})
    return {"pool": pool, "runs": runs, "best_efficiency": best}


def _memory(pool: int) -> Figures:
    data.pool_path(pool)
    return {"pool": pool, "runs": [_curate(pool, max(WORKERS))]}


def _curate(pool: int, workers: int, expected: Figures | None = None) -> Figures:
    """Curate into a folder that is removed at the end, and look at what it holds."""
    out = data.WORK / f"curated-{workers}"
    try:
        figures = measure("curate.metacurate", rows=pool, workers=workers, out=str(out))
        if figures["rows_read"] != pool:
            raise MeasurementError(f"{figures['rows_read']} of {pool} rows were read")
        if expected is not None:
            found = measure("curate.digest", out=str(out))
            agree("curated pairs", {"expected": expected["answer"], "found": found["answer"]})
        return figures
    finally:
        shutil.rmtree(out, ignore_errors=True)


def _speed_table(measured: list[Figures]) -> Table:
    rows = []
    efficiencies = []
    for one in measured:
        alone, both = (median(run["seconds"] for run in one["runs"][w]) for w in WORKERS)
        efficiencies.append(alone / (2 * both))
        first = one["runs"][1][0]
        rows.append(
            [
                f"{one['pool']:,}", f"{first['kept']:,}", f"{alone:.2f}", f"{both:.2f}",
                f"{one['pool'] / both:,.0f}", f"{efficiencies[-1]:.0%}",
                f"{median(one['best_efficiency']):.0%}",
            ]
        )  # fmt: skip
    possible = min(median(one["best_efficiency"]) for one in measured)
    met = min(efficiencies) >= LEAST_EFFICIENCY
    note = (
        "`metacurate.curate` end to end: count, balance, sample, write; with one and two "
        "workers. Both keep the same pairs as a straightforward loop over the pool.\n"
        "*Efficiency* is half of the speed-up; *possible* is that of two threads that share "
        "nothing, measured between the runs.\n"
        f"Budget: {LEAST_EFFICIENCY:.0%}, {verdict(met, possible)}."
    )
    columns = ["pairs", "kept", "1 worker s", "2 workers s", "pairs/s", "efficiency", "possible"]
    return Table("Curating a pool", columns, rows, note)


def _memory_table(measured: list[Figures]) -> Table:
    peaks = [max(run["memory"] for run in one["runs"]) for one in measured]
    rows = [
        [f"{one['pool']:,}", f"{median(run['seconds'] for run in one['runs']):.1f}", f"{peak:.0f}"]
        for one, peak in zip(measured, peaks, strict=True)
    ]
    met = max(peaks) <= MOST_MEMORY and peaks[-1] <= FLAT * peaks[0]
    note = (
        f"Peak resident memory of `metacurate.curate` with {max(WORKERS)} workers, all included.\n"
        f"Budget: flat, at most {MOST_MEMORY:.0f} MB: {verdict(met)}."
    )
    return Table("Memory", ["pairs", "seconds", "peak MB"], rows, note)
