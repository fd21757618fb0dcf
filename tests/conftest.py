"""What all tests share: the real data, the cache folder, Hypothesis without deadlines."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Threads of PyTorch that wait leave their cores to the tests beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# No deadline: the first example of a run may wait for the compiler.
settings.register_profile("metacurate", deadline=None)
settings.load_profile("metacurate")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep automata in a temporary folder, never in the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METACURATE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real captions and entries, which is no part of the project."""
    named = os.environ.get("METACURATE_DATA")
    if not named:
        pytest.skip("needs real data: METACURATE_DATA is not set")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"needs real data: METACURATE_DATA names {folder}, which is no folder")
    return folder
