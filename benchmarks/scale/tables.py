"""The tables of what was measured."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.fresh import Figures
from benchmarks.report import Table, verdict
from benchmarks.scale.amount import WORKERS
from benchmarks.scale.empty import ENGINES
from benchmarks.scale.requests import KINDS

MOST_OVERHEAD = 5.0  # ms a unit
MOST_MEMORY = 500.0  # MB, of the process that runs a stage
LEAST_EFFICIENCY = 0.85

Columns = dict[str, Callable[[Any], str]]


def table(title: str, note: str, columns: Columns, items: Iterable[Any]) -> Table:
    """A table with a row for each item, and columns that are told how to write it."""
    rows = [[cell(item) for cell in columns.values()] for item in items]
    return Table(title, list(columns), rows, note)


def engine_table(figures: Figures) -> Table:
    units, engines = figures["amount"]["units"], figures["engines"]
    met = all(
        one["seconds"] / units * 1000 <= MOST_OVERHEAD and one["memory"] <= MOST_MEMORY
        for one in engines.values()
    )
    missing = ", ".join(name for name in ENGINES if name not in engines)
    note = (
        f"A stage of {units:,} units without work, {WORKERS[-1]} tasks at once: what is left is "
        "planning, tasks and records. *Peak* is of the process that runs it. *Plan* makes units "
        "and their names, *load* reads the records of all, *again* is the whole run once all are "
        "done. What Slurm takes is mostly the time until jobs begin and are looked at.\n"
        f"Aims: {MOST_OVERHEAD:.0f} ms a unit, {MOST_MEMORY:.0f} MB: {verdict(met)}."
        + (f"\nNot measured, since this machine has no sbatch: {missing}." if missing else "")
    )
    columns: Columns = {
        "engine": lambda one: one[0],
        "s": lambda one: f"{one[1]['seconds']:.1f}",
        "ms a unit": lambda one: f"{one[1]['seconds'] / units * 1000:.3f}",
        "peak MB": lambda one: f"{one[1]['memory']:.0f}",
        "tasks": lambda one: f"{one[1]['tasks']:,}",
        "files": lambda one: f"{one[1]['files']:,}",
        "MB": lambda one: f"{one[1]['bytes'] / 1e6:.1f}",
        "plan s": lambda one: f"{one[1]['plan']:.2f}",
        "load s": lambda one: f"{one[1]['load']:.2f}",
        "again s": lambda one: f"{one[1]['resume']:.2f}",
    }
    return table("Units without work", note, columns, engines.items())


def efficiency_table(figures: Figures) -> Table:
    found = {name: one["alone"] / 2 / one["both"] for name, one in figures["efficiency"].items()}
    possible = min(one["possible"] for one in figures["efficiency"].values())
    met = min(found.values()) >= LEAST_EFFICIENCY
    note = (
        f"The stages `count` and `sample` of `curate` over {figures['amount']['pool']:,} pairs, in "
        "the second run of a process: without the start of Ray and of its workers. *Possible* is "
        "the efficiency of two threads that share nothing, measured between runs.\n"
        f"Aim: {LEAST_EFFICIENCY:.0%}: {verdict(met, possible)}."
    )
    columns: Columns = {
        "engine": lambda one: one[0],
        "1 worker s": lambda one: f"{one[1]['alone']:.2f}",
        "2 workers s": lambda one: f"{one[1]['both']:.2f}",
        "efficiency": lambda one: f"{found[one[0]]:.0%}",
        "possible": lambda one: f"{one[1]['possible']:.0%}",
    }
    return table("Two workers", note, columns, figures["efficiency"].items())


def request_table(figures: Figures) -> Table:
    note = (
        "What commands ask of a store that holds pool and outputs, counted in memory as s3fs would "
        "ask S3: for each unit (a file of one row group with the columns that `extract` writes), "
        "for each task, and once. *nothing* writes a file for each unit. `dedup` has three passes "
        "and two stages, so two tasks for each of another's. A LIST tells a thousand names; while "
        "a run lasts, its lock asks a LIST, a GET and a PUT every five seconds."
    )
    columns: Columns = {"command": lambda one: one[0], "for each": lambda one: one[1]}
    for kind in KINDS:
        columns[kind] = lambda one, kind=kind: f"{one[2][kind]:.3g}"  # type: ignore[misc]
    items = [
        (command, what, found)
        for command, requests in figures["requests"].items()
        for what, found in requests.items()
    ]
    return table("Requests to a store", note, columns, items)


def driver_table(figures: Figures) -> Table:
    amount, listing, stage = figures["amount"], figures["listing"], figures["stage"]
    accounting, planned, asked = figures["accounting"], amount["planned"], figures["thresholds"]
    items: list[tuple[str, int, float]] = [
        ("list files", amount["listed"], listing["list"]),
        ("read footers", amount["listed"], listing["footers"]),
        ("find columns and units", amount["listed"], listing["open"]),
        (f"pack a stage over files ({stage['bytes'] / 1e6:.1f} MB)", planned, stage["dump"]),
        (f"unpack it ({stage['unpacked']:.0f} MB in memory)", planned, stage["load"]),
        (
            f"pack and unpack one over archives ({stage['crawl_bytes'] / 1e6:.1f} MB)",
            planned,
            stage["crawl"],
        ),
        (
            f"write shards.parquet ({accounting['bytes'] / 1e6:.1f} MB; takes "
            f"{accounting['more']:.0f} MB meanwhile)",
            planned,
            accounting["seconds"],
        ),
        ("add up the counts of a task", amount["partials"], figures["reduce"]["seconds"]),
        (
            f"a budget's threshold, of units ({asked['bytes'] / asked['pairs']:.1f} bytes of disk "
            f"and {asked['held'] * 1e6 / asked['pairs']:.1f} of memory a pair)",
            asked["units"],
            asked["seconds"],
        ),
    ]
    items += [
        (
            f"which row stays, of rows in {one['files']:,} files "
            f"({one['bytes'] / one['rows']:.1f} bytes of disk a row; takes {one['more']:.0f} MB)",
            one["rows"],
            one["seconds"],
        )
        for one in figures["decide"]
    ]
    note = (
        "What the process that runs all does alone, on a disk of this machine. It holds "
        f"{accounting['held'] * 1e3 / planned:.2f} kB for the record of each unit of each stage, "
        f"and {stage['held'] * 1e3 / planned:.2f} kB for each file of a pool and its unit."
    )
    columns: Columns = {
        "what": lambda one: one[0],
        "number": lambda one: f"{one[1]:,}",
        "s": lambda one: f"{one[2]:.3f}",
        "us each": lambda one: f"{one[2] / one[1] * 1e6:.2f}",
    }
    return table("The driver", note, columns, items)


# The model of whole crawls
