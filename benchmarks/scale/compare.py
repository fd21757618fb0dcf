"""Measure all parts, and compute the model of whole crawls from them."""

import shutil
from dataclasses import asdict
from functools import partial
from statistics import median

from benchmarks import data
from benchmarks.fresh import Figures, agree, measure
from benchmarks.machine import best_efficiency
from benchmarks.report import Section
from benchmarks.scale.amount import LITTLE, MUCH, UNIT_ROWS, WORKERS
from benchmarks.scale.empty import ENGINES
from benchmarks.scale.model import Assumed, model
from benchmarks.scale.requests import COMMANDS, requests_of
from benchmarks.scale.tables import driver_table, efficiency_table, engine_table, request_table
from benchmarks.sizes import QUICK, Sizes


def run(sizes: Sizes) -> Section:
    amount, pool = LITTLE if sizes is QUICK else MUCH, sizes.pools[-1]
    for path in (data.metadata_path(), data.pool_path(pool), data.repeating_pool_path(pool)):
        assert path.exists()  # made before anything is timed
    part = partial(measure, "scale")
    figures: Figures = {
        "amount": {**asdict(amount), "pool": pool},
        "efficiency": {name: _efficiency(name, pool, sizes.runs) for name in ("local", "ray")},
        "engines": {
            name: part(part="engine", units=amount.units, **options)
            for name, options in ENGINES.items()
            if name != "slurm" or shutil.which("sbatch")
        },
        "requests": {name: requests_of(name) for name in COMMANDS},
        "listing": part(part="listing", files=amount.listed),
        "stage": part(part="stage", files=amount.planned),
        "accounting": part(part="accounting", units=amount.planned),
        "reduce": part(part="reduce", partials=amount.partials),
        "thresholds": part(part="thresholds", pairs=amount.pairs),
        "decide": [
            part(part="decide", rows=amount.rows, unit_rows=rows, alone=rows < UNIT_ROWS)
            for rows in (UNIT_ROWS, UNIT_ROWS // 10)
        ],
        "commands": {
            name: part(part="command", command=name, rows=pool)
            for name in ("curate", "plan", "dedup")
        },
        "extract": part(part="extract", archives=amount.archives),
    }
    tables = [
        engine_table(figures), efficiency_table(figures), request_table(figures),
        driver_table(figures), *model(figures, Assumed()),
    ]  # fmt: skip
    return Section("scale", tables, figures)


def _efficiency(engine: str, rows: int, times: int) -> Figures:
    runs: dict[int, list[Figures]] = {workers: [] for workers in WORKERS}
    best = []
    for _ in range(times):
        best.append(best_efficiency())
        for workers, found in runs.items():
            options: Figures = {"rows": rows, "engine": engine, "workers": workers}
            found.append(measure("scale", part="command", command="curate", **options))
    agree("kept", {f"{w} {i}": str(one["kept"]) for w in runs for i, one in enumerate(runs[w])})
    alone, both = (median(sum(one["stages"].values()) for one in runs[w]) for w in WORKERS)
    return {"alone": alone, "both": both, "possible": median(best), "runs": runs}
