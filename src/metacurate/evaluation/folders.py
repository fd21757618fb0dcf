"""Datasets with a folder for each class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metacurate.errors import InputError, first_line
from metacurate.evaluation.datasets import (
    CLASSNAMES,
    TEMPLATES,
    Dataset,
    own_templates,
    read_classes,
)
from metacurate.evaluation.pictures import Picture
from metacurate.images.shards import IMAGE_ENDINGS, IMAGE_LIMIT


def open_folders(path: Path) -> Dataset:
    """Open a folder that holds one for each class, in the order of their names.

    Args:
        path: of the folder.

    Raises:
        InputError: when it is none, or the names of the classes are missing or of another number.
        OSError: when it can't be read.
    """
    folders = sorted(one for one in path.iterdir() if one.is_dir() and one.name[0] != ".")
    if not folders:
        raise InputError(
            str(path),
            f"is no dataset: it holds no test/*.tar, no .parquet and no folder for each class "
            f"(beside {CLASSNAMES} and {TEMPLATES})",
        )
    classes = read_classes(path)
    if not classes:
        raise InputError(
            str(path),
            f"holds no {CLASSNAMES}, a file with the name of a class on each line, in the order of "
            f"the {len(folders)} folders' names",
        )
    if len(classes) != len(folders):
        raise InputError(
            str(path / CLASSNAMES),
            f"names {len(classes)} classes, but there are {len(folders)} folders",
        )
    files = [sorted(one for one in folder.iterdir() if _is_image(one)) for folder in folders]
    labels = np.repeat(np.arange(len(folders)), [len(some) for some in files])
    found = tuple(file for some in files for file in some)
    return Dataset(
        path.name, str(path), labels.astype(np.int64), (), classes, own_templates(path),
        _Files(found),
    )  # fmt: skip


def _is_image(file: Path) -> bool:
    return file.suffix[1:].lower() in IMAGE_ENDINGS and file.name[0] != "." and file.is_file()


@dataclass(frozen=True)
class _Files:
    """Reads images, one file each."""

    files: Sequence[Path]

    def __call__(self) -> Iterator[Picture]:
        """Read them.

        Raises:
            InputError: when one can't be read, or is too large.
        """
        for index, file in enumerate(self.files):
            try:
                large = file.stat().st_size > IMAGE_LIMIT
                content = None if large else file.read_bytes()
            except OSError as error:
                raise InputError(str(file), f"can't be read: {first_line(error)}") from error
            if large:
                raise InputError(str(file), f"is larger than {IMAGE_LIMIT >> 20} MB")
            yield Picture(index, str(file), "", content)
