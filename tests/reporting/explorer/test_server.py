"""The command explore, in a process of its own: it starts, answers, and ends as one expects."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

import metacurate as mc
from metacurate.errors import MetacurateError
from metacurate.reporting.explorer.server import _listen

from ...cli.calls import execute, start


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], int, str]]:
    """Start the explorer at a free port, and wait until it tells its address."""
    process = start("-m", "metacurate", "explore", *arguments, "--port", "0")
    assert process.stderr is not None
    try:
        line = process.stderr.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert found is not None, line + process.stderr.read().decode()
        yield process, int(found[1]), line
    finally:
        process.kill()
        process.communicate()


def status_of(port: int, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_serves_until_it_is_interrupted(animals: Path) -> None:
    with started(str(animals)) as (process, port, line):
        assert line == f"Explore {animals} at http://127.0.0.1:{port}/ (Ctrl-C ends it)\n"
        assert status_of(port, "/") == 200
        assert status_of(port, "/pairs?x=1") == 400
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, b"", b"")


def test_interrupted_at_once(animals: Path) -> None:
    with started(str(animals)) as (process, _, _):
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert b"Traceback" not in err
        assert process.returncode == 0


def test_it_listens_on_this_machine_only(animals: Path) -> None:
    with started(str(animals)) as (_, port, _), socket.socket() as other:
        other.settimeout(2)
        with pytest.raises(OSError):
            other.connect(("127.0.0.2", port))


def test_the_port_is_in_use(animals: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = execute(f"explore {animals} --port {port}")
    assert done.code == 1
    assert done.err.strip().count("\n") == 0
    assert f"port {port} can't be used" in done.err
    assert "--port" in done.err


def test_two_that_start_at_once_on_a_port() -> None:
    first = _listen(0)  # it reads its set, and answers nothing yet
    with closing(first), pytest.raises(MetacurateError, match="give another with --port"):
        _listen(first.getsockname()[1])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("nowhere --port 0", "nowhere holds no finished curated set"),
        ("nowhere --port 70000", "port 70000 is not between 0 and 65535"),
    ],
)
def test_wrong_usage(arguments: str, told: str) -> None:
    done = execute(f"explore {arguments}")
    assert (done.code, done.out) == (2, "")
    assert told in done.err


def test_help() -> None:
    done = execute("explore --help", COLUMNS="100")
    assert done.code == 0
    assert "--port" in done.out
    assert "--host" not in done.out


def test_a_missing_package(animals: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from metacurate.reporting.explorer.server import serve\n"
        f"serve({str(animals)!r}, 0, print)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(mc.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b'pip install "metacurate[report]"' in done.stderr
