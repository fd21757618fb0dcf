"""Datasets as CLIP_benchmark keeps them: tars of images with labels, or with captions."""

import itertools
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metacurate.engine.stores import answering
from metacurate.errors import InputError, first_line
from metacurate.evaluation.datasets import (
    CLASSNAMES,
    Dataset,
    Picture,
    Templates,
    captions_of,
    own_templates,
    read_classes,
    read_lines,
)
from metacurate.evaluation.naming import dataset_name
from metacurate.images.shards import IMAGE_ENDINGS, IMAGE_LIMIT, refuse_large, safe_members
from metacurate.pool.streams import open_stream
from metacurate.pool.tar import MEMBER_LIMIT, TarReader

SHARDS = "nshards.txt"
KIND = "dataset_type.txt"
DIGITS = 18  # of a label, or a number of tars
RETRIEVAL, MULTILABEL = "retrieval", "multilabel"  # what the file of the kind may tell


@dataclass(slots=True)
class _Sample:
    """A sample of a tar.

    Attributes:
        key: what its members' names share. has_image: whether it has one, read or not.
        image: its bytes, where they were asked for. label, text: of its .cls and .txt.
    """

    key: str
    has_image: bool = False
    image: bytes | None = None
    label: int | None = None
    text: str | None = None


def open_webdataset(path: Path, tars: Sequence[Path]) -> Dataset:
    """Open a dataset of tars; all but the images is read, so that a tar cut short shows now.

    Args:
        path: of the dataset's folder. tars: of the split.

    Raises:
        InputError: when tars are missing or damaged, or labels, captions or names are.
    """
    _check_number(tars)
    kind = _kind(path)
    if kind == MULTILABEL:
        raise InputError(str(path), "its images have several labels each, which is not evaluated")
    name, split, pictures = dataset_name(path), tars[0].parent.name, _Pictures(tuple(tars))
    samples = ((f"{tar}: sample {one.key!r}", one) for tar in tars for one in _samples(tar, False))
    first = next(samples, None)
    if first is None:
        raise InputError(str(path), "its tars hold no images")
    every = itertools.chain((first,), samples)
    classes = read_classes(path)
    if kind == RETRIEVAL or (kind is None and first[1].label is None):
        if classes and kind is None and first[1].text is not None:
            raise InputError(str(path), f"has {CLASSNAMES}, but its samples have no labels (.cls)")
        captions = tuple(_captions(place, sample, kind) for place, sample in every)
        return Dataset(name, str(path), split, None, captions, (), Templates(), pictures)
    if not classes:
        raise InputError(
            str(path), f"holds no {CLASSNAMES}, a file with the name of a class on each line, in "
            "the order of labels"
        )  # fmt: skip
    labels = np.array([_label(place, sample, len(classes)) for place, sample in every], np.int64)
    templates = own_templates(path)
    return Dataset(name, str(path), split, labels, (), classes, templates, pictures)


def _kind(path: Path) -> str | None:
    """What the file of the kind tells, which decides; None without it."""
    told = read_lines(path / KIND) if (path / KIND).is_file() else []
    return told[0] if told else None


def _captions(place: str, sample: _Sample, kind: str | None) -> tuple[str, ...]:
    """The captions of a sample.

    Raises:
        InputError: when it has none, or a label that only some have.
    """
    if kind is None and sample.label is not None:
        raise InputError(place, "has a label where others have none")
    if sample.text is None:
        missing = "no" if kind == RETRIEVAL else "neither a label (.cls) nor"
        raise InputError(place, f"has {missing} captions (.txt)")
    captions = captions_of(sample.text)
    if not captions:
        raise InputError(place, "has no caption in its .txt")
    return captions


def _label(place: str, sample: _Sample, classes: int) -> int:
    """The label of a sample.

    Raises:
        InputError: when it has none, or it is out of range.
    """
    if sample.label is None:
        raise InputError(place, "has no label (.cls)")
    if sample.label >= classes:
        raise InputError(
            place,
            f"has the label {sample.label}, but {CLASSNAMES} names {classes} classes, counted "
            "from 0",
        )
    return sample.label


def _check_number(tars: Sequence[Path]) -> None:
    """Refuse a split of which tars are missing, where it tells how many there are.

    Raises:
        InputError: naming both numbers.
    """
    file = tars[0].parent / SHARDS
    if not file.is_file():
        return
    told = read_lines(file)
    if len(told) != 1 or not told[0].isdecimal() or len(told[0]) > DIGITS:
        raise InputError(str(file), "holds no number of tars")
    if int(told[0]) != len(tars):
        raise InputError(
            str(file.parent),
            f"holds {len(tars)} tars, but {SHARDS} tells of {told[0]}: was a download cut off?",
        )


@dataclass(frozen=True)
class _Pictures:
    """Reads the images of tars."""

    tars: Sequence[Path]

    def __call__(self) -> Iterator[Picture]:
        """Read them.

        Raises:
            InputError: when a tar is damaged.
        """
        index = 0
        for tar in self.tars:
            for sample in _samples(tar, True):
                yield Picture(index, str(tar), sample.key, sample.image)
                index += 1


def _samples(tar: Path, images: bool) -> Iterator[_Sample]:
    """The samples of a tar; images are read where they are asked for.

    Raises:
        InputError: when it is damaged, cut short, a member is a pickle or too large, a name leads
            out of the tar, a .cls or .txt is broken, or a key comes twice.
    """
    try:
        with answering(str(tar)), open_stream(str(tar)) as stream:
            yield from _read(TarReader(stream, IMAGE_LIMIT), images)
    except (ValueError, OSError) as error:
        raise InputError(str(tar), first_line(error)) from error


def _read(tar: TarReader, images: bool) -> Iterator[_Sample]:
    sample: _Sample | None = None
    seen: set[str] = set()
    for key, ending, member in safe_members(tar):
        if sample is None or key != sample.key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
            if sample.key in seen:
                raise ValueError(f"sample {sample.key!r} comes twice")
            seen.add(sample.key)
        _take(sample, ending, tar, member, images)
    if sample is not None:
        yield sample


def _take(
    sample: _Sample, ending: str, tar: TarReader, member: tarfile.TarInfo, images: bool
) -> None:
    """Take of a member what is of use."""
    limit = IMAGE_LIMIT if ending in IMAGE_ENDINGS else MEMBER_LIMIT
    if ending not in (*IMAGE_ENDINGS, "cls", "txt"):
        return
    refuse_large(member, limit)
    if ending in IMAGE_ENDINGS:
        if images and not sample.has_image:
            sample.image = tar.content(member)
        sample.has_image = True
        return
    try:
        text = tar.content(member).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"sample {sample.key!r}: its .{ending} is no UTF-8") from error
    if ending == "txt":
        sample.text = text
    elif text.strip().isdecimal() and len(text.strip()) <= DIGITS:
        sample.label = int(text)
    else:
        raise ValueError(f"sample {sample.key!r}: its .cls is no class number: {text[:40]!r}")
