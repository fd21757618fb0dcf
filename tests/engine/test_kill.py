"""Real processes that are killed or interrupted at any moment, and the runs that follow."""

import gzip
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.engine.local import map_threads
from metacurate.engine.stage import Stop
from metacurate.engine.status import read_status
from metacurate.engine.workspace import open_workspace
from metacurate.errors import MetacurateError

from .attempts import Attempts, attempts, furthest_stage, result
from .runs import CONCEPTS, captions, contents, start, totals, write_file

INTERRUPTED = "metacurate: interrupted; the same command goes on where this stopped"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def forks(folder: Path) -> Iterator[Attempts]:
    with attempts(folder / "log") as made:
        assert made is not None
        yield made


# ---- killed at random

FILES, ROWS = 40, 500
KILLS = 50


@pytest.fixture(scope="module")
def pools(folder: Path) -> Path:
    """Long texts, most of them without an entry, so that each stage takes its time.

    Each url comes twice; some texts and urls are null.
    """
    CONCEPTS.write(folder / "metadata.txt")
    filler = " ".join(f"word{i}" for i in range(60))
    texts: list[str | None] = [
        f"{filler} {text[: 8 * (i % 3)]}" for i, text in enumerate(captions(ROWS))
    ]
    texts[::50] = [None] * len(texts[::50])
    for kind in ("parquet", "csv"):
        (folder / kind).mkdir()
    for i in range(FILES):
        first = i * ROWS % (FILES * ROWS // 2)
        urls = [f"https://example.org/{first + row}" if row % 40 else None for row in range(ROWS)]
        table = pa.table({"url": urls, "text": texts[i:] + texts[:i]})
        pq.write_table(table, folder / f"parquet/{i:02}.parquet")
        with gzip.open(folder / f"csv/{i:02}.csv.gz", "wb", 1) as file:
            pyarrow.csv.write_csv(table, file)
    return folder


def curation(pools: Path, options: str) -> list[object]:
    """A command but for its output folder, which is to follow; options begin with the pool."""
    kind, *flags = options.split()
    return [
        "curate",
        pools / kind,
        "-m",
        pools / "metadata.txt",
        "--json",
        "--no-report",
        *flags,
        "-o",
    ]


def kill_at_random(
    forks: Attempts, command: list[object], folder: Path, *, kills: int, again: bool, stages: str
) -> None:
    """Run a command, kill it at random moments, and let it go on, until it ends by itself.

    In as many folders as it takes for so many kills, and until kills have hit all stages.

    Args:
        command: all but the output folder, which it ends with. folder: for outputs.
        kills: at least so many. again: kill the runs that go on, too.
        stages: names of those that a kill is to find the run in, at its furthest.
    """
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    whole = forks.run(*command, folder / "unbroken")
    assert whole.code == 0, whole.errors
    expected = result(folder / "unbroken")
    hit: Counter[str] = Counter()
    resumed = n_ends = 0

    def enough() -> bool:
        return hit.total() >= kills and hit.keys() >= set(stages.split())

    while not enough():
        assert hit.total() < 5 * kills, (seed, hit)
        out, told = folder / f"out{n_ends}", [("seed", float(seed))]
        n_ends += 1
        while True:
            alone = enough() or (len(told) > 1 and not again)
            after = None if alone else whole.seconds * moments.random() ** 2
            left = len(list(out.glob(".metacurate/*-*/*.json")))
            run = forks.run(*command, out, after=after)
            if run.code == 0:
                break
            assert run.code == -signal.SIGKILL, (told, run)
            told.append((furthest_stage(out), round(run.seconds, 4)))
            hit[told[-1][0]] += 1
        assert result(out) == expected, told
        assert (totals(out)["resumed_units"] > 0) == (left > 0), told
        resumed += left > 0
        shutil.rmtree(out)
    assert resumed > 0, seed


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        pytest.param("parquet -t 500 --workers 1", "count sample", id="one worker"),
        pytest.param("parquet -t 500 --workers 2", "count sample", id="two workers"),
        pytest.param("parquet -t 500 --per-image one", "captions count sample", id="one per image"),
        pytest.param("parquet --budget 3000", "count plan sample", id="budget"),
        pytest.param("csv -t 500", "convert count sample", id="converted"),
    ],
)
def test_runs_that_are_killed_again_and_again(
    options: str, stages: str, pools: Path, forks: Attempts, tmp_path: Path
) -> None:
    command = curation(pools, options)
    kill_at_random(forks, command, tmp_path, kills=KILLS, again=True, stages=stages)


def test_runs_that_are_killed_once(pools: Path, forks: Attempts, tmp_path: Path) -> None:
    command = curation(pools, "parquet -t 500")
    kill_at_random(forks, command, tmp_path, kills=10, again=False, stages="count sample")


