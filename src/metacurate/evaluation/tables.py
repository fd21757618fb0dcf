"""Datasets in Parquet files: a column of images, and one of labels or captions."""

import json
from collections.abc import Iterator, Sequence
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
    Templates,
    join,
    own_templates,
    read_classes,
)
from metacurate.evaluation.pictures import Picture
from metacurate.images.shards import IMAGE_LIMIT
from metacurate.pool.tables import open_parquet

IMAGE = "image"
LABELS = ("label", "cls", "class")
CAPTIONS = ("captions", "caption", "text")
ROWS = 64  # that are read at a time


def open_tables(path: Path, files: Sequence[Path], label_column: str | None) -> Dataset:
    """Open a dataset of Parquet files; all but the images is read.

    Args:
        path: a file, or the folder of them. files: those to read, at least one.
        label_column: None for label, cls or class.

    Raises:
        InputError: when a file is broken, or columns or names of classes are missing.
    """
    schemas = [_schema(file) for file in files]
    first = schemas[0]
    for file, schema in zip(files, schemas, strict=True):
        _check_images(file, schema)
    folder = path.parent if path.is_file() else path
    name = path.name.removesuffix(".parquet")
    pictures = _Rows(tuple(files))
    column = label_column or next((one for one in LABELS if one in first.names), None)
    if column is not None:
        labels, classes = _labels(files, column, read_classes(folder), first)
        return Dataset(name, str(path), labels, (), classes, own_templates(folder), pictures)
    column = next((one for one in CAPTIONS if one in first.names), None)
    if column is None:
        raise InputError(
            str(files[0]),
            f"has no column of labels ({', '.join(LABELS)}; --label-column names another) or "
            f"captions ({', '.join(CAPTIONS)}); it has {join(first.names)}",
        )
    return Dataset(name, str(path), None, _captions(files, column), (), Templates(), pictures)


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
    files: Sequence[Path], column: str, classes: tuple[str, ...], schema: pa.Schema
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], tuple[str, ...]]:
    """Labels as places among the classes, and these."""
    values = [value for file in files for value in _read(file, column)]
    source = str(files[0])
    if all(isinstance(value, str) for value in values):
        classes = classes or tuple(sorted(set(values)))
        places = {name: i for i, name in reversed(list(enumerate(classes)))}
        if unknown := sorted(set(values) - places.keys()):
            raise InputError(source, f"labels that {CLASSNAMES} does not name: {join(unknown)}")
        return np.array([places[value] for value in values], np.int64), classes
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise InputError(source, f"column {column!r} holds neither whole numbers nor strings")
    classes = classes or _class_names(schema, column)
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


def _check_images(file: Path, schema: pa.Schema) -> None:
    """Refuse a file without images that can be read as bytes.

    Raises:
        InputError: naming what there is.
    """
    if schema.names.count(IMAGE) != 1:
        raise InputError(str(file), f"has no column {IMAGE!r}; it has {join(schema.names)}")
    kind = schema.field(IMAGE).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise InputError(str(file), f"column {IMAGE!r} holds {kind}, not the bytes of images")


@dataclass(frozen=True)
class _Rows:
    """Reads the images of Parquet files; paths that stand in them are not followed."""

    files: Sequence[Path]

    def __call__(self) -> Iterator[Picture]:
        """Read them, some rows at a time.

        Raises:
            InputError: when a file is broken, or an image is too large.
        """
        index = 0
        for file in self.files:
            for row, content in enumerate(_images(file), 1):
                yield Picture(index, str(file), f"row {row}", content)
                index += 1


def _images(file: Path) -> Iterator[bytes | None]:
    try:
        with open_parquet(str(file)) as parquet:
            nested = pa.types.is_struct(parquet.schema_arrow.field(IMAGE).type)
            columns = [f"{IMAGE}.bytes" if nested else IMAGE]
            for batch in parquet.iter_batches(ROWS, columns=columns):
                for value in batch.column(0):
                    content = value["bytes"] if nested and value.is_valid else value
                    found = content.as_buffer() if content.is_valid else None
                    if found is not None and found.size > IMAGE_LIMIT:
                        raise InputError(
                            str(file), f"an image is larger than {IMAGE_LIMIT >> 20} MB"
                        )
                    yield None if found is None else found.to_pybytes()
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(file), f"can't be read: {first_line(error)}") from error
