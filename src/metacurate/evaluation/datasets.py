"""Datasets to evaluate on: what is known of one before any image is decoded."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metacurate.errors import InputError, UsageError, first_line
from metacurate.evaluation.metrics import Integers
from metacurate.evaluation.naming import named_alone

CLASSNAMES = "classnames.txt"
TEMPLATES = "zeroshot_classification_templates.txt"
DEFAULT_TEMPLATE = "a photo of a {c}."
TEXT_LIMIT = 64 << 20  # bytes of a file of names or templates


@dataclass(frozen=True)
class Templates:
    """Prompts in which `{c}` stands for the name of a class.

    Attributes:
        prompts: at least one.
        path: of the file; None for the one that is used without a file.
    """

    prompts: tuple[str, ...] = (DEFAULT_TEMPLATE,)
    path: str | None = None

    @classmethod
    def read(cls, path: Path) -> "Templates":
        """Read a file of templates, one a line, with `{c}` or `{}` for the class.

        Args:
            path: of the file.

        Raises:
            InputError: when it can't be read, has none, or one lacks the place for the class.
        """
        prompts = []
        for number, line in enumerate(read_lines(path), 1):
            prompt = line if "{c}" in line else line.replace("{}", "{c}")
            if "{c}" not in prompt:
                raise InputError(str(path), f"line {number} has no {{c}} for the class: {line!r}")
            prompts.append(prompt)
        if not prompts:
            raise InputError(str(path), "holds no templates")
        return cls(tuple(prompts), str(path))

    def of(self, name: str) -> list[str]:
        """The prompts of a class.

        Args:
            name: of the class.
        """
        return [prompt.replace("{c}", name) for prompt in self.prompts]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of a dataset, not decoded.

    Attributes:
        index: its place in the dataset, from 0 on. source: the file. name: within it.
        content: bytes of the image's file; None where there are none. fault: why there are none.
    """

    index: int
    source: str
    name: str
    content: bytes | None
    fault: str = "there is no image"


@dataclass(frozen=True)
class Dataset:
    """Images with a label each, or with captions; nothing is decoded yet.

    Attributes:
        name: that its folder or file tells. path: of it.
        split: that the names of its folders or files tell; None where they tell none.
        labels: int64[images], places in `classes`; None for retrieval.
        captions: of each image, at least one; empty for classification.
        classes: their names; empty for retrieval.
        templates: the dataset's own, or the one that is used without.
        pictures: reads the images, in the order of labels and captions.
    """

    name: str
    path: str
    split: str | None
    labels: Integers | None
    captions: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    templates: Templates
    pictures: Callable[[], Iterator[Picture]]

    @property
    def images(self) -> int:
        """How many there are, broken ones too."""
        return len(self.captions if self.labels is None else self.labels)


def with_templates(dataset: Dataset, templates: Templates | None) -> Dataset:
    """A dataset with other templates.

    Args:
        dataset: any. templates: None for its own.
    """
    return dataset if templates is None else replace(dataset, templates=templates)


def read_classes(folder: Path) -> tuple[str, ...]:
    """Read the names of the classes, in the order of labels, where the file is there.

    Args:
        folder: that may hold classnames.txt, or of a split, beside which it may be.

    Returns:
        One for each line; none where there is no such file.

    Raises:
        InputError: when it can't be read, or a line is blank.
    """
    path = _find(folder, CLASSNAMES)
    if path is None:
        return ()
    names = read_lines(path)
    if "" in names:
        raise InputError(str(path), f"line {names.index('') + 1} is blank")
    return tuple(names)


def own_templates(folder: Path) -> Templates:
    """The templates that a dataset brings, or the one that is used without.

    Args:
        folder: that may hold a file of them, or of a split, beside which it may be.

    Raises:
        InputError: when the file is broken.
    """
    path = _find(folder, TEMPLATES)
    return Templates() if path is None else Templates.read(path)


def _find(folder: Path, name: str) -> Path | None:
    """A file of a folder; of one that is called data, or like a split, also of the one above."""
    above = (folder.parent,) if named_alone(folder.name) else ()
    return next((one / name for one in (folder, *above) if (one / name).is_file()), None)


def read_lines(path: Path) -> list[str]:
    """The lines of a small file, without space around them, and without blank ones at the end.

    Args:
        path: of the file.

    Raises:
        InputError: when it can't be read, is no UTF-8, or too large.
    """
    try:
        if path.stat().st_size > TEXT_LIMIT:
            raise InputError(str(path), f"is larger than {TEXT_LIMIT >> 20} MB")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(str(path), f"can't be read: {first_line(error)}") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), "is no UTF-8") from error
    return [line.strip() for line in text.rstrip().split("\n")] if text.strip() else []


def check_split(split: str) -> None:
    """Refuse what is no name of a folder.

    Args:
        split: as it was given.

    Raises:
        UsageError: when it leads elsewhere.
    """
    if not split or split in (".", "..") or "/" in split:
        raise UsageError(f"the split {split!r} is no name of a folder")


def captions_of(text: str) -> tuple[str, ...]:
    """Captions, one a line; blank lines are none.

    Args:
        text: of a file.
    """
    return tuple(line.strip() for line in text.split("\n") if line.strip())


def join(names: Sequence[str], most: int = 20) -> str:
    """Names in a sentence, of many the first.

    Args:
        names: any. most: that are told.
    """
    told = ", ".join(names[:most])
    return f"{told} and {len(names) - most} more" if len(names) > most else told or "none"
