"""Commands in processes that are forked off one that has imported all: a start costs little.

Run as a program, this file is that process: it reads requests and answers, JSON in lines.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if __name__ != "__main__":
    from .runs import contents, totals

STAGES = ("convert", "captions", "count", "plan", "sample")  # in the order in which they run
FATES = ("kept", "balanced_away", "unmatched", "invalid", "other_caption")
VARYING = {"seconds", "resumed_units"}  # what tells of the run, not of its result
READY = "ready"
TICK = 0.0005  # seconds between two looks at a run


@dataclass(frozen=True)
class Attempt:
    """What became of a run: its exit code (minus the signal's number), output and time."""

    code: int
    errors: str
    seconds: float


class Attempts:
    """The process that runs commands, as its client sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self,
        *arguments: object,
        after: float | None = None,
        until: Path | None = None,
        number: signal.Signals = signal.SIGKILL,
    ) -> Attempt:
        """Run a command; send it a signal after some seconds, or when a glob finds something."""
        fields = {
            "arguments": [str(one) for one in arguments],
            "after": after,
            "until": None if until is None else str(until),
            "number": int(number),
        }
        return Attempt(**self.ask(fields))

    def cut_off(self, *arguments: object, until: Path) -> None:
        """Run a command, and kill it once a glob finds something."""
        run = self.run(*arguments, until=until)
        assert run.code == -signal.SIGKILL, run.errors

    def shell(self, script: str, *arguments: object) -> str:
        """Run a script beside the commands: in their namespace."""
        answer = self.ask({"shell": ["sh", "-ec", script, "sh", *map(str, arguments)]})
        assert answer["code"] == 0, answer["errors"]
        return str(answer["errors"])

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def attempts(log: Path, *prefix: str) -> Iterator[Attempts | None]:
    """Start the process; a prefix may give it a namespace of its own, None where that can't be."""
    command = [*prefix, sys.executable, str(Path(__file__).resolve()), str(log)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield Attempts(process) if process.stdout.readline().strip() == READY else None
        assert process.stdin is not None
        process.stdin.close()


def furthest_stage(out: Path) -> str:
    """The last of the stages that a run has begun."""
    begun = {path.name.rsplit("-", 1)[0] for path in out.glob(".metacurate/*-*/")}
    return next((stage for stage in reversed(STAGES) if stage in begun), "none")


def result(out: Path) -> dict[str, Any]:
    """All that a run made but the times, after a look at its accounts."""
    assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
    shards = pq.read_table(out / "shards.parquet").drop_columns("seconds").to_pylist()
    summary = {name: value for name, value in totals(out).items() if name not in VARYING}
    for account in [*shards, summary]:
        assert account["rows_read"] == sum(account.get(fate) or 0 for fate in FATES)
    for name in ("rows_read", *FATES):
        assert summary.get(name, 0) == sum(shard[name] or 0 for shard in shards)
    return {
        **contents(out),
        **{name: (out / name).read_bytes() for name in ("datacard.json", "README.md")},
        "converted": {path.name: path.read_bytes() for path in out.glob(".metacurate/converted/*")},
        "files": sorted(path.name for path in out.iterdir()),
        "shards": shards,
        "totals": summary,
    }


# ---- the process itself


def serve(log: Path) -> None:
    warm_up()
    print(READY, flush=True)  # noqa: T201
    for line in sys.stdin:
        request = json.loads(line)
        if "shell" in request:
            done = subprocess.run(request["shell"], capture_output=True, text=True)
            answer = {"code": done.returncode, "errors": done.stdout + done.stderr}
        else:
            answer = attempt(log, **request)
        print(json.dumps(answer), flush=True)  # noqa: T201


def warm_up() -> None:
    """Load what a run calls, compiled code too, without a thread: they would not be forked."""
    from metacurate.cli import main
    from metacurate.curation.balance import Balance
    from metacurate.curation.count import Counts
    from metacurate.curation.curate import curate
    from metacurate.curation.sample import draws
    from metacurate.matching.matcher import Counter, Matcher
    from metacurate.metadata.metadata import Metadata

    assert callable(curate)
    metadata = Metadata.from_entries(["a"])
    texts, values = pa.array(["a", "b", None]), np.ones(1, np.uint64)
    matcher = Matcher(metadata)
    Counter(matcher).add(texts)
    balance = Balance(Counts(values, 1, 1, metadata.digest, "paper", ""), threshold=1.0)
    matches = matcher.match(texts)
    drawn = draws(texts, texts, 0, "sample", 0)
    balance.keep_probabilities(matches)
    balance.min_thresholds(matches, drawn)
    sys.argv = ["metacurate", "status", os.devnull]
    with suppress(SystemExit), redirect_stderr(StringIO()):
        main()
    gc.collect()
    gc.freeze()


def attempt(
    log: Path, arguments: list[str], after: float | None, until: str | None, number: int
) -> dict[str, Any]:
    assert not other_threads()
    began = time.monotonic()
    child = os.fork()
    if not child:
        become(log, arguments)
    pid = sent = code = 0
    while not pid:
        pid, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status)
        late = after is not None and time.monotonic() - began >= after
        if not (pid or sent) and (late or (until is not None and is_there(Path(until)))):
            os.kill(child, number)
            sent = 1
        time.sleep(0 if pid or sent else TICK)
    seconds = time.monotonic() - began
    return {"code": code, "errors": log.read_text("utf-8"), "seconds": seconds}


def is_there(pattern: Path) -> bool:
    """Whether a path exists; its last two parts may be globs."""
    folders = pattern.parent.parent.glob(pattern.parent.name)
    return any(next(folder.glob(pattern.name), None) for folder in folders)


def other_threads() -> list[str]:
    """Threads that a fork would lose, those of libraries too where the system tells.

    Arrow's allocator has one that looks after forks by itself.
    """
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        return [thread.name for thread in threading.enumerate()[1:]]
    names = [(task / "comm").read_text().strip() for task in tasks.iterdir()]
    return sorted(name for name in names if name != "jemalloc_bg_thd")[1:]


def become(log: Path, arguments: list[str]) -> None:
    """Turn into the command, as if it had been started by a shell."""
    from metacurate.cli import main

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), 2)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["metacurate", *arguments]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - it ends with it
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)  # no time for taking down what was imported


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
