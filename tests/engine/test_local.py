"""Threads and processes do the same work, and end when they are told to."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from metacurate.engine import local
from metacurate.engine.local import WorkerDiedError, map_processes, map_threads
from metacurate.engine.stage import Stop
from metacurate.errors import InputError

Advance = Callable[[int], None]
SPREADS = pytest.mark.parametrize("spread", [map_threads, map_processes])


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes import this module by the name that it has here."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])


def square(item: int, stop: Stop, advance: Advance) -> int:
    assert not stop.is_set()
    for _ in range(item):
        advance(1)
    return item * item


@SPREADS
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_all_items_are_worked_on_and_told(spread: Any, workers: int) -> None:
    told: list[int] = []
    assert sorted(spread(square, range(20), workers, told.append)) == [i * i for i in range(20)]
    assert sum(told) == sum(range(20))


@SPREADS
def test_nothing_to_do(spread: Any) -> None:
    assert list(spread(square, [], 2, print)) == []


def refuse(item: int, stop: Stop, advance: Advance) -> int:
    raise InputError(f"file {item}", "is broken")


@SPREADS
def test_errors_come_back(spread: Any) -> None:
    with pytest.raises(InputError, match="file 3: is broken") as error:
        list(spread(refuse, [3], 2, print))
    assert (error.value.source, error.value.reason) == ("file 3", "is broken")


def wait_for_stop(item: Path, stop: Stop, advance: Advance) -> str:
    if item.name == "first":
        return "first"
    item.touch()
    while not stop.is_set():
        time.sleep(0.01)
    item.with_suffix(".stopped").touch()
    return "stopped"


@SPREADS
def test_who_stops_listening_stops_the_work(spread: Any, tmp_path: Path) -> None:
    items = [tmp_path / name for name in ("first", "second", "third", "fourth")]
    results = spread(wait_for_stop, items, 2, print)
    assert next(results) == "first"
    while not items[1].exists():
        time.sleep(0.01)
    results.close()
    begun = [item for item in items if item.exists()]
    assert items[1] in begun
    assert all(item.with_suffix(".stopped").exists() for item in begun)


def die(item: int, stop: Stop, advance: Advance) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_killed_process_is_an_error_that_says_so() -> None:
    done: list[int] = []
    with pytest.raises(WorkerDiedError, match="a worker process ended before its") as error:
        done.extend(map_processes(die, range(5), 2, print))
    assert 2 in error.value.begun
    assert sorted([*done, *error.value.begun, *error.value.waiting]) == list(range(5))


INTERRUPTED = """
import sys
from test_local import nap
from metacurate.engine import local
if __name__ == "__main__":
    for i in getattr(local, sys.argv[1])(nap, range(int(sys.argv[2])), 2, lambda work: None):
        if i == 0:
            print("begun", flush=True)
"""


def nap(item: int, stop: Stop, advance: Advance) -> int:
    time.sleep(0.001)
    return item


@pytest.mark.parametrize(
    ("spread", "items", "times"), [("map_threads", 20_000, 5), ("map_processes", 5_000, 2)]
)
def test_ctrl_c_at_any_moment_ends_it(spread: str, items: int, times: int, tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    for _ in range(times):
        process = subprocess.Popen(
            [sys.executable, script, spread, str(items)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(random.random() / 2)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
            assert errors.splitlines()[-1] == "KeyboardInterrupt"
        finally:
            process.kill()
            process.communicate()


def hold_the_lock(item: Path, stop: Stop, advance: Advance) -> None:
    item.touch()
    re.match(r"(a|aa)+$", "a" * 60 + "b")  # for years, and deaf to all but the system


def test_a_process_that_does_not_hear_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "GRACE", 0.5)
    items = [tmp_path / "first", tmp_path / "deaf"]
    results: Any = map_processes(first_or_deaf, items, 2, print)
    assert next(results) == "first"
    while not items[1].exists():
        time.sleep(0.01)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 20


def first_or_deaf(item: Path, stop: Stop, advance: Advance) -> str:
    if item.name == "deaf":
        hold_the_lock(item, stop, advance)
    return item.name


PARENT = """
import sys, time
from pathlib import Path
from test_local import report_and_wait
from metacurate.engine.local import map_processes
if __name__ == "__main__":
    list(map_processes(report_and_wait, [Path(p) for p in sys.argv[1:]], 2, print))
"""


def report_and_wait(item: Path, stop: Stop, advance: Advance) -> None:
    item.write_text(str(os.getpid()))
    while not stop.is_set():
        time.sleep(0.01)


@pytest.fixture
def parent(tmp_path: Path) -> Any:
    """A process whose two workers are at work, and their numbers."""
    script, marks = tmp_path / "parent.py", [tmp_path / "a", tmp_path / "b"]
    script.write_text(PARENT)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent)])}
    process = subprocess.Popen(
        [sys.executable, script, *marks],
        env=variables,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        while not all(mark.exists() and mark.read_text() for mark in marks):
            assert process.poll() is None
            time.sleep(0.05)
        yield process, [int(mark.read_text()) for mark in marks]
    finally:
        process.kill()
        process.wait()


def alive(numbers: Sequence[int]) -> list[int]:
    found = []
    for number in numbers:
        status = Path(f"/proc/{number}/stat")
        try:
            ended = status.read_text().rpartition(")")[2].split()[0] in "ZX"
        except FileNotFoundError:
            continue
        if not ended:
            found.append(number)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(number: signal.Signals, parent: Any) -> None:
    process, workers = parent
    assert alive(workers) == workers
    if number == signal.SIGINT:  # as a terminal does: to all processes in the foreground
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(timeout=10)
    deadline = time.monotonic() + 5
    while alive(workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(workers) == []
