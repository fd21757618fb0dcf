"""What a dataset is found to hold, and what is wrong with one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.errors import InputError, UsageError
from metacurate.evaluation.datasets import (
    DEFAULT_TEMPLATE,
    Dataset,
    Templates,
    check_split,
)
from metacurate.evaluation.layouts import open_dataset
from tests.evaluation.made import (
    CLASSES,
    TEMPLATES,
    encoded,
    labelled,
    picture,
    samples,
    write_captions,
    write_folders,
    write_names,
    write_tar,
    write_webdataset,
)

IMAGES = labelled(20)


def opened(path: Path, **options: Any) -> Dataset:
    return open_dataset(path, options.pop("split", "test"), options.pop("label_column", None))


def contents(dataset: Dataset) -> list[bytes | None]:
    pictures = list(dataset.pictures())
    assert [one.index for one in pictures] == list(range(dataset.images))
    return [one.content for one in pictures]


def write_parquet(path: Path, columns: dict[str, Any], rows: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows or None)
    return path


def columns_of(images: list[tuple[bytes, int]]) -> dict[str, Any]:
    return {"image": [one for one, _ in images], "label": [label for _, label in images]}


@pytest.mark.parametrize("tars", [1, 3])
def test_tars(tmp_path: Path, tars: int) -> None:
    dataset = opened(write_webdataset(tmp_path / "wds_pets", IMAGES, tars))
    assert dataset.name == "wds_pets"
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [label for _, label in IMAGES]
    assert dataset.classes == CLASSES
    assert dataset.templates.prompts == TEMPLATES
    assert contents(dataset) == [one for one, _ in IMAGES]


def test_tars_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    dataset = opened(write_webdataset(tmp_path, IMAGES[:11], 11))
    assert contents(dataset) == [one for one, _ in IMAGES[:11]]


def test_other_members_are_passed_over(tmp_path: Path) -> None:
    write_names(tmp_path)
    image = encoded(picture(0))
    members = [("./a.json", b"{"), ("./a.CLS", b" 3\n"), ("./a.jpeg", image), ("./a.png", b"no"),
               ("__meta__", b"x")]  # fmt: skip
    write_tar(tmp_path / "test" / "x.tar", members)
    dataset = opened(tmp_path)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [3]
    assert contents(dataset) == [image]


def test_folders(tmp_path: Path) -> None:
    write_folders(tmp_path, IMAGES)
    (tmp_path / "n00" / "notes.txt").write_text("no image")
    (tmp_path / ".hidden").mkdir()
    dataset = opened(tmp_path)
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [label for _, label in IMAGES]
    assert contents(dataset) == [one for one, _ in IMAGES]


def test_parquet_with_numbers(tmp_path: Path) -> None:
    write_names(tmp_path)
    path = write_parquet(tmp_path / "a.parquet", columns_of(IMAGES), rows=7)
    for dataset in (opened(path), opened(tmp_path)):
        assert dataset.labels is not None
        assert dataset.labels.tolist() == [label for _, label in IMAGES]
        assert contents(dataset) == [one for one, _ in IMAGES]
        assert dataset.templates.prompts == TEMPLATES
    assert opened(path).name == "a"


def test_parquet_of_hugging_face(tmp_path: Path) -> None:
    images = [{"bytes": one, "path": "/etc/passwd"} for one, _ in IMAGES]
    feature = {"names": [*CLASSES], "_type": "ClassLabel"}
    told = {"huggingface": json.dumps({"info": {"features": {"cls": feature}}})}
    table = pa.table({"image": images, "cls": [label for _, label in IMAGES]})
    pq.write_table(table.replace_schema_metadata(told), tmp_path / "test-00000.parquet")
    pq.write_table(table.slice(0, 3), tmp_path / "train-00000.parquet")
    dataset = opened(tmp_path)
    assert dataset.classes == CLASSES
    assert dataset.templates == Templates((DEFAULT_TEMPLATE,), None)
    assert contents(dataset) == [one for one, _ in IMAGES]


def test_a_path_in_parquet_is_not_followed(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(encoded(picture(0)))
    write_names(tmp_path)
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = pa.array([{"bytes": None, "path": str(file)}, None], kind)
    path = write_parquet(tmp_path / "a.parquet", {"image": images, "label": [0, 1]})
    assert contents(opened(path)) == [None, None]


def test_strings_are_classes_in_order(tmp_path: Path) -> None:
    names = ["owl", "cat", "owl", "dog"]
    columns = {
        "image": [one for one, _ in IMAGES[:4]],
        "names": pa.array(names).dictionary_encode(),
    }
    path = write_parquet(tmp_path / "a.parquet", columns)
    dataset = opened(path, label_column="names")
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [2, 0, 2, 1]
    write_names(tmp_path)
    assert opened(path, label_column="names").classes == CLASSES
    write_names(tmp_path, classes=["owl", "cat"])
    with pytest.raises(InputError, match=r"labels that classnames\.txt does not name: dog"):
        opened(path, label_column="names")


@pytest.mark.parametrize("texts", [["a", "b\nc"], [["a"], ["b", " ", "c"]]])
def test_captions_in_parquet(tmp_path: Path, texts: Any) -> None:
    columns = {"image": [one for one, _ in IMAGES[:2]], "caption": texts}
    dataset = opened(write_parquet(tmp_path / "a.parquet", columns))
    assert dataset.labels is None
    expected = (("a",), ("b\nc",)) if texts[0] == "a" else (("a",), ("b", "c"))
    assert dataset.captions == expected


def test_captions_in_tars(tmp_path: Path) -> None:
    captions = {IMAGES[0][0]: ["a cat", "  ", "a dog "], IMAGES[1][0]: ["an owl\r"]}
    dataset = opened(write_captions(tmp_path, captions))
    assert dataset.labels is None
    assert dataset.captions == (("a cat", "a dog"), ("an owl",))
    assert contents(dataset) == list(captions)


def test_templates_of_either_kind(tmp_path: Path) -> None:
    file = tmp_path / "templates.txt"
    file.write_bytes("\ufeff{c} {}\r\nthe {} and {}\n\n".encode())
    templates = Templates.read(file)
    assert templates.prompts == ("{c} {}", "the {c} and {c}")
    assert templates.of("a{c}{0.x}") == ["a{c}{0.x} {}", "the a{c}{0.x} and a{c}{0.x}"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"a photo", b"{c}\n\n{c}", b"\xff{c}"])
def test_templates_that_are_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "templates.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"templates\.txt: "):
        Templates.read(file)


def _webdataset(change: Callable[[Path], object], **names: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        write_webdataset(folder, IMAGES, 2, **names)
        change(folder)

    return write


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _tar(*members: tuple[str, bytes], **names: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        write_names(folder, **names)
        write_tar(folder / "test" / "0.tar", members)

    return write


def _parquet(columns: dict[str, Any], **names: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        write_names(folder, **names)
        write_parquet(folder / "a.parquet", columns)

    return write


def _folders(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        write_folders(folder, IMAGES)
        change(folder)

    return write


def _no_parquet(folder: Path) -> None:
    folder.mkdir()
    (folder / "a.parquet").write_bytes(b"PAR1")


PNG = IMAGES[0][0]
ONE = {"image": [PNG]}
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda folder: folder.mkdir(), r"is no dataset: .*classnames\.txt"),
    "not there": (lambda folder: None, "there is no such folder or Parquet file"),
    "a tar is missing": (
        _webdataset(lambda f: (f / "test" / "1.tar").unlink()),
        r"holds 1 tars, but nshards\.txt tells of 2: was a download cut off\?",
    ),
    "no number of tars": (
        _webdataset(lambda f: (f / "test" / "nshards.txt").write_text("two")),
        r"nshards\.txt: holds no number of tars",
    ),
    "a number without end": (
        _webdataset(lambda f: (f / "test" / "nshards.txt").write_text("9" * 5000)),
        r"nshards\.txt: holds no number of tars",
    ),
    "a tar is cut": (_webdataset(lambda f: _cut(f / "test" / "1.tar", 3000)), r"1\.tar: .*cut"),
    "a tar has no end": (
        _webdataset(lambda f: _cut(f / "test" / "1.tar", 1024)), r"1\.tar: the tar",
    ),
    "no tar": (
        _webdataset(lambda f: (f / "test" / "0.tar").write_bytes(b"x" * 2000)),
        r"0\.tar: is no tar by its content",
    ),
    "another split": (
        _webdataset(lambda f: (f / "test").rename(f / "train")),
        r"holds no test/\*\.tar; splits that are there: train",
    ),
    "no class names": (_webdataset(lambda f: None, classes=None), r"holds no classnames\.txt"),
    "too few class names": (
        _webdataset(lambda f: None, classes=["cat", "dog"]),
        r"1\.tar: sample 's\d+': has the label \d, but classnames\.txt names 2 classes"
        r"|0\.tar: sample 's\d+': has the label \d, but classnames\.txt names 2 classes",
    ),
    "a blank class name": (
        _webdataset(lambda f: None, classes=["cat", "", "dog"]), r"names\.txt: line 2 is blank",
    ),
    "class names in Latin-1": (
        _webdataset(lambda f: (f / "classnames.txt").write_bytes(b"\xe9\n")), "is no UTF-8",
    ),
    "several labels": (
        _webdataset(lambda f: (f / "dataset_type.txt").write_text("multilabel\n")),
        "several labels each",
    ),
    "no images": (_tar(), "its tars hold no images"),
    "no label": (_tar(("a.png", PNG)), r"sample 'a': has neither a label"),
    "some labels": (
        _tar(*samples(IMAGES[:1]), ("b.png", PNG), ("b.txt", b"a dog")),
        r"sample 'b': has no label \(\.cls\)",
    ),
    "some captions": (
        _tar(("a.png", PNG), ("a.txt", b"a dog"), *samples(IMAGES[:1]), classes=None),
        "sample 's0000000': has a label where others have none",
    ),
    "a label of words": (_tar(("a.cls", b"cat"), ("a.png", PNG)), r"its \.cls is no class number"),
    "a negative label": (_tar(("a.cls", b"-1"), ("a.png", PNG)), r"its \.cls is no class number"),
    "a huge label": (_tar(("a.cls", b"9" * 5000), ("a.png", PNG)), r"its \.cls is no class number"),
    "a pickle": (_tar(("a.cls", b"1"), ("a.pkl", b"")), "is a pickle, which is refused"),
    "a name that leads out": (_tar(("../a.cls", b"1")), "leads out of the tar"),
    "a key twice": (
        _tar(*samples(IMAGES[:2]), *samples(IMAGES[:1])), "sample 's0000000' comes twice",
    ),
    "captions and class names": (
        _tar(("a.txt", b"a cat"), ("a.png", PNG)), r"has classnames\.txt, but its samples have no",
    ),
    "no caption": (_tar(("a.txt", b" \n"), ("a.png", PNG), classes=None), "has no caption"),
    "captions that are no text": (_tar(("a.txt", b"\xff"), ("a.png", PNG)), r"\.txt is no UTF-8"),
    "folders without names": (
        _folders(lambda f: (f / "classnames.txt").unlink()),
        "holds no classnames.txt, .* in the order of the 7 folders' names",
    ),
    "more folders than names": (
        _folders(lambda f: (f / "n99").mkdir()), "names 7 classes, but there are 8 folders",
    ),
    "folders without images": (
        lambda folder: write_folders(folder, []), "holds no images",
    ),
    "no Parquet": (
        _no_parquet,
        "is no Parquet file",
    ),
    "no rows": (_parquet({"image": pa.array([], pa.binary()), "label": pa.array([], pa.int8())}),
                "holds no images"),
    "no image column": (_parquet({"label": [0]}), "has no column 'image'; it has label"),
    "several image columns": (
        _parquet({"img": [PNG], "png": [PNG], "label": [0]}), "several that may be it: img, png",
    ),
    "paths for images": (
        _parquet({"image": ["/etc/passwd"], "label": [0]}), "holds string, not the bytes of images",
    ),
    "no labels": (_parquet({**ONE, "wnid": ["n01"]}), r"has no column of labels .*; it has image"),
    "a null label": (_parquet({**ONE, "label": pa.array([None], pa.int64())}),
                     "row 1 has no 'label'"),
    "labels of floats": (_parquet({**ONE, "label": [0.0]}), "neither whole numbers nor strings"),
    "labels out of range": (_parquet({**ONE, "label": [7]}), "label 7, but there are 7 classes"),
    "negative labels": (_parquet({**ONE, "label": [-1]}), "label -1, but there are 7 classes"),
    "numbers without names": (
        _parquet({**ONE, "label": [0]}, classes=None), r"classnames\.txt is expected in the same",
    ),
    "captions of numbers": (_parquet({**ONE, "text": [1]}), "holds no strings, or lists of them"),
    "blank captions": (_parquet({**ONE, "text": [[" "]]}), "row 1 has no caption"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_told(tmp_path: Path, case: str) -> None:
    write, expected = BAD[case]
    folder = tmp_path / "set"
    write(folder)
    with pytest.raises(InputError, match=expected):
        opened(folder)


@pytest.mark.parametrize(
    "metadata",
    [
        b"[",
        b"{}",
        b'{"info": {"features": {"label": 3}}}',
        b'{"info": {"features": {"label": {"names": [1]}}}}',
    ],
)
def test_metadata_that_name_no_classes(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({**ONE, "label": [0]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="nothing names the classes"):
        opened(tmp_path)


def test_a_label_column_that_is_missing(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", columns_of(IMAGES))
    with pytest.raises(InputError, match="has no column 'wnid'; it has image, label"):
        opened(path, label_column="wnid")


def test_a_file_that_is_damaged_within(tmp_path: Path) -> None:
    write_names(tmp_path)
    path = write_parquet(tmp_path / "a.parquet", columns_of(IMAGES))
    content = path.read_bytes()
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    path.write_bytes(b"PAR1" + b"\xff" * (len(content) - footer - 4) + content[-footer:])
    with pytest.raises(InputError, match=r"a\.parquet: can't be read"):
        opened(path)


@pytest.mark.parametrize("split", ["", ".", "..", "a/b", "/etc"])
def test_a_split_is_the_name_of_a_folder(split: str) -> None:
    with pytest.raises(UsageError, match="is no name of a folder"):
        check_split(split)


def test_an_image_that_is_missing_is_none(tmp_path: Path) -> None:
    write_names(tmp_path)
    write_tar(tmp_path / "test" / "0.tar", [("a.cls", b"0"), *samples(IMAGES[:1])])
    assert contents(opened(tmp_path)) == [None, IMAGES[0][0]]
