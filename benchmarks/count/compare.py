"""Compare counts with the straightforward way's, then the time with that of only reading."""

from statistics import median

from benchmarks import data
from benchmarks.fresh import Figures, agree, measure
from benchmarks.machine import best_efficiency, cores
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

MOST_RATIO = 2.5


def run(sizes: Sizes) -> Section:
    rows: list[list[str]] = []
    figures: list[Figures] = []
    met = {1: True, cores(): True}
    possible = []
    for pool in sizes.pools:
        data.pool_path(pool)
        direct = measure("count.in_memory", rows=pool)
        for threads in sorted({1, cores()}):
            ours: list[Figures] = []
            theirs: list[Figures] = []
            for _ in range(sizes.runs):
                possible.append(best_efficiency())
                theirs.append(measure("count.read_only", rows=pool, threads=threads))
                ours.append(measure("count.metacurate", rows=pool, threads=threads))
                agree("counts", {"in memory": direct["answer"], "metacurate": ours[-1]["answer"]})
            ratio = _median(ours, "seconds") / _median(theirs, "seconds")
            met[threads] = met[threads] and ratio <= MOST_RATIO
            figures.append(
                {"pool": pool, "threads": threads, "count": ours, "read": theirs, "direct": direct}
            )
            rows.append(
                [
                    f"{pool:,}", str(threads),
                    f"{_median(theirs, 'first'):.2f}", f"{_median(theirs, 'seconds'):.3f}",
                    f"{_median(ours, 'seconds'):.3f}",
                    f"{ratio:.2f}", f"{pool / _median(ours, 'seconds'):,.0f}",
                    f"{_median(theirs, 'memory'):.0f}", f"{_median(ours, 'memory'):.0f}",
                ]
            )  # fmt: skip
    speed = median(one["direct"]["texts"] / one["direct"]["seconds"] for one in figures)
    note = (
        "`metacurate.count` over a Parquet file, beside `pyarrow.parquet.read_table` of the "
        "column of texts alone, both with as many threads.\n"
        "Counts equal those of `Matcher.count` on the column in memory, which alone, on one "
        f"thread, makes {speed:,.0f} texts/s.\n"
        "*First read* is a process's first call, which the system also gives its memory; the "
        "ratio is that of later calls.\n"
        f"Two threads that share nothing reached {median(possible):.0%} efficiency meanwhile.\n"
        f"Budget: {MOST_RATIO} times reading, with all cores: "
        f"{verdict(met[cores()], median(possible))}."
    )
    columns = [
        "pairs", "threads", "first read s", "read s", "count s", "times", "pairs/s",
        "read MB", "count MB",
    ]  # fmt: skip
    return Section(
        "count",
        [Table("Counting a pool", columns, rows, note)],
        {"runs": figures, "possible": possible},
    )


def _median(runs: list[Figures], key: str) -> float:
    return float(median(one[key] for one in runs))
