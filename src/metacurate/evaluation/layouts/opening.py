"""Which layout a dataset has, and which of its files are of the split."""

import re
from collections.abc import Sequence
from pathlib import Path

from metacurate.errors import InputError, first_line
from metacurate.evaluation.datasets import Dataset
from metacurate.evaluation.layouts.folders import holds_classes, open_folders, subfolders
from metacurate.evaluation.layouts.parquet import open_parquets
from metacurate.evaluation.layouts.webdataset import open_webdataset
from metacurate.evaluation.naming import DATA, is_of, named_alone, spellings, split_of


def open_dataset(path: Path, split: str, label_column: str | None) -> Dataset:
    """Find out what a dataset holds: names, labels, captions and templates.

    Args:
        path: a folder of CLIP_benchmark's WebDataset layout, a folder with a folder for each class,
            a Parquet file, or a folder of these.
        split: folder of the tars, or of the classes; of Parquet files with the names of splits,
            which to take.
        label_column: of Parquet; None for label, cls or class.

    Raises:
        InputError: when it is nothing of that, is broken, or lacks what it takes to evaluate.
    """
    try:
        dataset = _open(path, split, label_column)
    except OSError as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    if not dataset.images:
        raise InputError(dataset.path, "holds no images")
    return dataset


def _open(path: Path, split: str, label_column: str | None) -> Dataset:
    if path.is_file():
        return open_parquets(path, [path], label_column)
    if not path.is_dir():
        raise InputError(str(path), "there is no such folder or Parquet file")
    of_split = [path / name for name in spellings(split)]
    for folder in of_split:
        if tars := sorted(folder.glob("*.tar"), key=_natural):
            return open_webdataset(path, tars)
    for folder in (path, path / DATA):
        if tables := sorted(folder.glob("*.parquet"), key=_natural):
            return open_parquets(folder, _of_split(folder, tables, split), label_column)
    if splits := sorted({tar.parent.name for tar in path.glob("*/*.tar")}):
        raise _lacks(path, f"{split}/*.tar", splits)
    for folder in of_split:
        if holds_classes(folder):
            return open_folders(folder)
    folders = [folder.name for folder in subfolders(path)]
    if folders and all(map(split_of, folders)) and all(map(named_alone, folders)):
        raise _lacks(path, f"{split} with a folder for each class", folders)
    return open_folders(path)


def _of_split(folder: Path, tables: Sequence[Path], split: str) -> Sequence[Path]:
    """The Parquet files of a split; all where none has the name of a split.

    Raises:
        InputError: when only other splits are there.
    """
    if chosen := [table for table in tables if is_of(table.name, split)]:
        return chosen
    if splits := sorted({one for table in tables if (one := split_of(table.name)) is not None}):
        raise _lacks(folder, f"{split}*.parquet", splits)
    return tables


def _lacks(path: Path, what: str, splits: Sequence[str]) -> InputError:
    return InputError(
        str(path), f"holds no {what}; splits that are there: {', '.join(splits)} (--split)"
    )


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key by which 2.tar comes before 10.tar."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]
