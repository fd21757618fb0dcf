"""Commands that look at output folders: info and status."""

from typing import Any

from metacurate.cli import options
from metacurate.cli.curation import print_answers
from metacurate.cli.printing import print_json, print_summary, print_table, shown, shown_bytes


def info(out: options.Folder, as_json: options.Json = False) -> None:
    """Tell what a finished run left: totals, configuration, files.

    Example:

        metacurate info curated/
    """
    from metacurate.engine.status import read_info

    found = read_info(out)
    if as_json:
        print_json(found)
        return
    totals = dict(found["totals"])
    answers = totals.pop("answers", None)
    print_summary(totals, f"{out}: made by metacurate {found['configuration']['command']}", False)
    if answers is not None:
        print_answers(found["totals"])
    asked = {**found["configuration"], "command_line": found.get("command_line")}
    configuration = {k: v for k, v in asked.items() if v is not None}
    print_table("With", None, [(k.replace("_", " "), _listed(v)) for k, v in configuration.items()])
    kept = found["kept_for_resumption"]
    resumption = [(".metacurate/ (for resumption)", kept)] if kept else []
    print_table(
        "Files",
        ("name", "files", "size"),
        [
            (name, f"{known['files']:,}", shown_bytes(known["bytes"]))
            for name, known in [*found["files"].items(), *resumption]
        ],
    )


def status(out: options.Folder, as_json: options.Json = False) -> None:
    """Tell how far a run is: done, running or cut off, what failed, and the time left.

    Example:

        metacurate status curated/
    """
    from metacurate.engine.status import read_status

    found = read_status(out)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            stage["stage"],
            f"{stage['done']:,} of {stage['units']:,}",
            f"{stage['failed']:,}",
            f"{stage['work_done']:,} of {stage['work']:,} {stage['measure']}",
            "-" if stage["per_second"] is None else f"{stage['per_second']:,.0f}/s",
            _time_left(stage["seconds_left"]),
        )
        for stage in found["stages"]
    ]
    print_table(
        f"{out}: metacurate {found['command']}, {found['state']}",
        ("stage", "units done", "failed", "work done", "rate", "left"),
        rows,
    )
    jobs = {stage["stage"]: stage["jobs"] for stage in found["stages"] if stage["jobs"]}
    if jobs:
        print_table(
            "Jobs of Slurm",
            ("stage", "state", "jobs"),
            [(name, state.lower(), f"{n:,}") for name in jobs for state, n in jobs[name].items()],
            lefts=2,
        )
    errors = list(dict.fromkeys(error for stage in found["stages"] for error in stage["errors"]))
    if errors:
        print_table("Errors", None, [(error,) for error in errors])


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else shown(value)


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