STEPS = (
    ".metacurate/converted/.*.tmp", ".metacurate/converted/*", ".metacurate/configuration.json",
    ".metacurate/captions-*/*.json", ".metacurate/others-*.npy", ".metacurate/count-*/.*.tmp",
    ".metacurate/count-*/*.json", ".metacurate/plan-*/*.arrow", ".metacurate/plan-*/*.json",
    "curated", "curated/.*.tmp", "curated/*.parquet", ".metacurate/sample-*/*.json",
    "datacard.json", "README.md", "counts.parquet", "croissant.json", "shards.parquet",
    "manifest.json",
)  # fmt: skip


def test_a_run_that_is_killed_at_each_step(pools: Path, forks: Attempts, tmp_path: Path) -> None:
    command = curation(pools, "csv --per-image one --budget 3000 --workers 2")
    whole = forks.run(*command, tmp_path / "unbroken")
    assert whole.code == 0, whole.errors
    out, n_kills = tmp_path / "out", 0
    for step in STEPS:
        run = forks.run(*command, out, until=out / step)
        # the last files follow one another so soon that a kill may come too late
        assert run.code == -signal.SIGKILL or (out / "manifest.json").exists(), (step, run)
        n_kills += run.code != 0
    assert n_kills >= len(STEPS) - 4
    run = forks.run(*command, out)
    assert run.code == 0, run.errors
    assert result(out) == result(tmp_path / "unbroken")
    assert totals(out)["resumed_units"] == 5 * FILES


# ---- in processes of their own, as users have them


N_PAIRS = 24  # files


@pytest.fixture(scope="module")
def pairs(folder: Path) -> Path:
    """A pool that keeps two workers busy for a while, and what becomes of it."""
    texts = captions(20_000)
    for i in range(N_PAIRS):
        write_file(folder / f"pairs/{i:02}.parquet", texts)
    CONCEPTS.write(folder / "metadata.parquet")
    mc.curate(folder / "pairs", CONCEPTS, threshold=5_000, out=folder / "unbroken")
    return folder


def command(folder: Path, out: Path) -> list[object]:
    return [
        "curate", folder / "pairs", "--metadata", folder / "metadata.parquet",
        "--threshold", 5_000, "--workers", 2, "--json", "--out", out,
    ]  # fmt: skip


def wait_for(process: subprocess.Popen[str], out: Path, pattern: str, number: int) -> None:
    while process.poll() is None and len(list(out.glob(pattern))) < number:
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGKILL, "sample"), (signal.SIGTERM, "count"),
        (signal.SIGINT, "count"), (signal.SIGINT, "sample"),
    ],
)  # fmt: skip
def test_a_run_that_is_cut_off_goes_on(
    number: signal.Signals, stage: str, pairs: Path, forks: Attempts, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(*command(pairs, out))
    wait_for(process, out, f".metacurate/{stage}-*/*.json", 2)
    process.send_signal(number)
    _, errors = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert errors.splitlines()[-1] == INTERRUPTED
        assert "Traceback" not in errors
        assert not list(out.rglob("*.tmp"))
    else:
        assert process.returncode == -number
    assert not (out / "manifest.json").exists()

    again = forks.run(*command(pairs, out))
    assert again.code == 0, again.errors
    assert 0 < totals(out)["resumed_units"] < 2 * N_PAIRS
    assert contents(out) == contents(pairs / "unbroken")  # so nothing temporary is left, too


@pytest.fixture(scope="module")
def large(folder: Path) -> Iterator[Path]:
    """Files that take many seconds each: a table of 16 units, and 300 MB of CSV."""
    filler = " ".join(f"word{i}" for i in range(40))
    texts = [f"{text} {filler}" for text in captions(4096)] * 32
    table = pa.table({"url": [f"u{i}" for i in range(len(texts))], "text": texts})
    (folder / "large").mkdir()
    with pq.ParquetWriter(folder / "large/a.parquet", table.schema) as writer:
        for _ in range(16):
            writer.write_table(table)
    block = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, block)
    header, content = block.getvalue().to_pybytes().split(b"\n", 1)
    with (folder / "large.csv").open("wb") as file:
        file.write(header + b"\n")
        while file.tell() < 300_000_000:
            file.write(content)
    CONCEPTS.write(folder / "metadata.txt")
    yield folder
    shutil.rmtree(folder / "large")
    (folder / "large.csv").unlink()


