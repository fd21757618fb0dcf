"""Which files of a folder are the dataset: splits, kinds, names of columns and of classes."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.errors import InputError
from metacurate.evaluation.datasets import Dataset
from metacurate.evaluation.layouts import open_dataset
from metacurate.images.shards import IMAGE_LIMIT
from tests.evaluation.made import (
    CLASSES,
    TEMPLATES,
    labelled,
    write_folders,
    write_names,
    write_tar,
    write_webdataset,
)

IMAGES = labelled(6)


def opened(path: Path, split: str = "test") -> Dataset:
    return open_dataset(path, split, None)


def write_parquet(
    path: Path, rows: int = 3, *, names: list[str] | None = None, image: str = "image"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {image: [one for one, _ in IMAGES[:rows]], "label": [0] * rows}
    table = pa.table(columns)
    if names is not None:
        feature: dict[str, Any] = {"label": {"names": names}}
        told = {"huggingface": json.dumps({"info": {"features": feature}})}
        table = table.replace_schema_metadata(told)
    pq.write_table(table, path)


@pytest.mark.parametrize("mark", ["-00000-of-00001", "_0", ".0", ""])
def test_only_the_split_is_read(tmp_path: Path, mark: str) -> None:
    write_names(tmp_path / "set")
    for name, rows in (("train", 1), ("validation", 2), ("test", 3)):
        write_parquet(tmp_path / "set" / f"{name}{mark}.parquet", rows)
    found = {split: opened(tmp_path / "set", split) for split in ("train", "val", "test")}
    assert {split: one.images for split, one in found.items()} == {"train": 1, "val": 2, "test": 3}
    assert {one.split for one in found.values()} == {"train", "validation", "test"}
    assert {one.name for one in found.values()} == {"set"}


def test_another_split_is_never_taken_in_place(tmp_path: Path) -> None:
    write_names(tmp_path)
    for name in ("train-0", "val_0", "more"):
        write_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match=r"holds no test\*\.parquet; .*there: train, val \("):
        opened(tmp_path)


def test_files_without_splits_are_all_read(tmp_path: Path) -> None:
    write_names(tmp_path)
    for name in ("0000", "0001"):
        write_parquet(tmp_path / f"{name}.parquet")
    dataset = opened(tmp_path)
    assert dataset.images == 6
    assert dataset.split is None


def test_a_repository_of_hugging_face(tmp_path: Path) -> None:
    for name, rows in (("test", 2), ("train", 3)):
        write_parquet(
            tmp_path / "set" / "data" / f"{name}-00000-of-00001.parquet", rows, names=[*CLASSES]
        )
    dataset = opened(tmp_path / "set")
    assert (dataset.name, dataset.split, dataset.images) == ("set", "test", 2)
    write_names(tmp_path / "set", classes=None)
    assert opened(tmp_path / "set").templates.prompts == TEMPLATES
    assert opened(tmp_path / "set" / "data").templates.prompts == TEMPLATES


def test_classes_of_several_files_are_the_same(tmp_path: Path) -> None:
    write_parquet(tmp_path / "0.parquet", names=["cat", "dog"])
    write_parquet(tmp_path / "1.parquet", names=["cat", "dog"])
    assert opened(tmp_path).classes == ("cat", "dog")
    for names in (["dog", "cat"], None):
        write_parquet(tmp_path / "1.parquet", names=names)
        with pytest.raises(InputError, match=r"1\.parquet: its names of classes are not those of"):
            opened(tmp_path)


@pytest.mark.parametrize("image", ["img", "jpg", "jpeg", "png", "webp"])
def test_other_names_of_the_image_column(tmp_path: Path, image: str) -> None:
    write_names(tmp_path)
    write_parquet(tmp_path / "a.parquet", image=image)
    assert [one.content for one in opened(tmp_path).pictures()] == [one for one, _ in IMAGES[:3]]


def test_folders_of_a_split(tmp_path: Path) -> None:
    for split, images in (("train", IMAGES[:1]), ("val", IMAGES)):
        (tmp_path / "set").mkdir(exist_ok=True)
        write_folders(tmp_path / "set" / split, images)
    whole = opened(tmp_path / "set", "val")
    assert (whole.name, whole.split, whole.images) == ("set", "val", 6)
    assert opened(tmp_path / "set", "validation").images == 6
    assert opened(tmp_path / "set" / "train").split == "train"
    with pytest.raises(InputError, match=r"holds no test with a folder .* there: train, val"):
        opened(tmp_path / "set")


def test_names_beside_a_split(tmp_path: Path) -> None:
    write_folders(tmp_path / "made", IMAGES)
    (tmp_path / "set").mkdir()
    (tmp_path / "made").rename(tmp_path / "set" / "test")
    for file in (tmp_path / "set" / "test").glob("*.txt"):
        file.rename(tmp_path / "set" / file.name)
    dataset = opened(tmp_path / "set")
    assert dataset.classes == CLASSES
    assert dataset.templates.prompts == TEMPLATES
    assert dataset.images == 6


def test_a_class_that_is_called_test(tmp_path: Path) -> None:
    write_folders(tmp_path, IMAGES)
    (tmp_path / "n06").rename(tmp_path / "test")
    assert opened(tmp_path).images == 6


def test_what_is_passed_over_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folders(tmp_path, IMAGES)
    (tmp_path / "n00" / "b.heic").write_bytes(b"")
    (tmp_path / "n01" / "more").mkdir()
    (tmp_path / "n01" / ".DS_Store").write_bytes(b"")
    assert opened(tmp_path).images == 6
    assert "2 files or folders are passed over" in caplog.text
    assert "n00/b.heic" in caplog.text


def test_images_that_cannot_be_read_are_faults(tmp_path: Path) -> None:
    write_folders(tmp_path, IMAGES)
    with (tmp_path / "n00" / "00000.png").open("wb") as file:
        file.truncate(IMAGE_LIMIT + 1)
    dataset = opened(tmp_path)
    gone = sorted(tmp_path.glob("n*/*.png"))[1]
    gone.unlink()
    found = list(dataset.pictures())
    assert [one.content is None for one in found] == [True, True, *([False] * (len(found) - 2))]
    assert found[0].fault == "is larger than 256 MB"
    assert found[1].fault.startswith("can't be read: ")


def test_an_image_of_parquet_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [len(one) for one, _ in IMAGES[:3]]
    limit = sorted(sizes)[1]
    monkeypatch.setattr("metacurate.evaluation.layouts.parquet.IMAGE_LIMIT", limit)
    write_names(tmp_path)
    write_parquet(tmp_path / "a.parquet")
    found = list(opened(tmp_path).pictures())
    assert [one.content is None for one in found] == [size > limit for size in sizes]
    assert any("is larger than" in one.fault for one in found)


def test_the_kind_that_is_told_decides(tmp_path: Path) -> None:
    write_names(tmp_path)
    members = [("a.cls", b"3"), ("a.png", IMAGES[0][0]), ("a.txt", b"an owl")]
    write_tar(tmp_path / "test" / "0.tar", members)
    dataset = opened(tmp_path)
    assert dataset.labels is not None
    assert dataset.captions == ()
    (tmp_path / "dataset_type.txt").write_text("retrieval\n\n")
    dataset = opened(tmp_path)
    assert dataset.labels is None
    assert dataset.captions == (("an owl",),)
    (tmp_path / "dataset_type.txt").write_text("classification")
    write_tar(tmp_path / "test" / "0.tar", members[1:])
    with pytest.raises(InputError, match=r"sample 'a': has no label \(\.cls\)"):
        opened(tmp_path)


def test_tars_of_validation(tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "set", IMAGES)
    (folder / "test").rename(folder / "validation")
    assert opened(folder, "val").split == "validation"


def test_blank_lines_at_the_end(tmp_path: Path) -> None:
    folder = write_webdataset(tmp_path / "set", IMAGES)
    for name in ("classnames.txt", "zeroshot_classification_templates.txt"):
        with (folder / name).open("a") as file:
            file.write("\n \n\t\r\n")
    dataset = opened(folder)
    assert dataset.classes == CLASSES
    assert dataset.templates.prompts == TEMPLATES
