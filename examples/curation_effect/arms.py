"""What models are trained on: the pool as it is, or what curation makes of it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import metacurate as mc
from examples.curation_effect.captions import SHARES
from metacurate.images.selection.select import select_images
from metacurate.images.shards import list_shards, read_table
from metacurate.pool.files import COUNTS_FILE, CURATED_FOLDER

EVERYTHING = 1e12  # a threshold above any count: all pairs that match stay


@dataclass(frozen=True)
class Arm:
    """One way to make a training set of the pool.

    Attributes:
        name: as it is shown; files are called after it.
        tail_share: decides the threshold; None where nothing is balanced.
        matched: whether pairs that match no entry go.
        online: balance in training, in each epoch anew.
    """

    name: str
    tail_share: float | None = None
    matched: bool = True
    online: bool = False


RAW = Arm("raw", matched=False)
MATCHED = Arm("matched")
ARMS = (
    RAW,
    MATCHED,
    Arm("balanced-25", 0.25),
    Arm("balanced-6", 0.06),
    Arm("balanced-1.5", 0.015),
    Arm("online-6", 0.06, online=True),
)


@dataclass(frozen=True)
class TrainingSet:
    """What one run trains on.

    Attributes:
        shards: folder. counts: of the pool; None without curation.
        threshold: None where nothing is balanced.
        kinds: pairs by the kind of their caption; of an online arm, in one of its draws.
    """

    shards: Path
    counts: Path | None
    threshold: float | None
    kinds: Mapping[str, int]

    @property
    def pairs(self) -> int:
        """How many there are."""
        return sum(self.kinds.values())


def prepare(arm: Arm, pool: Path, metadata: mc.Metadata, seed: int, work: Path) -> TrainingSet:
    """Curate the pool, and select the pairs that stay, as the commands of these names do.

    Args:
        arm: what to make. pool: folder of shards. metadata: the entries.
        seed: of the draws of curation.
        work: folder for what is made; a call that was cut off goes on.

    Raises:
        MetacurateError: when the pool is broken, or the folder can't be written.
    """
    if not arm.matched:
        kinds = [kind for table in _tables(pool) for kind in table["kind"].to_pylist()]
        return TrainingSet(pool, None, None, _counted(kinds))
    if arm.tail_share is None:
        seed = 0  # nothing is drawn: one set serves all
    shards = work / f"{arm.name}-{seed}"
    curated = work / f"{arm.name}-{seed}.curated"
    threshold = EVERYTHING if arm.tail_share is None else None
    made = mc.curate(
        str(pool), metadata, threshold=threshold, tail_share=arm.tail_share, out=curated, seed=seed
    )
    if arm.online:
        shards = pool
    else:
        select_images(str(pool), shards, pairs=str(curated))
    return TrainingSet(
        shards,
        curated / COUNTS_FILE,
        None if arm.tail_share is None else made.summary["threshold"],
        _counted(pq.read_table(curated / CURATED_FOLDER, columns=["kind"])["kind"].to_pylist()),
    )


def _counted(kinds: Iterable[str]) -> dict[str, int]:
    return {**dict.fromkeys(SHARES, 0), **Counter(kinds)}


def _tables(pool: Path) -> Iterator[pa.Table]:
    for shard in list_shards(str(pool)):
        yield read_table(shard)


def class_sizes(pool: Path) -> dict[str, int]:
    """Pairs of each class in a pool, by wnid.

    Args:
        pool: folder of shards.
    """
    return dict(Counter(wnid for table in _tables(pool) for wnid in table["class"].to_pylist()))


def captions_of(pool: Path) -> list[str]:
    """All captions of a pool.

    Args:
        pool: folder of shards.
    """
    return [text for table in _tables(pool) for text in table["text"].to_pylist()]
