"""What names of folders and files tell: the dataset, and the split."""

import re
from pathlib import Path

PARQUET, DATA = ".parquet", "data"
SPLIT = re.compile(r"(train|validation|val|dev|test)(?=[-._]|$)")
SPLIT_ONLY = re.compile(rf"{SPLIT.pattern}(?:[-._](?:\d.*)?)?")  # also with the number of a shard
SPELLINGS = (("val", "validation"),)  # of the same split
HUB_CACHE, SNAPSHOTS = "datasets--", "snapshots"  # datasets--OWNER--NAME/snapshots/COMMIT


def split_of(name: str) -> str | None:
    """The split that a name begins with, as test-00000.parquet and val do; None for none.

    Args:
        name: of a folder or file.
    """
    match = SPLIT.match(name.lower())
    return None if match is None else match[1]


def spellings(split: str) -> tuple[str, ...]:
    """All names of a split, its own first: val and validation are the same.

    Args:
        split: any.
    """
    same = next((some for some in SPELLINGS if split in some), ())
    return (split, *(name for name in same if name != split))


def is_of(name: str, split: str) -> bool:
    """Whether a name is a split's own, or begins with it as test-00000.parquet does with test.

    Args:
        name: of a file. split: any.
    """
    return any(re.match(rf"{re.escape(one)}(?=[-._]|$)", name) for one in spellings(split))


def split_of_path(path: Path) -> str | None:
    """The split that the name of a dataset tells, or the folder of its file; None for none.

    Args:
        path: of a folder or a file.
    """
    if path.suffix == PARQUET:
        return split_of(path.name) or _split_alone(path.parent.name)
    return _split_alone(path.name)


def _split_alone(name: str) -> str | None:
    return split_of(name) if SPLIT_ONLY.fullmatch(name.lower()) else None


def named_alone(name: str) -> bool:
    """Whether a folder's name is only that of a split, or data: it tells no dataset.

    Args:
        name: of the folder.
    """
    return name.lower() == DATA or _split_alone(name) is not None


def dataset_name(path: Path) -> str:
    """What a dataset is called.

    It is the name of its folder or file. Where that is only a split (`cars/test`,
    `cifar10/test-00000-of-00001.parquet`) or `data`, it is that of the folder above; in the cache
    of the hub, that of the repository.

    Args:
        path: of the folder or file.
    """
    own = path.name.removesuffix(PARQUET)
    for place in (path, *path.parents):
        name = place.name.removesuffix(PARQUET) if place == path else place.name
        above = place.parent
        if above.name == SNAPSHOTS and above.parent.name.startswith(HUB_CACHE):
            return above.parent.name.rpartition("--")[2]
        if name and not named_alone(name):
            return name
    return own
