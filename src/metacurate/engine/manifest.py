"""What a folder knows of its runs: the configuration, which units are done, and the manifest."""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from metacurate.engine.stage import Stage, Unit, UnitRecord
from metacurate.engine.storage import (
    Entry,
    arrow_batches,
    drop_temporaries,
    list_folder,
    read_all,
    read_bytes,
    remove,
    remove_folder,
    write_arrow,
    write_json,
)
from metacurate.engine.stores import Place
from metacurate.errors import InputError, UsageError, first_line

WORK = ".metacurate"  # the folder in an output folder that holds what resumption needs
MANIFEST = "manifest.json"
CONFIGURATION = "configuration.json"
COMPRESSED_FROM = 16 << 20  # bytes of partial results
NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
PLAN = "plan"  # in a stage's folder: how much there is to do

log = logging.getLogger(__name__)


def work_folder(out: Place) -> Place:
    """The folder for an output folder's records."""
    return out / WORK


def check_claim(out: Place, configuration: dict[str, Any]) -> None:
    """Refuse an output folder that belongs to something else.

    Args:
        out: the output folder; may be missing or empty.
        configuration: all that the outputs depend on, besides the inputs' content, as JSON:
            `command`, `pool` (list of paths), and others.

    Raises:
        UsageError: when it holds what no run of metacurate made, a run of another command, or
            one over quite other files.
    """
    refuse_foreign(out)
    before = read_configuration(out)
    if before is None:
        return
    if before["command"] != configuration["command"]:
        raise UsageError(
            f"{out} holds what `metacurate {before['command']}` made: choose another folder, or "
            "remove it"
        )
    if not set(before["pool"]) & set(configuration["pool"]):
        raise UsageError(
            f"{out} holds a run over another pool ({', '.join(before['pool'][:3])}): choose "
            "another folder, or remove it"
        )


def claim(out: Place, configuration: dict[str, Any]) -> None:
    """Bind an output folder to a configuration, in place of an earlier one.

    What an earlier run left and this configuration can use stays; its manifest goes, since the
    outputs are about to change.

    Args:
        out: the output folder. configuration: as `check_claim` was asked.
    """
    before = read_configuration(out)
    if before == configuration:
        return
    if before is not None:
        differing = [
            f"{name} {before.get(name)!r}"
            for name in sorted(before.keys() | configuration.keys())
            if before.get(name) != configuration.get(name)
        ]
        log.info("%s was made with %s: what that changes is done again", out, ", ".join(differing))
        remove([out / MANIFEST])
    write_json(work_folder(out) / CONFIGURATION, configuration)


def read_configuration(out: Place) -> dict[str, Any] | None:
    """What an output folder is bound to, or None where no run has begun.

    Args:
        out: the output folder.
    """
    found: Any = None
    try:
        found = json.loads(read_bytes(work_folder(out) / CONFIGURATION))
    except (*NO_FILE, ValueError):  # none, or damaged: a finished run has it in its manifest too
        manifest = read_manifest(out)
        found = None if manifest is None else manifest["configuration"]
    ours = isinstance(found, dict) and {"command", "pool"} <= found.keys()
    return found if ours else None


def read_manifest(out: Place) -> dict[str, Any] | None:
    """What the last run that was finished left, or None where there is none.

    Args:
        out: the output folder.

    Raises:
        InputError: when it is damaged.
    """
    path = out / MANIFEST
    try:
        manifest: Any = json.loads(read_bytes(path))
    except NO_FILE:
        return None
    except ValueError as error:
        raise InputError(str(path), f"is damaged: {first_line(error)}") from error
    ours = isinstance(manifest, dict) and {"configuration", "totals"} <= manifest.keys()
    return manifest if ours else None  # other programs have files of this name, too


def refuse_foreign(out: Place) -> None:
    """Refuse an output folder that holds something that no run of metacurate made.

    Args:
        out: the output folder; may be missing or empty.

    Raises:
        UsageError: naming it.
    """
    try:
        str(out).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{out}: a folder whose name is no UTF-8 can't be written to") from error
    if isinstance(out, Path) and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    names = list_folder(out)
    if not names or WORK in names:
        return
    if read_manifest(out) is None:
        raise UsageError(f"{out} is not empty, and holds no run of metacurate")


def read_records(content: bytes) -> list[UnitRecord]:
    """Read the records of a finished task.

    Args:
        content: of a .json file in a stage's folder.

    Raises:
        ValueError, TypeError: when it is damaged.
    """
    return [UnitRecord.from_json(fields) for fields in json.loads(content)]


def task_place(folder: Place, units: Iterable[str]) -> Place:
    """Where the records of a task are.

    Args:
        folder: of the stage's records. units: names of the task's units.
    """
    names = "\n".join(units)
    return folder / f"{hashlib.sha256(names.encode()).hexdigest()[:24]}.json"


