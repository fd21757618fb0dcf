"""How far a run is, and what a finished one left: read from its output folder alone."""

import json
import re
import time
from pathlib import Path
from typing import Any

from metacurate.engine.manifest import (
    MANIFEST,
    PLAN,
    WORK,
    read_configuration,
    read_manifest,
    read_records,
    work_folder,
)
from metacurate.engine.storage import is_locked
from metacurate.errors import UsageError

SHARD = re.compile(r".*-\d{12}-\d{12}\.parquet$")  # of a pool, of which there may be thousands
LISTED = 20  # reasons of failures


def read_status(out: str | Path) -> dict[str, Any]:
    """Tell how far a run is, whether it is at work or was cut off.

    Args:
        out: its output folder.

    Returns:
        JSON: `command`, `state` (complete, running, failed, or interrupted), and for each stage
        that has begun its `units`, `done` and `failed` ones, `errors`, its `work` and `work_done`
        in what `measure` says, what was done `per_second` since it was last started, and
        `seconds_left` at that rate (None where that can't be told).

    Raises:
        UsageError: when no run was begun there.
    """
    folder = Path(out)
    configuration = read_configuration(folder)
    if configuration is None:
        raise UsageError(f"{out} holds no run of metacurate")
    running = is_locked(work_folder(folder))
    complete = (folder / MANIFEST).is_file()
    stages = [_read_stage(path, running) for path in work_folder(folder).glob(f"*/{PLAN}")]
    known = sorted((stage for stage in stages if stage is not None), key=lambda stage: stage[0])
    failed = any(stage["failed"] for _, stage in known)
    ended = "complete" if complete else "failed" if failed else "interrupted"
    return {
        "out": str(out),
        "command": configuration["command"],
        "state": "running" if running else ended,
        "stages": [stage for _, stage in known],
    }


def read_info(out: str | Path) -> dict[str, Any]:
    """Tell what a finished run left.

    Args:
        out: its output folder.

    Returns:
        JSON: `totals`, `configuration`, `digests`, `versions` from the manifest, and `files`:
        the number and the bytes of what lies in each of its folders.

    Raises:
        UsageError: when no finished run is there.
    """
    folder = Path(out)
    manifest = read_manifest(folder)
    if manifest is None:
        begun = read_configuration(folder) is not None
        raise UsageError(
            f"{out} holds a run that is not complete: metacurate status tells how far it is"
            if begun
            else f"{out} holds no run of metacurate"
        )
    files: dict[str, dict[str, int]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            parts = file.relative_to(folder).parts
            name = f"{parts[0]}/" if len(parts) > 1 else SHARD.sub("*.parquet", parts[0])
            known = files.setdefault(name, {"files": 0, "bytes": 0})
            known["files"] += 1
            known["bytes"] += file.stat().st_size
    resumption = files.pop(f"{WORK}/", None)
    return {**manifest, "files": files, "kept_for_resumption": resumption}


def _read_stage(path: Path, running: bool) -> tuple[float, dict[str, Any]] | None:
    """When a stage was last started, and how far it is; None where a run has just dropped it."""
    try:
        plan = json.loads(path.read_text("utf-8"))
        started = path.stat().st_mtime
    except (FileNotFoundError, ValueError):
        return None
    done = failed = work_done = since = 0
    last = started
    errors: dict[str, None] = {}
    for record_path in path.parent.glob("*.json"):
        try:
            written = record_path.stat().st_mtime
            records = read_records(record_path)
        except (FileNotFoundError, ValueError, TypeError):  # dropped, or left by a loss of power
            continue
        for record in records:
            done += not record.failed
            failed += record.failed
            work_done += record.work
            since += record.work if written > started else 0
            if record.error is not None:
                errors[f"{record.source}: {record.error}"] = None
        last = max(last, written)
    seconds = (time.time() if running and work_done < plan["work"] else last) - started
    rate = since / seconds if since and seconds > 0 else None
    return started, {
        "stage": path.parent.name.rsplit("-", 1)[0],
        "units": plan["units"],
        "done": done,
        "failed": failed,
        "work": plan["work"],
        "work_done": work_done,
        "measure": plan["measure"],
        "per_second": rate,
        "seconds_left": (plan["work"] - work_done) / rate if rate else None,
        "errors": list(errors)[:LISTED],
    }
