"""Datasets in Parquet files: a column of images, and one of labels or captions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from metacurate.errors import InputError, first_line
from metacurate.evaluation.datasets import (
    CLASSNAMES,
    Dataset,
    Picture,
    Templates,
    join,
    own_templates,
    read_classes,
)
from metacurate.evaluation.naming import dataset_name, split_of_path
from metacurate.images.shards import IMAGE_LIMIT
from metacurate.pool.tables import open_parquet

IMAGE = "image"
OTHER_IMAGES = ("img", "jpg", "jpeg", "png", "webp")  # where there is no `image`
LABELS = ("label", "cls", "class")
CAPTIONS = ("captions", "caption", "text")
ROWS = 64  # that are read at a time


def open_parquets(path: Path, files: Sequence[Path], label_column: str | None) -> Dataset:
    """Open a dataset of Parquet files; all but the images is read.

    Args:
        path: a file, or the folder of them. files: those to read, at least one.
        label_column: None for label, cls or class.

    Raises:
        InputError: when a file is broken, or columns or names of classes are missing.
    """
    schemas = {file: _schema(file) for file in files}
    first = schemas[files[0]]
    image = _image_column(files[0], first)
    for file, schema in schemas.items():
        _check_images(file, schema, image)
    folder = path.parent if path.is_file() else path
    name, split, pictures = dataset_name(path), split_of_path(files[0]), _Rows(tuple(files), image)
    column = label_column or next((one for one in LABELS if one in first.names), None)
    if column is not None:
        labels, classes = _labels(schemas, column, read_classes(folder))
        templates = own_templates(folder)
        return Dataset(name, str(path), split, labels, (), classes, templates, pictures)
    column = next((one for one in CAPTIONS if one in first.names), None)
    if column is None:
        raise InputError(
            str(files[0]),
            f"has no column of labels ({', '.join(LABELS)}; --label-column names another) or "
            f"captions ({', '.join(CAPTIONS)}); it has {join(first.names)}",
        )
    captions = _captions(files, column)
    return Dataset(name, str(path), split, None, captions, (), Templates(), pictures)


def _schema(file: Path) -> pa.Schema:
    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(file), f"is no Parquet file: {first_line(error)}") from error


def _read(file: Path, column: str) -> list[Any]:
    """A column of a file, without its images.

    Raises:
        InputError: when there is none, or it is broken, or null somewhere.
    """
    try:
        with open_parquet(str(file)) as parquet:
            names = parquet.schema_arrow.names
            if names.count(column) != 1:
                raise InputError(str(file), f"has no column {column!r}; it has {join(names)}")
            found: list[Any] = parquet.read(columns=[column])[column].to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(str(file), f"can't be read: {first_line(error)}") from error
    if None in found:
        raise InputError(str(file), f"row {found.index(None) + 1} has no {column!r}")
    return found


def _labels(
    schemas: Mapping[Path, pa.Schema], column: str, classes: tuple[str, ...]
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], tuple[str, ...]]:
    """Labels as places among the classes, and these."""
    values = [value for file in schemas for value in _read(file, column)]
    source = str(next(iter(schemas)))
    if all(isinstance(value, str) for value in values):
        classes = classes or tuple(sorted(set(values)))
        places = {name: i for i, name in reversed(list(enumerate(classes)))}
        if unknown := sorted(set(values) - places.keys()):
            raise InputError(source, f"labels that {CLASSNAMES} does not name: {join(unknown)}")
        return np.array([places[value] for value in values], np.int64), classes
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise InputError(source, f"column {column!r} holds neither whole numbers nor strings")
    told = _common_class_names(schemas, column)
    classes = classes or told
    if not classes:
        raise InputError(
            source,
            f"its labels are numbers, and nothing names the classes: {CLASSNAMES} is expected in "
            "the same folder, with a name on each line, in the order of labels",
        )
    wrong = next((value for value in values if not 0 <= value < len(classes)), None)
    if wrong is not None:
        raise InputError(
            source, f"has the label {wrong}, but there are {len(classes)} classes, counted from 0"
        )
    return np.array(values, np.int64), classes


def _common_class_names(schemas: Mapping[Path, pa.Schema], column: str) -> tuple[str, ...]:
    """Names of classes that all files keep; none where there are none.

    Raises:
        InputError: when the same number has not the same name in all of them.
    """
    first, *others = schemas
    names = _class_names(schemas[first], column)
    for file in others:
        if _class_names(schemas[file], column) != names:
            raise InputError(
                str(file), f"its names of classes are not those of {first.name}: a label is a "
                "number, and stands for another class"
            )  # fmt: skip
    return names


def _class_names(schema: pa.Schema, column: str) -> tuple[str, ...]:
    """Names that Hugging Face's datasets keep in a schema; none where there are none."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = told["info"]["features"][column]["names"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(name.encode(errors="replace").decode() for name in names)


