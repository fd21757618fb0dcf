"""Progress: lines in a log, a bar on a terminal, and nothing of it on standard output."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from metacurate.engine import progress
from metacurate.engine.progress import Lines

from .runs import CONCEPTS, captions, start, totals, write_file


@pytest.fixture
def arguments(tmp_path: Path) -> list[object]:
    for name in "abc":
        write_file(tmp_path / "pool" / f"{name}.parquet", captions(400))
    CONCEPTS.write(tmp_path / "m.txt")
    return ["curate", tmp_path / "pool", "-m", tmp_path / "m.txt", "-o", tmp_path / "out", "--json"]


def test_lines_where_there_is_no_terminal(arguments: list[object], tmp_path: Path) -> None:
    process = start(*arguments)
    printed, errors = process.communicate()
    assert json.loads(printed) == totals(tmp_path / "out")
    assert printed.count("\n") == 1
    for line, stage in zip(errors.splitlines(), ["count", "sample"], strict=True):
        assert re.fullmatch(rf"{stage}: 1,200 of 1,200 pairs, [\d,]+/s", line)

    again = start(*arguments)
    printed, errors = again.communicate()
    assert json.loads(printed)["resumed_units"] == 6
    assert errors.splitlines() == [
        "metacurate: count: 3 of 3 units were done before",
        "metacurate: sample: 3 of 3 units were done before",
    ]


def test_a_bar_on_a_terminal(arguments: list[object]) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "metacurate", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=theirs, check=True,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 20).decode()
    os.close(ours)
    assert json.loads(done.stdout)["rows_read"] == 1200
    assert "1,200 of 1,200 pairs" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    with Lines() as lines:
        lines.start("count", 4_000)
        lines.advance(1_000)
        lines.advance(3_000)
        lines.end()
    first, second, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"count: 1,000 of 4,000 pairs, [\d,]+/s, [\d,]+ s left", first)
    assert re.fullmatch(r"count: 4,000 of 4,000 pairs, [\d,]+/s, 0 s left", second)
    assert re.fullmatch(r"count: 4,000 of 4,000 pairs, [\d,]+/s", last)
