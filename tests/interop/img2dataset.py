"""img2dataset, in an environment of its own: its requirements do not go with the project's."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PINS = Path(__file__).with_name("img2dataset.txt")
BUILD = Path(__file__).parents[2] / "build"


def install() -> Path:
    """Make the environment where there is none with these pins; that takes half a minute.

    Returns:
        Its folder, in build/.
    """
    made_of = f"{sys.base_prefix} {sys.version} ".encode() + PINS.read_bytes()
    folder = BUILD / f"img2dataset-{hashlib.sha256(made_of).hexdigest()[:12]}"
    installed = folder / "installed"  # written last: without it, the rest is of no use
    if not installed.exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run(sys.executable, "-m", "venv", folder)
        pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
        _run(*pip, "install", "--quiet", "--no-deps", "--no-compile", "-r", PINS)
        installed.touch()
    return folder


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = f"img2dataset can't be installed: {said[-1] if said else done.returncode}"
        if os.environ.get("CI"):
            pytest.fail("\n".join([reason, *said]))
        pytest.skip(reason)
