"""Builds in processes of their own that are killed or interrupted, and those that follow."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metacurate.metadata.build import build_folder
from metacurate.metadata.metadata import Metadata

from ..sessions import in_session, left_of
from .wiki_dump import Made, multistream, plain

WORDS = [f"w{i}" for i in range(3000)]
FILES = 12
KILLS = 3


def article(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=300)) + " {{x}} [[y|z]]. "


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables and dumps of a few thousand articles."""
    folder = tmp_path_factory.mktemp("inputs")
    draw = random.Random(0)
    for i in range(FILES):
        made = [Made(f"A{i} {k}", article(draw)) for k in range(50)]
        write = multistream if i % 2 else plain
        (folder / f"{i}.xml{'.bz2' if i % 2 else ''}").write_bytes(write(made))
        texts = [article(draw) for _ in range(600)]
        pq.write_table(pa.table({"text": texts}), folder / f"{i}.parquet", row_group_size=200)
    return folder


def start(inputs: Path, out: Path) -> subprocess.Popen[str]:
    flags = f"--wikipedia {inputs} --unigrams 2000 --bigrams 500 --workers 2 --json -o {out}"
    return subprocess.Popen(
        [sys.executable, "-m", "metacurate", "metadata", "build", *flags.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return out, errors


@pytest.fixture(scope="module")
def unbroken(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    out = tmp_path_factory.mktemp("unbroken") / "m.parquet"
    began = time.monotonic()
    finish(start(inputs, out))
    return Metadata.read(out).digest, time.monotonic() - began


def test_killed_again_and_again(inputs: Path, unbroken: tuple[str, float], tmp_path: Path) -> None:
    digest, seconds = unbroken
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    out = tmp_path / "m.parquet"
    for _ in range(KILLS):
        process = start(inputs, out)
        time.sleep(seconds * draw.uniform(0.2, 1.0))
        process.kill()
        process.communicate()
        assert left_of(process.pid) == [], seed
    printed, _ = finish(start(inputs, out))
    assert json.loads(printed)["digest"] == digest, seed
    assert Metadata.read(out).digest == digest
    left = [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    assert left == [], seed


def test_a_worker_that_is_killed(inputs: Path, unbroken: tuple[str, float], tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    process = start(inputs, out)
    deadline = time.monotonic() + 60
    workers: list[int] = []
    while not workers and time.monotonic() < deadline:
        time.sleep(0.02)
        for number in in_session(process.pid):
            line = Path(f"/proc/{number}/cmdline").read_bytes()
            if b"spawn_main" in line:
                workers.append(number)
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "a worker process died" in errors
    assert "Traceback" not in errors
    assert Metadata.read(out).digest == unbroken[0]


def test_ctrl_c_ends_soon_and_goes_on(
    inputs: Path, unbroken: tuple[str, float], tmp_path: Path
) -> None:
    out = tmp_path / "m.parquet"
    process = start(inputs, out)
    records = build_folder(out) / ".metacurate"
    while not list(records.glob("count-dump-*/*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "interrupted; the same command goes on where this stopped" in errors
    _, errors = finish(start(inputs, out))
    assert re.search(r"count-text: \d+ of \d+ units were done before", errors)
    assert Metadata.read(out).digest == unbroken[0]


def test_two_builds_at_once_are_refused_and_status_tells(inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    first = start(inputs, out)
    while not (build_folder(out) / ".metacurate" / "lock").exists():
        time.sleep(0.01)
    second = start(inputs, out)
    _, errors = second.communicate(timeout=60)
    assert (second.returncode, "another run is at work" in errors) == (1, True)
    finish(first)
    command = [sys.executable, "-m", "metacurate", "status", str(build_folder(out)), "--json"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert (told["command"], told["state"]) == ("metadata build", "complete")
    assert {stage["stage"] for stage in told["stages"]} == {"count-text", "count-dump"}
