"""Commands, called in this process or started in one of their own, and a pool to call them on."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate import cli

ENTRIES = ["red", "fox", "red fox", "dog", "st. louis", "🌭"]
TEXTS = ["a red fox", "a dog", "a red dog, a fox", "nothing here", "", "🌭", "red"]
ROWS = 200
CURATE = "curate pool -m m.txt -t 5 -o out --no-report"


class Done(NamedTuple):
    code: int
    out: str
    err: str


def call(command: str, *more: str) -> Done:
    """Run a command in this process, which saves the seconds of a start.

    Args:
        command: words. more: arguments that may hold spaces.
    """
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["metacurate", *command.split(), *more])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
    assert isinstance(exit_.value.code, int)
    return Done(exit_.value.code, out.getvalue(), err.getvalue())


def execute(command: str, stdin: bytes = b"", **environment: str) -> Done:
    """Run a command in a process of its own."""
    process = start("-m", "metacurate", *command.split(), **environment)
    out, err = process.communicate(stdin)
    return Done(process.returncode, out.decode(), err.decode())


def start(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start Python with the same package, from whatever folder."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(mc.__file__).parents[1]), **environment},
    )  # fmt: skip


def write_pairs(path: Path, rows: int = ROWS, texts: Any = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    urls = [f"https://example.org/{path.stem}/{i}.jpg" for i in range(rows)]
    texts = [TEXTS[i % len(TEXTS)] for i in range(rows)] if texts is None else texts
    pq.write_table(pa.table({"url": urls, "text": texts}), path)


def error_line(done: Done, code: int) -> str:
    """The message of a command that has to fail, without what stands before it."""
    assert (done.code, done.out) == (code, "")
    line = done.err.splitlines()[-1]
    assert line.startswith("metacurate: error: ")
    assert done.err.count("error: ") == 1
    return line.removeprefix("metacurate: error: ")


def on_terminal(columns: int, command: str, *more: str) -> list[str]:
    """Run a command on a terminal of some width; lines of its standard output, without colours."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    hidden = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PYTHONPATH": str(Path(mc.__file__).parents[1]), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "metacurate", *command.split(), *more],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    os.close(slave)
    shown = b""
    with suppress(OSError):  # how Linux tells that nobody has the terminal open any more
        while piece := os.read(master, 65536):
            shown += piece
    os.close(master)
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    return plain.replace("\r\n", "\n").split("\n")


def cells(lines: Iterable[str]) -> dict[str, list[str]]:
    """Rows of tables: the first cell of each, and the others."""
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in rows if row}
