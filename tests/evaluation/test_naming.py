from pathlib import Path

import pytest

from metacurate.evaluation.naming import dataset_name, is_of, split_of, split_of_path

SPLITS = {
    "test.parquet": "test", "test-00000-of-00001.parquet": "test", "val_0.parquet": "val",
    "validation.0.parquet": "validation", "train-images.parquet": "train", "dev": "dev",
    "tests.parquet": None, "value-1.parquet": None, "latest.parquet": None, "0.parquet": None,
}  # fmt: skip
PLACES = {
    "/a/cars/test": ("cars", "test"),
    "/a/cars": ("cars", None),
    "/a/cars/test-images": ("test-images", None),
    "/a/cars/Val": ("cars", "val"),
    "/a/cars/train/0.parquet": ("0", "train"),
    "/a/cars/data/validation-0.parquet": ("cars", "validation"),
    "/a/datasets--x--my--set/snapshots/0a": ("set", None),
    "/test": ("test", "test"),
    "/data/val.parquet": ("val", "val"),
}


@pytest.mark.parametrize("name", SPLITS)
def test_the_split_of_a_name(name: str) -> None:
    assert split_of(name) == SPLITS[name]


@pytest.mark.parametrize("path", PLACES)
def test_what_a_path_tells(path: str) -> None:
    assert (dataset_name(Path(path)), split_of_path(Path(path))) == PLACES[path]


def test_val_and_validation_are_the_same() -> None:
    assert is_of("validation-0.parquet", "val")
    assert is_of("val_0.parquet", "validation")
    assert is_of("held.out-0.parquet", "held.out")
    assert not is_of("heldXout-0.parquet", "held.out")
    assert not is_of("value-0.parquet", "val")
