"""How long the explorer's pages take: the median, and what nineteen of twenty stay below."""

import numpy as np

from benchmarks.fresh import measure
from benchmarks.machine import best_efficiency
from benchmarks.report import Section, Table, verdict
from benchmarks.sizes import Sizes

MOST_SECONDS = 1.0


def run(sizes: Sizes) -> Section:
    rows = sizes.pools[0]
    possible = best_efficiency()
    measured = measure("explore.client", rows=rows, runs=sizes.runs)
    cells, worst = [], 0.0
    for kind, seconds in measured["seconds"].items():
        middle, high = np.quantile(seconds, (0.5, 0.95)).tolist()
        worst = max(worst, high)
        cells.append(
            [kind, str(len(seconds)), f"{1000 * middle:.0f}", f"{1000 * high:.0f}",
             f"{1000 * max(seconds):.0f}"]
        )  # fmt: skip
    note = (
        f"`metacurate explore` over a set that was drawn from {rows:,} pairs in 8 Parquet files, "
        f"one request at a time over HTTP, {measured['requests']} different ones of each kind.\n"
        "The rows of each answer equal those of a plain scan by pyarrow and Python.\n"
        f"The first page is there {measured['start']:.1f} s after the start of the process, and "
        f"the pool's pairs, which need the matcher, after {measured['ready']:.1f} s.\n"
        f"Budget: {MOST_SECONDS:.0f} s for 95 of 100 requests of each kind: "
        f"{verdict(worst <= MOST_SECONDS, possible)}."
    )
    columns = ["question", "requests", "median ms", "95th percentile ms", "longest ms"]
    table = Table("Exploring a set", columns, cells, note)
    return Section("explore", [table], {**measured, "possible": possible})
