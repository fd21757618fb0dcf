"""How far a run is, and what a finished one left: read from its output folder alone."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from metacurate.engine.jobs import ACTIVE, read_jobs
from metacurate.engine.lock import is_locked
from metacurate.engine.manifest import (
    MANIFEST,
    PLAN,
    WORK,
    read_configuration,
    read_manifest,
    read_records,
    work_folder,
)
from metacurate.engine.stage import UnitRecord
from metacurate.engine.storage import Entry, is_file, list_folder, read_all, read_bytes, walk
from metacurate.engine.stores import Place, place_of
from metacurate.errors import UsageError

SHARD = re.compile(r".*-\d{12}-\d{12}\.parquet$")  # of a pool, of which there may be thousands
LISTED = 20  # reasons of failures


def read_status(out: str | Place) -> dict[str, Any]:
    """Tell how far a run is, whether it is at work or was cut off.

    Args:
        out: its output folder.

    Returns:
        JSON: `command`, `state` (complete, running, failed, or interrupted), and for each stage
        that has begun its `units`, `done` and `failed` ones, `errors`, its `work` and `work_done`
        in what `measure` says, what was done `per_second` since it was last started,
        `seconds_left` at that rate (None where that can't be told), and its Slurm `jobs` by state
        (UNKNOWN where Slurm can't be asked).

    Raises:
        UsageError: when no run was begun there.
    """
    folder = place_of(out)
    configuration = read_configuration(folder)
    if configuration is None:
        raise UsageError(f"{out} holds no run of metacurate")
    work = work_folder(folder)
    jobs = read_jobs(work)
    submitted = any(
        state.partition(" ")[0] in ACTIVE for states in jobs.values() for state in states
    )
    running = is_locked(work) or submitted
    complete = is_file(folder / MANIFEST)
    stages = [
        _read_stage(work / name, running, jobs.get(name))
        for name, entry in list_folder(work).items()
        if entry.is_folder
    ]
    known = sorted((stage for stage in stages if stage is not None), key=lambda stage: stage[0])
    failed = any(stage["failed"] for _, stage in known)
    ended = "complete" if complete else "failed" if failed else "interrupted"
    return {
        "out": str(out),
        "command": configuration["command"],
        "state": "running" if running else ended,
        "stages": [stage for _, stage in known],
    }


def read_info(out: str | Place) -> dict[str, Any]:
    """Tell what a finished run left.

    Args:
        out: its output folder.

    Returns:
        JSON: `totals`, `command_line`, `configuration`, `digests`, `versions` from the manifest,
        and `files`: the number and the bytes of what lies in each of its folders.

    Raises:
        UsageError: when no finished run is there.
    """
    folder = place_of(out)
    manifest = read_manifest(folder)
    if manifest is None:
        begun = read_configuration(folder) is not None
        raise UsageError(
            f"{out} holds a run that is not complete: metacurate status tells how far it is"
            if begun
            else f"{out} holds no run of metacurate"
        )
    files: dict[str, dict[str, int]] = {}
    for path, size in sorted(walk(folder)):
        parts = path.split("/")
        name = f"{parts[0]}/" if len(parts) > 1 else SHARD.sub("*.parquet", parts[0])
        known = files.setdefault(name, {"files": 0, "bytes": 0})
        known["files"] += 1
        known["bytes"] += size
    resumption = files.pop(f"{WORK}/", None)
    return {**manifest, "files": files, "kept_for_resumption": resumption}


def _read_stage(
    folder: Place, running: bool, jobs: Counter[str] | None
) -> tuple[float, dict[str, Any]] | None:
    """When a stage was last started, and how far it is; None where a run has just dropped it."""
    entries = list_folder(folder)
    if PLAN not in entries:
        return None
    try:
        plan = json.loads(read_bytes(folder / PLAN))
    except (FileNotFoundError, ValueError):
        return None
    last = started = entries[PLAN].changed
    done = failed = work_done = since = 0
    errors: dict[str, None] = {}
    for name, records in _read_records(folder, entries):
        written = entries[name].changed
        for record in records:
            done += not record.failed
            failed += record.failed
            work_done += record.work
            since += record.work if written >= started else 0
            if record.error is not None:
                errors[f"{record.source}: {record.error}"] = None
        last = max(last, written)
    seconds = (time.time() if running and work_done < plan["work"] else last) - started
    rate = since / seconds if since and seconds > 0 else None
    return started, {
        "stage": folder.name.rsplit("-", 1)[0],
        "units": plan["units"],
        "done": done,
        "failed": failed,
        "work": plan["work"],
        "work_done": work_done,
        "measure": plan["measure"],
        "per_second": rate,
        "seconds_left": (plan["work"] - work_done) / rate if rate else None,
        "errors": list(errors)[:LISTED],
        "jobs": dict(jobs or {}),
    }


def _read_records(
    folder: Place, entries: dict[str, Entry]
) -> Iterator[tuple[str, list[UnitRecord]]]:
    """Records of finished tasks, by the names of their files."""
    names = [name for name in entries if name.endswith(".json")]
    try:
        for name, content in zip(names, read_all([folder / name for name in names]), strict=True):
            try:
                yield name, read_records(content)
            except (ValueError, TypeError):  # left by a loss of power
                continue
    except FileNotFoundError:  # a run has just dropped what it does again
        return
