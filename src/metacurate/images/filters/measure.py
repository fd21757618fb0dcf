"""What filters need to know of each image: a pass over shards in which each is decoded once."""

import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import pyarrow as pa

from metacurate.engine.manifest import WORK
from metacurate.engine.stage import Stage, Task, Unit, UnitRecord, Watch
from metacurate.engine.storage import write_parquet
from metacurate.engine.stores import Place
from metacurate.engine.workspace import versions
from metacurate.hashing.pairs import hash_pairs
from metacurate.images.filters.faces import FACES, FaceDetector
from metacurate.images.filters.hash_lists import HASH_TYPE, digest_of
from metacurate.images.filters.models import UnsafeScore, model_files
from metacurate.images.shards import Shard, read_columns, read_samples

FORMAT = 2  # raise with each change of what is measured
LIBRARIES = ("pillow", "imagehash", "scipy", "pdqhash", "onnxruntime")  # that decide about it
HEX = re.compile(r"[0-9a-fA-F]{64}")
MAX_PIXELS = 1 << 28  # of an image that is decoded: a gigabyte at the most
FOLDER = f"{WORK}/measured"

MEASURED: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("draw", pa.uint64(), nullable=False),  # of its url: decides between equal ones
        pa.field("sha256", HASH_TYPE),
        pa.field("original", HASH_TYPE),  # SHA-256 as it was downloaded, where that is told
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("problem", pa.string()),  # why it can't be decoded
        pa.field("perceptual_hash", pa.uint64()),
        pa.field("pdq", HASH_TYPE),
        pa.field("nsfw_score", pa.float32()),
        pa.field("faces", FACES),
    ]
)
"""A row for each sample of a shard; null is what was not asked for, or can't be told."""


@dataclass(frozen=True)
class Measured:
    """What is measured.

    Attributes:
        perceptual: the 64-bit hash. pdq: the other one.
        nsfw_model, face_model: paths of ONNX models, or None.
        seed: of the draws of urls, uint64.
    """

    perceptual: bool
    pdq: bool
    nsfw_model: str | None
    face_model: str | None
    seed: int

    def configuration(self) -> dict[str, Any]:
        """All that decides about the numbers."""
        models = [m for m in (self.nsfw_model, self.face_model) if m is not None]
        return {
            "perceptual": self.perceptual,
            "pdq": self.pdq,
            "nsfw_model": self.nsfw_model is not None,
            "face_model": self.face_model is not None,
            "models": digest_of([file for model in models for file in model_files(model)]),
            "seed": self.seed,
            "libraries": {name: versions(name).get(name) for name in LIBRARIES},
            "format": FORMAT,
        }


def shard_units(shards: Sequence[Shard]) -> list[Unit]:
    """A unit for each shard.

    Args:
        shards: which.
    """
    return [Unit(shard.tar, shard.identity, 0, shard.rows, 0) for shard in shards]


@dataclass(frozen=True)
class MeasureStage(Stage):
    """One pass over shards, in processes: Pillow, imagehash and models keep the lock for long.

    Attributes:
        shards: to read. measured: what of each image.
        settings: its configuration, which takes reading the models.
    """

    shards: tuple[Shard, ...]
    measured: Measured
    settings: dict[str, Any]
    name = "measure"
    measure: ClassVar[str] = "pairs"
    runs_in: Literal["threads", "processes"] = "processes"
    outputs: ClassVar[str | None] = FOLDER

    def configuration(self) -> dict[str, Any]:
        """All that decides about the numbers."""
        return self.settings

    def units(self) -> Sequence[Unit]:
        """A unit for each shard."""
        return shard_units(self.shards)

    def task(self, outputs: Place, watch: Watch) -> "MeasureTask":
        """Begin to measure; files are written into the folder `outputs`."""
        return MeasureTask(self, outputs, watch)