def write_task(
    folder: Place, records: Sequence[UnitRecord], partial: pa.Table, *, mapped: bool = False
) -> Place:
    """Record a finished task: its partial result first, then that it is done.

    Args:
        folder: of the stage's records. records: of the task's units. partial: what it added up.
        mapped: see `metacurate.engine.stage.Task`.

    Returns:
        The file of the records.

    Raises:
        MetacurateError: when it can't be written.
    """
    path = task_place(folder, (record.unit for record in records))
    is_large = partial.nbytes > COMPRESSED_FROM or not isinstance(folder, Path)
    write_arrow(_partial(path), partial, compressed=is_large and not mapped)
    write_json(path, [record.to_json() for record in records])
    return path


def drop_task(path: Place) -> None:
    """Remove what `write_task` has written.

    Args:
        path: the file of the records.
    """
    remove([path, _partial(path)])


def _partial(record: Place) -> Place:
    return record.with_suffix(".arrow")


def _is_its(output: Entry | None, record: Entry) -> bool:
    """Whether an output is what its record tells of, and not what came later into a store.

    A run that was thought dead may have sent a file when another had taken over. On this machine
    the lock is the system's, and folders are copied, which changes times.
    """
    is_later = output is not None and output.changed > record.changed
    return _is_there(output) and not (is_later and record.is_remote)


def _is_there(entry: Entry | None) -> bool:
    return entry is not None and entry.size > 0


def _records_of(path: Place, content: bytes, entries: dict[str, Entry]) -> list[UnitRecord]:
    """Records of a task; none where they, or its partial result, are damaged or missing."""
    partial = _partial(path)
    try:
        found = read_records(content)
        if not _is_there(entries.get(partial.name)):
            return []
        if isinstance(partial, Path):  # as a machine leaves it that loses power
            next(arrow_batches(partial), None)
    except (OSError, ValueError, TypeError):
        return []
    return found


class Records:
    """Finished tasks of one stage in one folder: their unit records and partial results."""

    def __init__(self, out: Place, stage: Stage) -> None:
        """Find what earlier runs of the stage with this configuration left.

        Args:
            out: the output folder. stage: the stage.
        """
        self.folder = work_folder(out) / f"{stage.name}-{stage.key}"
        self._files: dict[Place, list[UnitRecord]] = {}

    def load(self, planned: Iterable[str], outputs: Place, *, alone: bool) -> list[UnitRecord]:
        """Read the records of units that are planned and done; drop those of other inputs.

        A task counts as done when each unit that it finished is still planned, and each file
        that it made is still there. Failed units are tried again.

        Args:
            planned: names of all units. outputs: folder of the units' files.
            alone: whether nobody else is at work in them, so that temporary files are old ones.
        """
        wanted = set(planned)
        self._files = {}
        for folder in (outputs, self.folder) if alone else ():
            drop_temporaries(folder)
        ours, made = list_folder(self.folder), list_folder(outputs)
        paths = [self.folder / name for name in sorted(ours) if name.endswith(".json")]
        useless: list[Place] = []
        taken: set[str] = set()
        for path, content in zip(paths, read_all(paths), strict=True):
            found = _records_of(path, content, ours)
            records = [record for record in found if not record.failed]
            fits = bool(records) and all(
                record.unit in wanted
                and record.unit not in taken  # else a worker left it that was thought dead
                and (record.output is None or _is_its(made.get(record.output), ours[path.name]))
                for record in records
            )
            if not fits:
                useless.append(path)
                continue
            self._files[path] = records
            taken.update(record.unit for record in records)
            if len(records) < len(found):  # what failed is tried again, and told anew
                write_json(path, [record.to_json() for record in records])
        for path in useless:
            drop_task(path)
        return [record for records in self._files.values() for record in records]

    def plan(self, units: Sequence[Unit], measure: str) -> None:
        """Note how much there is to do, for whoever asks how far the run is.

        Args:
            units: all of them. measure: what their work is counted in.
        """
        work = sum(unit.work for unit in units)
        write_json(self.folder / PLAN, {"units": len(units), "work": work, "measure": measure})

    def add(self, path: Place, records: Sequence[UnitRecord]) -> None:
        """Take in what `write_task` has written.

        Args:
            path: the file. records: of its units.
        """
        self._files[path] = list(records)

    def partials(self) -> list[Place]:
        """Files of all partial results."""
        return [_partial(path) for path in self._files]

    def drop_others(self) -> None:
        """Remove what runs of this stage with other configurations left."""
        for folder in self.others():
            remove_folder(folder)

    def others(self) -> list[Place]:
        """Folders of runs of this stage with other configurations."""
        prefix = self.folder.name.rsplit("-", 1)[0] + "-"
        names = list_folder(self.folder.parent)
        return [
            self.folder.parent / name
            for name in names
            if name.startswith(prefix) and name != self.folder.name
        ]