def _captions(files: Sequence[Path], column: str) -> tuple[tuple[str, ...], ...]:
    captions = []
    for file in files:
        for row, value in enumerate(_read(file, column), 1):
            texts = [value] if isinstance(value, str) else value
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise InputError(str(file), f"column {column!r} holds no strings, or lists of them")
            if not (texts := [text.strip() for text in texts if text.strip()]):
                raise InputError(str(file), f"row {row} has no caption")
            captions.append(tuple(texts))
    return tuple(captions)


def _image_column(file: Path, schema: pa.Schema) -> str:
    """The column of images: `image`, or the only one that is called like a kind of them.

    Raises:
        InputError: naming what there is.
    """
    if IMAGE in schema.names:
        return IMAGE
    others: list[str] = [name for name in schema.names if name in OTHER_IMAGES]
    if not others:
        raise InputError(str(file), f"has no column {IMAGE!r}; it has {join(schema.names)}")
    if len(others) > 1:
        raise InputError(
            str(file), f"has no column {IMAGE!r}, and several that may be it: {join(others)}"
        )
    return others[0]


def _check_images(file: Path, schema: pa.Schema, image: str) -> None:
    """Refuse a file without images that can be read as bytes.

    Raises:
        InputError: naming what there is.
    """
    if schema.names.count(image) != 1:
        raise InputError(str(file), f"has no column {image!r}; it has {join(schema.names)}")
    kind = schema.field(image).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(str(file), f"column {image!r} holds {kind}, not the bytes of images")


@dataclass(frozen=True)
class _Rows:
    """Reads the images of Parquet files; paths that stand in them are not followed."""

    files: Sequence[Path]
    image: str

    def __call__(self) -> Iterator[Picture]:
        """Read them, some rows at a time; one that is too large is told as its fault.

        Raises:
            InputError: when a file is broken.
        """
        index = 0
        for file in self.files:
            for row, content in enumerate(_images(file, self.image), 1):
                place = f"row {row}"
                if isinstance(content, int):
                    fault = f"the image is larger than {IMAGE_LIMIT >> 20} MB"
                    yield Picture(index, str(file), place, None, fault)
                else:
                    yield Picture(index, str(file), place, content)
                index += 1


def _images(file: Path, image: str) -> Iterator[bytes | int | None]:
    """The images of a file; of one that is too large its size, in bytes."""
    try:
        with open_parquet(str(file)) as parquet:
            nested = pa.types.is_struct(parquet.schema_arrow.field(image).type)
            columns = [f"{image}.bytes" if nested else image]
            for batch in parquet.iter_batches(ROWS, columns=columns):
                for value in batch.column(0):
                    content = value["bytes"] if nested and value.is_valid else value
                    found = content.as_buffer() if content.is_valid else None
                    if found is None:
                        yield None
                    else:
                        yield found.size if found.size > IMAGE_LIMIT else found.to_pybytes()
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(file), f"can't be read: {first_line(error)}") from error