class Meter:
    """Measures images one by one."""

    def __init__(self, measured: Measured) -> None:
        """Load models and libraries.

        Args:
            measured: what is asked for.

        Raises:
            MetacurateError: when a package is missing, or a model does not fit.
        """
        from metacurate.images import decoding

        self._decoding = decoding
        self._asked = measured
        if measured.perceptual or measured.pdq:
            from metacurate.images.filters import hashes

            self._hashes = hashes
        if measured.pdq:
            self._hashes.check_pdq()
        nsfw, faces = measured.nsfw_model, measured.face_model
        self._unsafe = UnsafeScore(nsfw) if nsfw is not None else None
        self._detector = FaceDetector(faces) if faces is not None else None

    def measure(self, image: bytes | None) -> dict[str, Any]:
        """Measure an image.

        Args:
            image: its file, or None where there is none.

        Returns:
            Values by column of MEASURED, without key and draw; where it can't be decoded, why.
        """
        if image is None:
            return {"problem": "there is no image"}
        row: dict[str, Any] = {"sha256": hashlib.sha256(image).digest()}
        try:
            pixels = self._decoding.decode_rgb(image, MAX_PIXELS)
        except self._decoding.ImageError as error:
            return {**row, "problem": str(error)}
        row["width"], row["height"] = pixels.size
        if self._asked.perceptual:
            row["perceptual_hash"] = self._hashes.perceptual_hash(pixels)
        if self._asked.pdq:
            row["pdq"] = self._hashes.pdq_hash(pixels)
        if self._unsafe is not None:
            row["nsfw_score"] = self._unsafe.score(pixels)
        if self._detector is not None:
            row["faces"] = self._detector.find(pixels)
        return row


def _originals(shard: Shard) -> dict[str, bytes | None]:
    """The SHA-256 of images as they came, by key, where the table beside the tar tells them."""
    if shard.table is None:
        return {}
    table = read_columns(shard, ["key", "sha256"])
    if len(table.column_names) < 2:
        return {}
    rows = zip(table["key"].to_pylist(), table["sha256"].to_pylist(), strict=True)
    return {str(key): _digest(told) for key, told in rows}


def _digest(told: Any) -> bytes | None:
    return bytes.fromhex(told) if isinstance(told, str) and HEX.fullmatch(told) else None


class MeasureTask(Task):
    """Measures several shards, a file each."""

    def __init__(self, stage: MeasureStage, outputs: Place, watch: Watch) -> None:
        """Load what is needed."""
        self._outputs, self._watch = outputs, watch
        self._seed = stage.measured.seed
        self._meter: Meter | None = None
        self._asked = stage.measured
        self._shards = {shard.tar: shard for shard in stage.shards}

    def process(self, unit: Unit) -> UnitRecord:
        """Measure a shard's images.

        Raises:
            InputError: when the tar is damaged, or a model fails.
            StoppedError: when the run is to end.
        """
        began = time.monotonic()
        self._meter = self._meter or Meter(self._asked)
        rows, urls = [], []
        shard = self._shards[unit.source]
        originals = _originals(shard)
        for sample in read_samples(unit.source):
            original = _digest(sample.fields.get("sha256")) or originals.get(sample.key)
            told = {"key": sample.key, "draw": 0, "original": original}
            rows.append({**told, **self._meter.measure(sample.image)})
            urls.append(sample.url(shard.file_name))
            self._watch.advance(1 if len(rows) <= unit.work else 0)
        draws = hash_pairs(urls, [""] * len(urls), self._seed, "dedup")
        table = pa.Table.from_pylist(rows, MEASURED)
        table = table.set_column(1, MEASURED.field("draw"), pa.array(draws, pa.uint64()))
        output = f"{unit.name}.parquet"
        write_parquet(self._outputs / output, table)
        broken = len(table) - table["problem"].null_count
        return UnitRecord.of(unit, began, rows_read=len(rows), invalid=broken, output=output)

    def partial(self) -> pa.Table:
        """Nothing is added up."""
        return pa.table({})
