"""Datasets as CLIP_benchmark keeps them: tars of images with labels, or with captions."""

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
    Templates,
    captions_of,
    own_templates,
    read_classes,
    read_lines,
)
from metacurate.evaluation.pictures import Picture
from metacurate.images.shards import IMAGE_ENDINGS, IMAGE_LIMIT, PICKLES
from metacurate.pool.streams import open_stream
from metacurate.pool.tar import MEMBER_LIMIT, META, NAME, TarReader, fault_of_name

SHARDS = "nshards.txt"
KIND = "dataset_type.txt"
DIGITS = 18  # of a label


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
    kind = read_lines(path / KIND) if (path / KIND).is_file() else []
    if kind == ["multilabel"]:
        raise InputError(str(path), "its images have several labels each, which is not evaluated")
    classes = read_classes(path)
    labels: list[int | None] = []
    captions: list[tuple[str, ...]] = []
    for tar in tars:
        for sample in _samples(tar, images=False):
            name = f"{tar}: sample {sample.key!r}"
            if bool(labels) and (sample.label is None) != (labels[-1] is None):
                raise InputError(name, "has a label where others have none, or none where they do")
            if sample.label is None and sample.text is None:
                raise InputError(name, "has neither a label (.cls) nor captions (.txt)")
            texts = captions_of(sample.text or "") if sample.label is None else ()
            if sample.label is None and not texts:
                raise InputError(name, "has no caption in its .txt")
            if sample.label is not None and classes and sample.label >= len(classes):
                raise InputError(
                    name,
                    f"has the label {sample.label}, but {CLASSNAMES} names {len(classes)} "
                    "classes, counted from 0",
                )
            labels.append(sample.label)
            captions.append(texts)
    if not labels:
        raise InputError(str(path), "its tars hold no images")
    pictures = _Pictures(tuple(tars))
    if labels[0] is None:
        if classes and kind != ["retrieval"]:
            raise InputError(str(path), f"has {CLASSNAMES}, but its samples have no labels (.cls)")
        return Dataset(path.name, str(path), None, tuple(captions), (), Templates(), pictures)
    if not classes:
        raise InputError(
            str(path), f"holds no {CLASSNAMES}, a file with the name of a class on each line, in "
            "the order of labels"
        )  # fmt: skip
    return Dataset(
        path.name, str(path), np.array(labels, np.int64), (), classes, own_templates(path), pictures
    )


def _check_number(tars: Sequence[Path]) -> None:
    """Refuse a split of which tars are missing, where it tells how many there are.

    Raises:
        InputError: naming both numbers.
    """
    file = tars[0].parent / SHARDS
    if not file.is_file():
        return
    told = read_lines(file)
    if len(told) != 1 or not told[0].isdecimal():
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
            for sample in _samples(tar, images=True):
                yield Picture(index, str(tar), sample.key, sample.image)
                index += 1


def _samples(tar: Path, *, images: bool) -> Iterator[_Sample]:
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
    for member in tar.members():
        match = NAME.fullmatch(member.name)
        if match is None or not member.isreg() or META.match(member.name):
            continue
        ending = match[2].lower()
        if fault := fault_of_name(member.name):
            raise ValueError(fault)
        if ending.rpartition(".")[2] in PICKLES:
            raise ValueError(f"member {member.name!r} is a pickle, which is refused")
        if sample is None or match[1] != sample.key:
            if sample is not None:
                yield sample
            sample = _Sample(match[1])
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
    if member.size > limit:
        raise ValueError(f"member {member.name!r} is larger than {limit >> 20} MB")
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
