"""What every engine keeps to: the same result, resumption, and what survives when things break."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from metacurate.curation.curate import plan
from metacurate.engine.jobs import Ledger, living_arrays
from metacurate.engine.local import LocalEngine
from metacurate.engine.slurm import SlurmEngine
from metacurate.engine.stage import Unit
from metacurate.engine.work import Work
from metacurate.engine.workspace import open_workspace
from metacurate.errors import MetacurateError, UsageError
from metacurate.matching.matcher import Matcher

from .contract import ROOT, Letters, Name, attempts, count_letters, total
from .runs import CONCEPTS, captions, write_file

NAMES: tuple[Name, ...] = ("threads", "processes", "ray", "slurm")
CLUSTERS: tuple[Name, ...] = ("processes", "ray", "slurm")  # where a worker can die alone
PATIENCE = 60  # seconds


def prepare(name: Name, request: pytest.FixtureRequest) -> Name:
    if name == "ray":
        cluster = request.getfixturevalue("ray_cluster")
        request.getfixturevalue("monkeypatch").setenv("RAY_ADDRESS", cluster.address)
    if name == "slurm":
        request.getfixturevalue("with_slurm")
    return name


@pytest.fixture(params=NAMES)
def engine(request: pytest.FixtureRequest) -> Name:
    return prepare(request.param, request)


@pytest.fixture(params=CLUSTERS)
def cluster(request: pytest.FixtureRequest) -> Name:
    return prepare(request.param, request)


@pytest.fixture
def slurm(request: pytest.FixtureRequest) -> Name:
    return prepare("slurm", request)


@pytest.fixture
def ray(request: pytest.FixtureRequest) -> Name:
    return prepare("ray", request)


def write_files(folder: Path, n: int = 12, traps: dict[int, str] | None = None) -> list[str]:
    """Files of words, some of them traps."""
    (folder / "files").mkdir()
    (folder / "marks").mkdir()
    texts = [f"{(traps or {}).get(i, 'good')}: the words of file {i}" for i in range(n)]
    for i, text in enumerate(texts):
        (folder / "files" / f"{i:03}.txt").write_text(text)
    return texts


def letters(texts: list[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return counts


@contextmanager
def start(folder: Path, name: Name) -> Iterator["subprocess.Popen[str]"]:
    """A run in a process of its own, that hears Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.contract", str(folder), name],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.05)


def begun(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "marks").glob("*.txt"))


def written(folder: Path) -> int:
    return len(list((folder / "out" / "letters").glob("*.parquet")))


# ---- the same result


def test_all_units_are_worked_on_once(engine: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path)
    outcome = count_letters(tmp_path, engine)
    assert total(outcome) == letters(texts)
    assert [Path(record.source).name for record in outcome.records] == begun(tmp_path)
    assert (outcome.resumed, outcome.errors, written(tmp_path)) == (0, [], 12)
    assert all(
        record.work == len(text) for record, text in zip(outcome.records, texts, strict=True)
    )
    assert all(len(attempts(mark)) == 1 for mark in (tmp_path / "marks").glob("*.txt"))


def test_a_second_run_has_nothing_to_do(engine: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 3)
    count_letters(tmp_path, engine)
    again = count_letters(tmp_path, engine)
    assert (total(again), again.resumed) == (letters(texts), 3)
    assert all(len(attempts(mark)) == 1 for mark in (tmp_path / "marks").glob("*.txt"))


def test_another_engine_goes_on(engine: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 6, {4: "broken"})
    assert len(count_letters(tmp_path, "threads").errors) == 1
    texts[4] = "good now"
    (tmp_path / "files" / "004.txt").write_text(texts[4])
    outcome = count_letters(tmp_path, engine)
    assert (total(outcome), outcome.resumed, outcome.errors) == (letters(texts), 5, [])


# ---- broken inputs, and workers that die


def test_a_broken_input_is_told_and_the_others_are_done(engine: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, traps={3: "broken"})
    outcome = count_letters(tmp_path, engine)
    (failed,) = outcome.errors
    assert (failed.failed, failed.error) == (True, "is broken")
    assert failed.source.endswith("003.txt")
    assert total(outcome) == letters([*texts[:3], *texts[4:]])
    assert outcome.unread == (failed.unit,)


