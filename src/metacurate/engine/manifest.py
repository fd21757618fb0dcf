"""What a folder knows of its runs: the configuration, which units are done, and the manifest."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from metacurate.engine.stage import Stage, UnitRecord
from metacurate.engine.storage import write_arrow, write_json
from metacurate.errors import UsageError

WORK = ".metacurate"  # the folder in an output folder that holds what resumption needs
MANIFEST = "manifest.json"


def work_folder(out: Path) -> Path:
    """The folder for an output folder's records."""
    return out / WORK


def claim(out: Path, configuration: dict[str, Any]) -> None:
    """Bind an output folder to one configuration, or check that it is bound to this one.

    Args:
        out: the output folder; may be missing or empty.
        configuration: all that the outputs depend on, besides the inputs' content, as JSON.

    Raises:
        UsageError: when it holds something else, naming what differs.
    """
    path = work_folder(out) / "configuration.json"
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        differing = [
            f"{name} {before.get(name)!r} there, {configuration.get(name)!r} here"
            for name in sorted(before.keys() | configuration.keys())
            if before.get(name) != configuration.get(name)
        ]
        if differing:
            raise UsageError(
                f"{out} holds a run of another configuration ({'; '.join(differing)}): "
                "choose another folder, or remove it"
            )
        return
    write_json(path, configuration)


def refuse_foreign(out: Path) -> None:
    """Refuse an output folder that holds something that no run of metacurate made.

    Args:
        out: the output folder; may be missing or empty.

    Raises:
        UsageError: naming it.
    """
    if "://" in str(out) or ":/" in str(out):
        raise UsageError(f"{out}: outputs are written to local folders only")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a folder")
    if out.exists() and any(out.iterdir()) and not work_folder(out).exists():
        raise UsageError(f"{out} is not empty, and holds no run of metacurate")


class Records:
    """Finished tasks of one stage in one folder: their unit records and partial results."""

    def __init__(self, out: Path, stage: Stage) -> None:
        """Find what earlier runs of the stage with this configuration left.

        Args:
            out: the output folder. stage: the stage.
        """
        self.folder = work_folder(out) / f"{stage.name}-{stage.key}"
        self._files: dict[Path, list[UnitRecord]] = {}

    def load(self, planned: Iterable[str], outputs: Path) -> list[UnitRecord]:
        """Read the records of units that are planned and done; drop those of other inputs.

        A task counts as done when each unit that it finished is still planned, and each file
        that it made is still there. Failed units are tried again.

        Args:
            planned: names of all units. outputs: folder of the units' files.
        """
        wanted = set(planned)
        self._files = {}
        for folder in (self.folder, self.folder.parent, self.folder.parent.parent):
            for left in folder.glob(".*.tmp"):  # what a killed run was writing
                left.unlink()
        for path in sorted(self.folder.glob("*.json")):
            records = [UnitRecord.from_json(r) for r in json.loads(path.read_text("utf-8"))]
            records = [record for record in records if not record.failed]
            fits = bool(records) and all(
                record.unit in wanted
                and (record.output is None or (outputs / record.output).exists())
                for record in records
            )
            if fits and self._partial(path).exists():
                self._files[path] = records
            else:
                path.unlink()
                self._partial(path).unlink(missing_ok=True)
        return [record for records in self._files.values() for record in records]

    def add(self, records: Sequence[UnitRecord], partial: pa.Table) -> None:
        """Record a finished task: its partial result first, then that it is done.

        Args:
            records: of its units. partial: what it added up.
        """
        names = "\n".join(record.unit for record in records)
        path = self.folder / f"{hashlib.sha256(names.encode()).hexdigest()[:24]}.json"
        write_arrow(self._partial(path), partial)
        write_json(path, [record.to_json() for record in records])
        self._files[path] = list(records)

    def partials(self) -> list[Path]:
        """Files of all partial results."""
        return [self._partial(path) for path in self._files]

    def drop_others(self) -> None:
        """Remove what runs of this stage with other configurations left."""
        prefix = self.folder.name.rsplit("-", 1)[0] + "-"
        for folder in self.folder.parent.glob(f"{prefix}*"):
            if folder != self.folder:
                shutil.rmtree(folder)

    @staticmethod
    def _partial(record: Path) -> Path:
        return record.with_suffix(".arrow")
