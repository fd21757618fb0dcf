"""Verdicts on images: what speaks against each one, and where that is written.

A folder of verdicts has a Parquet file for each shard, with a row for each of its samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from metacurate.errors import UsageError
from metacurate.images.filters.faces import FACES
from metacurate.images.filters.hash_lists import HashLists
from metacurate.images.filters.near import check_distance

Mask = npt.NDArray[np.bool_]

DISTANCE = 6  # bits: docs/images tell what it finds
NSFW_THRESHOLD = 0.5
IDENTITY = b"metacurate.shard"  # in a file's metadata: of the shard that the verdicts are on

BROKEN, NEAR, BENCHMARK, LISTED = "broken", "near_duplicate", "benchmark", "listed"
UNSAFE, SMALL, LONG = "unsafe", "too_small", "too_long"
VERDICTS: Final = (BROKEN, LISTED, UNSAFE, SMALL, LONG, BENCHMARK, NEAR)

COLUMNS: Final = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field(BROKEN, pa.bool_(), nullable=False),
        pa.field("problem", pa.string()),
        pa.field("perceptual_hash", pa.uint64()),
        pa.field(NEAR, pa.bool_(), nullable=False),
        pa.field("duplicate_of", pa.string()),
        pa.field("duplicate_shard", pa.string()),
        pa.field("duplicate_distance", pa.uint8()),
        pa.field(BENCHMARK, pa.bool_(), nullable=False),
        pa.field("benchmark_image", pa.string()),
        pa.field("benchmark_distance", pa.uint8()),
        pa.field("pdq", pa.string()),
        pa.field(LISTED, pa.bool_(), nullable=False),
        pa.field("nsfw_score", pa.float32()),
        pa.field(UNSAFE, pa.bool_(), nullable=False),
        pa.field("faces", FACES),
        pa.field(SMALL, pa.bool_(), nullable=False),
        pa.field(LONG, pa.bool_(), nullable=False),
    ]
)
"""All columns that verdicts may have; those are there whose filters were asked for."""


@dataclass(frozen=True)
class Filters:
    """What is asked of images.

    Attributes:
        near_duplicates: whether to look for them within the set.
        benchmarks: folders of images, Parquet files and tars whose images are to be kept out.
        distance: of 64-bit hashes up to which two images count as the same, for both.
        sha256_lists, pdq_lists: files of hashes of images that are to go.
        nsfw_model: path of an ONNX model. nsfw_threshold: from which score on one is unsafe.
        face_model: path of an ONNX model that finds faces.
        smallest_side: pixels that an image has to have. aspect_ratio: of its longer side to the
            other, at most.
        seed: of the draws that decide which of equally large images stays, uint64.
    """

    near_duplicates: bool = False
    benchmarks: tuple[str, ...] = ()
    distance: int = DISTANCE
    sha256_lists: tuple[str, ...] = ()
    pdq_lists: tuple[str, ...] = ()
    nsfw_model: str | None = None
    nsfw_threshold: float = NSFW_THRESHOLD
    face_model: str | None = None
    smallest_side: int | None = None
    aspect_ratio: float | None = None
    seed: int = 0

    @property
    def lists(self) -> bool:
        """Whether there are lists of hashes."""
        return bool(self.sha256_lists or self.pdq_lists)

    @property
    def perceptual(self) -> bool:
        """Whether 64-bit hashes are needed."""
        return self.near_duplicates or bool(self.benchmarks)

    def check(self) -> None:
        """Refuse what can't be.

        Raises:
            UsageError: naming the option.
        """
        check_distance(self.distance)
        if not 0 <= self.nsfw_threshold <= 1:
            raise UsageError(f"--nsfw-threshold {self.nsfw_threshold} is not from 0 to 1")
        if self.smallest_side is not None and self.smallest_side < 1:
            raise UsageError(f"--smallest-side {self.smallest_side} is less than a pixel")
        if self.aspect_ratio is not None and not self.aspect_ratio >= 1:
            raise UsageError(f"--aspect-ratio {self.aspect_ratio} is less than 1: no image has it")
        if not self.names:
            raise UsageError("no filter: give one of --near-duplicates, --benchmark, "
                "--sha256-list, --pdq-list, --nsfw-model, --face-model, --smallest-side and "
                "--aspect-ratio")  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Columns beyond key, sha256, width, height, broken and problem, as in COLUMNS."""
        asked = {
            "perceptual_hash": self.perceptual,
            **dict.fromkeys(
                (NEAR, "duplicate_of", "duplicate_shard", "duplicate_distance"),
                self.near_duplicates,
            ),
            **dict.fromkeys(
                (BENCHMARK, "benchmark_image", "benchmark_distance"), bool(self.benchmarks)
            ),
            "pdq": bool(self.pdq_lists),
            LISTED: self.lists,
            "nsfw_score": self.nsfw_model is not None,
            UNSAFE: self.nsfw_model is not None,
            "faces": self.face_model is not None,
            SMALL: self.smallest_side is not None,
            LONG: self.aspect_ratio is not None,
        }
        return [name for name in COLUMNS.names if asked.get(name)]

    @property
    def schema(self) -> pa.Schema:
        """Of the files of verdicts."""
        always = COLUMNS.names[: COLUMNS.names.index("perceptual_hash")]
        return pa.schema([COLUMNS.field(name) for name in (*always, *self.names)])


def own_verdicts(measured: pa.Table, filters: Filters, lists: HashLists) -> dict[str, Mask]:
    """What speaks against each image, whatever others there are.

    Args:
        measured: of schema MEASURED. filters: what is asked. lists: those that it names, read.

    Returns:
        bool[images] by name; without those that were not asked for.
    """
    found = {BROKEN: measured["problem"].is_valid().to_numpy()}
    if filters.lists:
        names = ("sha256", "original", "pdq")
        sha256, original, pdq = (measured[name].combine_chunks() for name in names)
        found[LISTED] = lists.holds(sha256, pdq if filters.pdq_lists else None)
        found[LISTED] = found[LISTED] | lists.holds(original, None)
    if filters.nsfw_model is not None:
        scores = measured["nsfw_score"].to_numpy()
        found[UNSAFE] = scores >= np.float32(filters.nsfw_threshold)  # of a broken one NaN
    width, height = (
        pc.fill_null(measured[name], 0).to_numpy().astype(np.int64) for name in ("width", "height")
    )
    low, high = np.minimum(width, height), np.maximum(width, height)
    there = ~found[BROKEN]
    if filters.smallest_side is not None:
        found[SMALL] = there & (low < filters.smallest_side)
    if filters.aspect_ratio is not None:
        found[LONG] = there & (high > filters.aspect_ratio * low)
    return found


def any_of(verdicts: Sequence[Mask], rows: int) -> Mask:
    """Of which images any of several verdicts holds.

    Args:
        verdicts: bool[rows] each. rows: number of images.
    """
    return np.logical_or.reduce([np.zeros(rows, np.bool_), *verdicts])  # type: ignore[no-any-return]
