"""Datasets with a folder for each class."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metacurate.errors import InputError, first_line
from metacurate.evaluation.datasets import (
    CLASSNAMES,
    TEMPLATES,
    Dataset,
    Picture,
    own_templates,
    read_classes,
)
from metacurate.evaluation.naming import dataset_name, split_of_path
from metacurate.images.shards import IMAGE_ENDINGS, IMAGE_LIMIT

log = logging.getLogger(__name__)


def subfolders(path: Path) -> list[Path]:
    """The folders of a folder in the order of their names, without hidden ones.

    Args:
        path: of the folder.

    Raises:
        OSError: when it can't be read.
    """
    return sorted(one for one in path.iterdir() if one.is_dir() and not _is_hidden(one))


def holds_classes(path: Path) -> bool:
    """Whether there is such a folder, with folders in it and no images beside them.

    Args:
        path: of the folder.

    Raises:
        OSError: when it can't be read.
    """
    return path.is_dir() and bool(subfolders(path)) and not any(map(_is_image, path.iterdir()))


def open_folders(path: Path) -> Dataset:
    """Open a folder that holds one for each class, in the order of their names.

    Args:
        path: of the folder.

    Raises:
        InputError: when it is none, or the names of the classes are missing or of another number.
        OSError: when it can't be read.
    """
    folders = subfolders(path)
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
    _tell_others(path, folders)
    labels = np.repeat(np.arange(len(folders)), [len(some) for some in files])
    found = tuple(file for some in files for file in some)
    return Dataset(
        dataset_name(path), str(path), split_of_path(path), labels.astype(np.int64), (), classes,
        own_templates(path), _Files(found),
    )  # fmt: skip


def _is_hidden(path: Path) -> bool:
    return path.name[0] == "."


def _is_image(file: Path) -> bool:
    return file.suffix[1:].lower() in IMAGE_ENDINGS and not _is_hidden(file) and file.is_file()


def _tell_others(path: Path, folders: Sequence[Path]) -> None:
    """Warn of what is passed over in the folders of classes."""
    others = [
        str(one)
        for folder in folders
        for one in folder.iterdir()
        if not _is_hidden(one) and not _is_image(one)
    ]
    if others:
        log.warning(
            "%s: %d files or folders are passed over, which are no images by their ending: %s",
            path, len(others), min(others),
        )  # fmt: skip


@dataclass(frozen=True)
class _Files:
    """Reads images, one file each."""

    files: Sequence[Path]

    def __call__(self) -> Iterator[Picture]:
        """Read them; one that can't be read, or is too large, is told as its fault."""
        for index, file in enumerate(self.files):
            try:
                if file.stat().st_size > IMAGE_LIMIT:
                    fault = f"is larger than {IMAGE_LIMIT >> 20} MB"
                    yield Picture(index, str(file), "", None, fault)
                    continue
                content = file.read_bytes()
            except OSError as error:
                fault = f"can't be read: {first_line(error)}"
                yield Picture(index, str(file), "", None, fault)
            else:
                yield Picture(index, str(file), "", content)
