"""Images that must not be in a set: those of benchmarks, from folders, Parquet files and tars."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import arrow_tables
from metacurate.engine.stores import Place
from metacurate.errors import InputError, UsageError, first_line
from metacurate.images.filters.measure import Measured, Meter
from metacurate.images.filters.near import Codes
from metacurate.images.shards import IMAGE_ENDINGS, read_samples
from metacurate.pool.files import format_of, identity_of
from metacurate.pool.tables import column_type, open_parquet

AT_ONCE = 1000  # files of a folder that make a unit
BATCH = 256  # rows
IMAGE_COLUMN = "image"
ONLY_HASH = Measured(perceptual=True, pdq=False, nsfw_model=None, face_model=None, seed=0)


@dataclass(frozen=True)
class References:
    """Images of benchmarks.

    Attributes:
        names: of each, by which a verdict calls it. codes: uint64[images].
    """

    names: tuple[str, ...]
    codes: Codes

    @classmethod
    def join(cls, partials: Sequence[Place]) -> "References":
        """Bring together what tasks left, in the order of names.

        Args:
            partials: of a `ReferenceStage`.
        """
        tables = list(arrow_tables(partials))
        names = [name for table in tables for name in table["name"].to_pylist()]
        codes = [table["perceptual_hash"].to_numpy() for table in tables]
        order = sorted(range(len(names)), key=names.__getitem__)
        together = np.concatenate([np.zeros(0, np.uint64), *codes])
        return cls(tuple(names[i] for i in order), together[np.array(order, np.int64)])


@dataclass(frozen=True)
class ReferenceStage(Stage):
    """One pass over the images of benchmarks: their 64-bit hashes.

    Attributes:
        sources: folders, Parquet files or tars, on this machine or, but for folders, URIs.
        settings: what decides about the hashes.
    """

    sources: tuple[str, ...]
    settings: dict[str, Any]
    name = "benchmark"
    measure: ClassVar[str] = "images"
    runs_in: Literal["threads", "processes"] = "processes"

    def configuration(self) -> dict[str, Any]:
        """All that decides about the hashes."""
        return self.settings

    def units(self) -> Sequence[Unit]:
        """A unit for each Parquet file and tar, and for a thousand images of a folder."""
        found = {unit.name: unit for source in self.sources for unit in _units(source)}
        return list(found.values())

    def task(self, outputs: Place, watch: Watch) -> "ReferenceTask":  # noqa: ARG002
        """Begin to hash; nothing is written into `outputs`."""
        return ReferenceTask(watch)


class ReferenceTask(Task):
    """Hashes the images of several units."""

    def __init__(self, watch: Watch) -> None:
        """Start with none."""
        self._watch = watch
        self._meter: Meter | None = None
        self.clear()

    def clear(self) -> None:
        """Begin again with none."""
        self._names: list[str] = []
        self._codes: list[int] = []

    def process(self, unit: Unit) -> UnitRecord:
        """Hash a unit's images.

        Raises:
            InputError: when one can't be decoded: a benchmark that is kept out only in part
                would pass for one that is kept out.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        self._meter = self._meter or Meter(ONLY_HASH)
        names, codes = [], []
        for name, image in _images(unit):
            row = self._meter.measure(image)
            if "problem" in row:
                raise InputError(unit.source, f"image {name} can't be decoded: {row['problem']}")
            names.append(name)
            codes.append(row["perceptual_hash"])
            self._watch.advance(1 if len(names) <= unit.work else 0)
        self._names += names
        self._codes += codes
        return UnitRecord.of(unit, began, rows_read=len(names), invalid=0)

    def partial(self) -> pa.Table:
        """Names and hashes of the images."""
        return pa.table(
            {
                "name": pa.array(self._names, pa.string()),
                "perceptual_hash": pa.array(self._codes, pa.uint64()),
            }
        )


def _units(source: str) -> Iterator[Unit]:
    """Cut a source into units.

    Raises:
        UsageError: when it holds no images.
    """
    folder = Path(source)
    if "://" not in source and folder.is_dir():
        tables = sorted(str(path) for path in folder.rglob("*") if _is_file_of_images(path.name))
        pictures = _pictures(folder)
        for path in tables:
            yield _file_unit(path)
        for first in range(0, len(pictures), AT_ONCE):
            some = pictures[first : first + AT_ONCE]
            told = "\n".join(f"{path} {identity_of(str(folder / path))[0]}" for path in some)
            identity = hashlib.sha256(told.encode()).hexdigest()
            yield Unit(source, identity, first, len(some), first)
        if not tables and not pictures:
            raise UsageError(f"--benchmark {source}: the folder holds no images")
    elif _is_file_of_images(source):
        yield _file_unit(source)
    else:
        raise UsageError(
            f"--benchmark {source}: is no folder of images, no Parquet file and no tar"
        )


def _file_unit(path: str) -> Unit:
    try:
        identity = identity_of(path)[0]
        rows = open_parquet(path).metadata.num_rows if format_of(path) == "parquet" else 0
    except (OSError, pa.ArrowException) as error:
        raise InputError(path, f"can't be read: {first_line(error)}") from error
    return Unit(path, identity, 0, rows, 0)


def _is_file_of_images(path: str) -> bool:
    return format_of(path) in ("parquet", "tar")


def _pictures(folder: Path) -> list[str]:
    """Paths of images below a folder, in it, sorted."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix[1:].lower() in IMAGE_ENDINGS
        and not path.name.startswith(".")  # as macOS leaves beside each file
        and path.is_file()
    )


def _images(unit: Unit) -> Iterator[tuple[str, bytes | None]]:
    """Names and files of a unit's images.

    Raises:
        InputError: when they can't be read.
    """
    try:
        kind = format_of(unit.source)
        if "://" not in unit.source and Path(unit.source).is_dir():
            folder = Path(unit.source)
            some = _pictures(folder)[unit.first_row : unit.first_row + unit.rows]
            for path in some:
                yield f"{folder.name}/{path}", (folder / path).read_bytes()
        elif kind == "tar":
            for sample in read_samples(unit.source):
                yield f"{Path(unit.source).name}/{sample.key}", sample.image
        else:
            yield from _images_of_table(unit.source)
    except (OSError, pa.ArrowException) as error:
        raise InputError(unit.source, f"can't be read: {first_line(error)}") from error


def _images_of_table(path: str) -> Iterator[tuple[str, bytes | None]]:
    file: pq.ParquetFile = open_parquet(path)
    kind = column_type(file.schema_arrow, IMAGE_COLUMN)
    if kind is not None and pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        kind = kind.field(index).type if index >= 0 else None
    if kind is None or not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(path, f"has no column {IMAGE_COLUMN!r} of images' bytes")
    row = 0
    for batch in file.iter_batches(BATCH, columns=[IMAGE_COLUMN], use_threads=False):
        for value in batch.column(0).to_pylist():
            image = value["bytes"] if isinstance(value, dict) else value
            yield f"{Path(path).name}#{row}", image
            row += 1