def test_a_worker_that_is_killed_costs_nothing(cluster: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, traps={5: "kill once"})
    outcome = count_letters(tmp_path, cluster)
    assert (total(outcome), outcome.errors) == (letters(texts), [])
    assert len(attempts(tmp_path / "marks" / "005.txt")) >= 2


def test_a_unit_that_kills_its_worker_is_found(cluster: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 8, traps={5: "kill"})
    outcome = count_letters(tmp_path, cluster)
    (failed,) = outcome.errors
    assert failed.source.endswith("005.txt")
    assert failed.error is not None
    assert "3 times" in failed.error
    assert total(outcome) == letters([*texts[:5], *texts[6:]])
    assert 3 <= len(attempts(tmp_path / "marks" / "005.txt")) <= 8


def test_two_failures_at_once(cluster: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 10, traps={2: "kill", 3: "broken", 7: "kill once"})
    outcome = count_letters(tmp_path, cluster)
    assert sorted(Path(record.source).name for record in outcome.errors) == ["002.txt", "003.txt"]
    assert total(outcome) == letters([*texts[:2], *texts[4:]])
    (tmp_path / "files" / "002.txt").write_text("good now")
    again = count_letters(tmp_path, cluster)
    assert [Path(record.source).name for record in again.errors] == ["003.txt"]
    assert again.resumed == 8


@pytest.mark.parametrize(
    ("trap", "message"),
    [("full", "No space left on device"), ("odd", "OddError: odd, for no reason")],
)
def test_an_error_of_the_run_is_nobodys_input(
    engine: Name, trap: str, message: str, tmp_path: Path
) -> None:
    texts = write_files(tmp_path, 1, {0: trap})
    for _ in range(2):
        with pytest.raises(MetacurateError, match=message):
            count_letters(tmp_path, engine)
    texts[0] = "good now"
    (tmp_path / "files" / "000.txt").write_text(texts[0])
    outcome = count_letters(tmp_path, engine)
    assert (total(outcome), outcome.errors) == (letters(texts), [])


# ---- runs that are cut off


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_cut_off_goes_on(engine: Name, way: signal.Signals, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 30, dict.fromkeys(range(30), "slow"))
    with start(tmp_path, engine) as process:
        wait_until(lambda: written(tmp_path) >= 4)
        process.send_signal(way)
        process.wait(PATIENCE)
    outcome = count_letters(tmp_path, engine)
    assert (total(outcome), outcome.errors, written(tmp_path)) == (letters(texts), [], 30)
    if engine == "slurm":  # the jobs went on, and were waited for
        assert all(len(attempts(mark)) == 1 for mark in (tmp_path / "marks").glob("*.txt"))
    elif way == signal.SIGINT:
        assert outcome.resumed > 0


def test_two_runs_at_once_are_refused(engine: Name, tmp_path: Path) -> None:
    write_files(tmp_path, 2, {0: "wait", 1: "wait"})
    with start(tmp_path, engine) as process:
        wait_until(lambda: begun(tmp_path))
        with pytest.raises(MetacurateError, match="another run is at work on it"):
            count_letters(tmp_path, engine)
        (tmp_path / "marks" / "go").touch()
        assert process.wait(PATIENCE) == 0


# ---- Ray


def test_a_machine_that_goes_costs_nothing(ray: Name, ray_cluster: Any, tmp_path: Path) -> None:
    extra = ray_cluster.add_node(num_cpus=2, object_store_memory=100_000_000)
    ray_cluster.wait_for_nodes()
    texts = write_files(tmp_path, 12, dict.fromkeys(range(12), "slow"))
    with start(tmp_path, ray) as process:
        wait_until(lambda: len(begun(tmp_path)) >= 4)
        ray_cluster.remove_node(extra, allow_graceful=False)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out
    outcome = count_letters(tmp_path, ray)
    assert (total(outcome), outcome.resumed) == (letters(texts), 12)


