"""The folder in which the commands are called."""

from pathlib import Path

import pytest

import metacurate as mc

from .calls import ENTRIES, write_pairs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a pool and its metadata."""
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        write_pairs(tmp_path / "pool" / f"{name}.parquet")
    mc.Metadata.from_entries(ENTRIES).write("m.txt")
    return tmp_path
