"""Files appear whole or not at all, and one run at a time holds a folder."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from upath import UPath

from metacurate.engine.lock import lock
from metacurate.engine.storage import (
    LocalCopies,
    arrow_tables,
    is_file,
    is_folder,
    list_folder,
    read_all,
    read_bytes,
    remove,
    remove_folder,
    walk,
    write_arrow,
    write_atomically,
    write_json,
    write_text,
)
from metacurate.engine.stores import Place, does_not_answer, place_of
from metacurate.errors import MetacurateError, StorageError, UsageError


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"é": 1})
    assert path.read_text("utf-8") == '{\n  "é": 1\n}\n'

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("the disk burns")

    with pytest.raises(MetacurateError, match=r"a\.json: can't be written: the disk burns"):
        write_atomically(path, fail)
    assert path.read_text("utf-8") == '{\n  "é": 1\n}\n'
    assert os.listdir(path.parent) == ["a.json"]  # noqa: PTH208


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_users_permissions(mask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_json(tmp_path / "a.json", 1)
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode


def test_a_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MetacurateError, match="file/a: can't be written"):
        write_json(tmp_path / "file/a", 1)
    with pytest.raises(MetacurateError, match="file/folder: can't be written"):
        take(tmp_path / "file/folder")


def test_the_lock_is_free_again_after_its_holder(tmp_path: Path) -> None:
    with (
        lock(tmp_path / "out/.metacurate"),
        pytest.raises(MetacurateError, match="out: another run is at work on it"),
    ):
        take(tmp_path / "out/.metacurate")
    take(tmp_path / "out/.metacurate")


def take(folder: Path) -> None:
    with lock(folder):
        pass


# ---- here and in a store


@pytest.fixture(params=["here", "store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "here":
        yield tmp_path / "out"
        return
    found = place_of(f"memory://bucket{abs(hash(str(tmp_path)))}/out")
    yield found
    remove_folder(found)


def test_what_is_written_is_found(place: Place) -> None:
    assert (list_folder(place), is_folder(place), is_file(place / "a.txt")) == ({}, False, False)
    write_text(place / "a.txt", "old")
    write_text(place / "a.txt", "new")
    write_text(place / "below" / "b.txt", "b" * 100)
    entries = list_folder(place)
    assert {name: entry.is_folder for name, entry in entries.items()} == {
        "a.txt": False, "below": True,
    }  # fmt: skip
    assert entries["a.txt"].size == 3
    assert entries["a.txt"].changed > 1.7e9
    assert (is_folder(place), is_file(place / "a.txt"), is_file(place)) == (True, True, False)
    assert read_bytes(place / "a.txt") == b"new"
    assert sorted(walk(place)) == [("a.txt", 3), ("below/b.txt", 100)]
    assert pickle.loads(pickle.dumps(place / "a.txt")) == place / "a.txt"


def test_what_is_not_there(place: Place) -> None:
    with pytest.raises(FileNotFoundError):
        read_bytes(place / "a.txt")
    remove([place / "a.txt"])
    remove_folder(place / "below")


def test_what_is_removed_is_gone(place: Place) -> None:
    for name in ("a", "b", "c/d"):
        write_text(place / name, name)
    remove([place / "a", place / "a"])
    remove_folder(place / "c")
    assert list(list_folder(place)) == ["b"]


def test_many_files_are_read_in_their_order(place: Place) -> None:
    places = [place / f"{i:03}" for i in range(40)]
    for one in places:
        write_text(one, one.name)
    assert list(read_all(places)) == [one.name.encode() for one in places]
    assert list(read_all([])) == []
    copies = LocalCopies(places)
    assert [path.read_text() for path in copies.paths] == [one.name for one in places]


def test_tables_come_back(place: Place) -> None:
    tables = [pa.table({"n": [i, i + 1]}) for i in range(20)]
    places = [place / f"{i:02}.arrow" for i in range(20)]
    for one, table in zip(places, tables, strict=True):
        write_arrow(one, table.replace_schema_metadata({"k": "v"}))
    found = list(arrow_tables(places))
    assert [table["n"].to_pylist() for table in found] == [[i, i + 1] for i in range(20)]
    assert found[0].schema.metadata == {b"k": b"v"}


def test_an_upload_that_fails_leaves_what_was_there() -> None:
    place = place_of("memory://uploads/a.txt")
    write_text(place, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("the disk burns")

    with pytest.raises(MetacurateError, match=r"a\.txt: can't be written: the disk burns"):
        write_atomically(place, fail)
    assert read_bytes(place) == b"old"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("https://example.org/out", "web servers are read from only"),
        ("hf://datasets/me/out", "each file that is written to the Hub is a commit"),
        ("ftp://example.org/out", "outputs are written to folders, s3:// and gs:// only"),
        ("s3://", "names no bucket"),
    ],
)
def test_places_that_can_not_be_written_to(path: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        place_of(path)


def test_paths_of_this_machine(tmp_path: Path) -> None:
    assert place_of(str(tmp_path)) == place_of(f"file://{tmp_path}") == place_of(tmp_path)
    assert isinstance(place_of("relative/out"), Path)
    assert isinstance(place_of("s3://bucket/out/"), UPath)
    assert str(place_of("s3://bucket/out/") / "a") == "s3://bucket/out/a"


@pytest.mark.parametrize(
    ("error", "answers"),
    [
        (FileNotFoundError(2, "gone"), True),
        (PermissionError(13, "refused"), False),  # a key that has expired, as likely as not
        (OSError("Corrupt snappy compressed data."), True),  # Arrow's own
        (ConnectionResetError("reset"), False),
        (TimeoutError("late"), False),
        (OSError(5, "We encountered an internal error"), False),
    ],
)
def test_which_errors_are_the_stores(error: Exception, answers: bool) -> None:
    assert does_not_answer("s3://bucket/a.parquet", error) == (not answers)
    assert not does_not_answer("/pool/a.parquet", error)


def test_errors_of_botocore_are_the_stores() -> None:
    botocore = pytest.importorskip("botocore.exceptions")
    error = botocore.EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    assert does_not_answer("s3://bucket/a.parquet", error)
    copy = pickle.loads(pickle.dumps(StorageError("s3://bucket/a.parquet", error)))
    assert str(copy) == str(StorageError("s3://bucket/a.parquet", error))