def test_large_arrays_are_read_where_they_lie(ray: Name, ray_cluster: Any) -> None:
    import ray as package

    from metacurate.engine.ray import RayEngine

    def look(box: list[Any]) -> tuple[bool, bool, bool, list[list[int]]]:
        matcher = package.get(box[0])
        words, entries = matcher.automaton.words, matcher.metadata.entries
        return (
            words.flags.owndata, words.flags.writeable, entries.buffers()[2].is_mutable,
            matcher.match(["w1 w2"]).to_pylist(),
        )  # fmt: skip

    RayEngine().slots(None)
    reference = package.put(Matcher(CONCEPTS))
    found = package.get(package.remote(look).remote([reference]))
    assert found == (False, False, False, [[1, 2]])


def test_what_tasks_need_is_sent_again_where_it_is_lost(
    ray: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import ray as package

    put = package.put
    sent: list[Any] = []

    class Owner:
        def put(self, value: object) -> list[Any]:
            return [package.put(value)]

    def is_lost(box: list[Any]) -> bool:
        try:
            package.get(box[0])
        except package.exceptions.OwnerDiedError:
            return True
        return False

    def lose_the_first(value: object) -> Any:
        if sent:
            sent.append(put(value))
        else:
            again = {"max_restarts": -1, "max_task_retries": -1}  # where a machine has just gone
            owner = package.remote(Owner).options(num_cpus=0, **again).remote()
            sent.extend(package.get(owner.put.remote(value)))
            package.kill(owner)
            wait_until(lambda: package.get(package.remote(is_lost).remote(sent)))
        return sent[-1]

    monkeypatch.setattr(package, "put", lose_the_first)
    texts = write_files(tmp_path, 12, {})
    assert total(count_letters(tmp_path, ray)) == letters(texts)
    assert len(sent) == 2
    assert "could not get what tasks need" in caplog.text


def test_no_cluster_is_an_error_that_says_so(ray: Name, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray as package

    from metacurate.engine.ray import RayEngine

    package.shutdown()
    with pytest.raises(MetacurateError, match=r"no Ray cluster 127\.0\.0\.1:1: "):
        RayEngine("127.0.0.1:1").slots(None)


# ---- Slurm


def recorded(folder: Path) -> int:
    return len(list((folder / "out" / ".metacurate").glob("letters-*/*.json")))


def jobs_of(folder: Path) -> list[str]:
    return [path.stem for path in (folder / "out" / ".metacurate" / "jobs").glob("*.json")]


def test_jobs_that_are_cancelled_end_the_run(slurm: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 4, {2: "wait"})
    with start(tmp_path, slurm) as process:
        wait_until(lambda: len(begun(tmp_path)) == 4 and recorded(tmp_path) == 3)
        (array,) = jobs_of(tmp_path)
        subprocess.run(["scancel", array], check=True)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "cancelled" in out
    (tmp_path / "marks" / "go").touch()
    outcome = count_letters(tmp_path, slurm)
    assert (total(outcome), outcome.resumed) == (letters(texts), 3)
    assert jobs_of(tmp_path) == []


def test_jobs_outlive_who_submitted_them(slurm: Name, tmp_path: Path) -> None:
    from metacurate.engine.status import read_status

    texts = write_files(tmp_path, 4, {2: "wait"})
    configuration = {"command": "curate", "pool": []}
    with start(tmp_path, slurm) as process:
        wait_until(lambda: len(begun(tmp_path)) == 4 and jobs_of(tmp_path))
        process.kill()
    (tmp_path / "out" / ".metacurate" / "configuration.json").write_text(json.dumps(configuration))
    wait_until(lambda: read_status(tmp_path / "out")["stages"][0]["jobs"].get("RUNNING") == 1)
    assert read_status(tmp_path / "out")["state"] == "running"
    (tmp_path / "marks" / "go").touch()
    wait_until(lambda: written(tmp_path) == 4)
    outcome = count_letters(tmp_path, slurm)
    assert total(outcome) == letters(texts)
    assert all(len(attempts(mark)) == 1 for mark in (tmp_path / "marks").glob("*.txt"))


def test_jobs_of_a_submitter_that_died_at_once_are_found(slurm: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 4, {2: "wait"})
    with start(tmp_path, slurm) as process:
        wait_until(lambda: len(begun(tmp_path)) == 4 and recorded(tmp_path) == 3)
        process.kill()
    (array,) = jobs_of(tmp_path)
    note = tmp_path / "out" / ".metacurate" / "jobs" / f"{array}.json"
    told = subprocess.run(
        ["squeue", "--noheader", f"--jobs={array}", "--format=%j"], capture_output=True, text=True
    )
    note.rename(note.with_name(f"{told.stdout.split()[0]}.submitted"))  # as if it knew no id yet
    assert list(living_arrays(Ledger(tmp_path / "out" / ".metacurate"))[0]) == [array]
    (tmp_path / "marks" / "go").touch()
    outcome = count_letters(tmp_path, slurm)
    assert total(outcome) == letters(texts)
    assert all(len(attempts(mark)) == 1 for mark in (tmp_path / "marks").glob("*.txt"))
    assert list(living_arrays(Ledger(tmp_path / "out" / ".metacurate"))[0]) == []


def test_what_a_living_job_has_written_stays(slurm: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 24, {4: "wait"})  # tasks of three: a unit before it is done
    with start(tmp_path, slurm) as process:
        outputs = tmp_path / "out" / "letters"
        wait_until(lambda: (tmp_path / "marks" / "004.txt").exists() and recorded(tmp_path) >= 6)
        assert list(outputs.glob("003-*.parquet"))
        process.kill()
    threading.Timer(4, (tmp_path / "marks" / "go").touch).start()
    outcome = count_letters(tmp_path, slurm)
    assert (total(outcome), outcome.errors, written(tmp_path)) == (letters(texts), [], 24)
    assert all(len(attempts(mark)) == 1 for mark in (tmp_path / "marks").glob("*.txt"))


def test_a_refused_run_takes_nothing_from_living_jobs(slurm: Name, tmp_path: Path) -> None:
    texts = write_files(tmp_path, 4, {2: "wait"})
    out = tmp_path / "out"
    with start(tmp_path, slurm) as process:
        wait_until(lambda: len(begun(tmp_path)) == 4 and len(list(out.rglob("*_result.pkl"))) == 3)
        process.kill()
    ours = {"command": "letters", "pool": ["files"]}
    (out / ".metacurate" / "configuration.json").write_text(json.dumps(ours))
    (out / ".metacurate" / ".0.tmp").touch()  # as a job writes it
    before = sorted(out.rglob("*"))
    for configuration, other in (({**ours, "t": 5}, SlurmEngine()), (ours, LocalEngine())):
        with (
            pytest.raises(MetacurateError, match=r"jobs of an earlier run.*scancel"),
            open_workspace(out, configuration, engine=other),
        ):
            pass
    assert sorted(out.rglob("*")) == before
    (tmp_path / "marks" / "go").touch()
    assert total(count_letters(tmp_path, slurm)) == letters(texts)


def test_jobs_that_can_not_begin_are_no_units_fault(
    slurm: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, 4)
    monkeypatch.delenv("PYTHONPATH")  # as on a machine that lacks a package
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MetacurateError, match="jobs ended before they began"):
        count_letters(tmp_path, slurm)


def test_slurm_needs_a_folder(slurm: Name, tmp_path: Path) -> None:
    write_file(tmp_path / "a.parquet", captions(10))
    with pytest.raises(UsageError, match="--engine slurm needs --out"):
        plan(tmp_path / "a.parquet", CONCEPTS, thresholds=[5], engine=SlurmEngine())


# ---- machines that differ


def test_a_machine_that_differs_is_no_files_fault(tmp_path: Path) -> None:
    write_files(tmp_path, 2)
    files = sorted(str(path) for path in (tmp_path / "files").iterdir())
    stage = Letters((*files, str(tmp_path / "files" / "9.txt")), str(tmp_path / "marks"))
    units = [Unit(path, "1", 0, 1, 0) for path in stage.files]
    work = Work(stage, tmp_path / "out", tmp_path / "records")
    with pytest.raises(MetacurateError, match=r"does not see .*records: write to a disk"):
        work.check(units[:2])
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "plan").touch()
    work.check(units[:2])
    with pytest.raises(MetacurateError, match=r"does not see .*9\.txt"):
        work.check(units)
    with pytest.raises(MetacurateError, match=r"has metacurate .*, not 0\.0"):
        Work(stage, tmp_path / "out", tmp_path / "records", version="0.0").check([])
