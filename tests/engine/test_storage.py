"""Files appear whole or not at all, and one run at a time holds a folder."""

import os
from pathlib import Path

import pytest

from metacurate.engine.lock import lock
from metacurate.engine.storage import write_atomically, write_json
from metacurate.errors import MetacurateError


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