@pytest.mark.parametrize(
    ("pool", "stage"), [("large", "count"), ("large", "sample"), ("large.csv", "convert")]
)
def test_ctrl_c_is_heard_at_once(pool: str, stage: str, large: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start("curate", large / pool, "-m", large / "metadata.txt", "-o", out, "--workers", 1)
    begun = {"convert": ".metacurate/converted/.*.tmp", "count": ".metacurate/count-*/*.json"}
    wait_for(process, out, begun.get(stage, "curated/*.parquet"), 1)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert time.monotonic() - began < 2
    assert errors.splitlines()[-1] == INTERRUPTED
    assert "Traceback" not in errors
    assert not list(out.rglob("*.tmp"))
    if stage != "convert":
        now = {one["stage"]: one for one in read_status(out)["stages"]}[stage]
        assert 0 < now["done"] < now["units"] / 2  # it was not just at its end


class Interrupting(list[int]):
    def __iter__(self) -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt


def test_ctrl_c_while_tasks_are_handed_out() -> None:
    done = []

    def work(item: int, stop: Stop, advance: Callable[[int], None]) -> int:
        time.sleep(0.5)
        if not stop.is_set():
            done.append(item)
        return item

    with pytest.raises(KeyboardInterrupt):
        list(map_threads(work, Interrupting(), 1, lambda _: None))
    assert not done


# ---- status


def test_status_of_a_run_at_work_and_cut_off_and_done(
    pairs: Path, forks: Attempts, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def told() -> dict[str, Any]:
        run = forks.run("status", out, "--json")
        assert run.code == 0, run.errors
        state: dict[str, Any] = json.loads(run.errors)
        return state

    for end in ("interrupted", "complete"):
        process = start(*command(pairs, out))
        wait_for(process, out, ".metacurate/sample-*/*.json", 2 if end == "interrupted" else 10)
        during = told()
        assert during["state"] == "running"
        assert [stage["stage"] for stage in during["stages"]] == ["count", "sample"]
        assert during["stages"][0]["done"] == during["stages"][0]["units"] == N_PAIRS
        assert 0 < during["stages"][1]["done"] <= N_PAIRS
        if end == "interrupted":
            process.kill()
        while process.poll() is None:  # nothing of it is ever in a run's way
            assert read_status(out)["state"] in ("running", "complete", "interrupted")
            time.sleep(0.001)
        _, errors = process.communicate()
        assert process.returncode == (0 if end == "complete" else -signal.SIGKILL), errors
        after = told()
        assert after["state"] == end
        assert (after["stages"][1]["done"] == N_PAIRS) == (end == "complete")
    assert contents(out) == contents(pairs / "unbroken")


def test_status_while_other_configurations_replace_one_another(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_file(tmp_path / "pool/a.parquet", captions(100))
    done = threading.Event()

    def curate() -> None:
        for seed in range(40):
            mc.curate(tmp_path / "pool", CONCEPTS, threshold=20, out=out, seed=seed)
        done.set()

    mc.curate(tmp_path / "pool", CONCEPTS, threshold=20, out=out)
    thread = threading.Thread(target=curate)
    thread.start()
    try:
        while not done.is_set():
            read_status(out)
    finally:
        thread.join()


def test_status_of_a_conversion(large: Path, forks: Attempts, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = ["count", large / "large.csv", "-m", large / "metadata.txt", "-o", out]
    process = start(*run)
    wait_for(process, out, ".metacurate/converted/.*.tmp", 1)
    told = forks.run("status", out, "--json")
    process.kill()
    process.communicate()
    assert told.code == 0, told.errors
    status = json.loads(told.errors)
    assert (status["command"], status["state"]) == ("count", "running")
    assert [stage["stage"] for stage in status["stages"]] == ["convert"]


# ---- the lock

HOLD = """
import sys
from pathlib import Path
from metacurate.engine.manifest import work_folder
from metacurate.engine.lock import lock
with lock(work_folder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_file(tmp_path / "pairs" / "a.parquet", captions(100))
    CONCEPTS.write(tmp_path / "metadata.parquet")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    second = start(*command(tmp_path, out))
    _, errors = second.communicate()
    assert second.returncode == 1
    assert errors == f"metacurate: error: {out}: another run is at work on it\n"
    assert [path.name for path in out.rglob("*")] == [".metacurate", "lock"]

    holder.kill()
    holder.communicate()
    third = start(*command(tmp_path, out))
    _, errors = third.communicate()
    assert third.returncode == 0, errors


def test_two_runs_that_begin_at_once(tmp_path: Path) -> None:
    """The one that is refused must leave the other one's lock, in a folder that was not there."""
    for i in range(20):
        out = tmp_path / f"{i}"
        together, refused = threading.Barrier(2), threading.Event()
        kept: list[bool] = []

        def begin(
            out: Path = out,
            together: threading.Barrier = together,
            refused: threading.Event = refused,
            kept: list[bool] = kept,
        ) -> None:
            together.wait()
            try:
                with open_workspace(out, {"command": "count", "pool": ["a"]}):
                    refused.wait(5)
                    kept.append((out / ".metacurate/lock").exists())
            except MetacurateError:
                pass
            refused.set()

        threads = [threading.Thread(target=begin) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert kept == [True]
