"""What status and info read from an output folder."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import metacurate as mc
from metacurate.curation.curate import count, curate, plan
from metacurate.engine.progress import Silent
from metacurate.engine.status import read_info, read_status
from metacurate.errors import MetacurateError, UsageError
from metacurate.pool.pack import pack

from .runs import CONCEPTS, captions, totals, write_file

FILES, ROWS = 4, 100
STATUS = {"out", "command", "state", "stages"}
STAGE = {
    "stage", "units", "done", "failed", "work", "work_done", "measure", "per_second",
    "seconds_left", "errors", "jobs",
}  # fmt: skip
INFO = {
    "totals",
    "command_line",
    "configuration",
    "digests",
    "versions",
    "files",
    "kept_for_resumption",
}


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    for i in range(FILES):
        write_file(tmp_path / f"pool/{i}.parquet", captions(ROWS, i))
    return tmp_path / "pool"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class Interrupting(Silent):
    """Interrupts a run when a stage begins, or when so much of it is done."""

    def __init__(self, stage: str, after: int = 0) -> None:
        self._stage, self._after = stage, after
        self._now, self._done = "", 0

    def start(self, title: str, total: int, measure: str = "pairs") -> None:
        self._now, self._done = title, 0
        self.advance(0)

    def advance(self, work: int) -> None:
        self._done += work
        if self._now == self._stage and self._done >= self._after:
            raise KeyboardInterrupt


class Asking(Silent):
    """Asks for the status while the run is at work."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.told: list[dict[str, Any]] = []

    def advance(self, work: int) -> None:
        self.told.append(read_status(self._out))


def stages(out: Path) -> dict[str, dict[str, Any]]:
    status = read_status(out)
    assert status.keys() == STATUS
    assert all(stage.keys() == STAGE for stage in status["stages"])
    return {stage["stage"]: stage for stage in status["stages"]}


# ---- status


def test_a_complete_run(pool: Path, out: Path) -> None:
    curate(pool, CONCEPTS, threshold=20, out=out)
    status = read_status(out)
    assert (status["command"], status["state"]) == ("curate", "complete")
    assert [*stages(out)] == ["count", "sample"]  # as they were run
    for stage in stages(out).values():
        assert (stage["units"], stage["done"], stage["failed"]) == (FILES, FILES, 0)
        assert (stage["work"], stage["work_done"], stage["measure"]) == (400, 400, "pairs")
        assert stage["seconds_left"] in (0, None)
        assert stage["errors"] == []


@pytest.mark.parametrize("stage", ["count", "sample"])
def test_an_interrupted_run(stage: str, pool: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        curate(
            pool, CONCEPTS, threshold=20, out=out, workers=1,
            progress=Interrupting(stage, after=2 * ROWS + 1),
        )  # fmt: skip
    assert read_status(out)["state"] == "interrupted"
    told = stages(out)
    assert [*told] == ["count", "sample"][: 1 + (stage == "sample")]
    last = told[stage]
    assert 0 < last["done"] < last["units"] == FILES
    assert (last["work"], last["work_done"]) == (FILES * ROWS, last["done"] * ROWS)
    curate(pool, CONCEPTS, threshold=20, out=out)
    assert read_status(out)["state"] == "complete"
    assert all(one["work_done"] == one["work"] for one in stages(out).values())


def test_a_stage_that_has_done_nothing_yet(pool: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        curate(pool, CONCEPTS, threshold=20, out=out, progress=Interrupting("sample"))
    sample = stages(out)["sample"]
    assert (sample["done"], sample["work_done"]) == (0, 0)
    assert (sample["per_second"], sample["seconds_left"]) == (None, None)


def test_a_run_that_was_refused_is_no_run(pool: Path, out: Path) -> None:
    with pytest.raises(MetacurateError):
        curate(pool, CONCEPTS, threshold=20, out=out, url_column="nope")
    with pytest.raises(UsageError, match="holds no run of metacurate"):
        read_status(out)


def test_a_run_at_work(pool: Path, out: Path) -> None:
    asking = Asking(out)
    curate(pool, CONCEPTS, threshold=20, out=out, workers=1, progress=asking)
    assert {told["state"] for told in asking.told} == {"running"}
    for told in asking.told:
        for stage in told["stages"]:
            assert 0 <= stage["done"] <= stage["units"]
            assert 0 <= stage["work_done"] <= stage["work"]
            assert stage["per_second"] is None or stage["per_second"] > 0
    done = [told["stages"][-1]["done"] for told in asking.told if len(told["stages"]) == 2]
    assert done == sorted(done)
    assert len(set(done)) > 1


HOLDS = """
import sys
from pathlib import Path
from metacurate.engine.manifest import work_folder
from metacurate.engine.lock import lock
with lock(work_folder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_holds_the_folder(pool: Path, out: Path) -> None:
    first = curate(pool, CONCEPTS, threshold=20, out=out).summary
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(out)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert read_status(out)["state"] == "running"
        assert read_info(out)["totals"] == first
        for _ in range(2):  # asking has taken nothing away
            with pytest.raises(MetacurateError, match="another run is at work"):
                curate(pool, CONCEPTS, threshold=20, out=out)
        process.communicate()
    assert read_status(out)["state"] == "complete"


@pytest.mark.parametrize("per_second", [200.0, 0.5])
def test_rate_and_time_left(per_second: float, pool: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        curate(
            pool, CONCEPTS, threshold=20, out=out, workers=1,
            progress=Interrupting("count", after=2 * ROWS + 1),
        )  # fmt: skip
    (plan_file,) = out.glob(".metacurate/count-*/plan")
    done = stages(out)["count"]["work_done"]
    os.utime(plan_file, (1_000_000, 1_000_000))
    for record in plan_file.parent.glob("*.json"):
        os.utime(record, (1_000_000 + done / per_second,) * 2)
    told = stages(out)["count"]
    assert told["per_second"] == pytest.approx(per_second)
    assert told["seconds_left"] == pytest.approx((FILES * ROWS - done) / per_second)


def test_what_was_done_before_says_nothing_of_the_rate(pool: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        curate(
            pool, CONCEPTS, threshold=20, out=out, workers=1,
            progress=Interrupting("count", after=2 * ROWS + 1),
        )  # fmt: skip
    records = list(out.glob(".metacurate/count-*/*.json"))
    for record in records:
        os.utime(record, (1_000_000, 1_000_000))
    told = stages(out)["count"]
    assert told["done"] > 0
    assert (told["per_second"], told["seconds_left"]) == (None, None)


def test_failed_units_and_their_reasons(pool: Path, out: Path) -> None:
    bad = pool / "2.parquet"
    bad.write_bytes(b"no Parquet at all")
    with pytest.raises(MetacurateError):
        curate(pool, CONCEPTS, threshold=20, out=out)
    told = stages(out)["count"]
    assert (told["units"], told["done"], told["failed"]) == (FILES, FILES - 1, 1)
    (reason,) = told["errors"]
    assert reason.startswith(f"{bad}: not a whole Parquet file: ")
    assert read_status(out)["state"] != "complete"
    with pytest.raises(UsageError, match="not complete: metacurate status tells how far"):
        read_info(out)

    curate(pool, CONCEPTS, threshold=20, out=out, on_error="skip")
    assert read_status(out)["state"] == "complete"
    assert [stage["failed"] for stage in stages(out).values()] == [1, 1]


def test_a_thousand_failures_are_not_all_listed(out: Path, tmp_path: Path) -> None:
    write_file(tmp_path / "pool/good.parquet", captions(ROWS))
    for i in range(1_000):
        (tmp_path / f"pool/{i}.parquet").write_bytes(b"no Parquet at all")
    with pytest.raises(MetacurateError):
        curate(tmp_path / "pool", CONCEPTS, threshold=20, out=out)
    told = stages(out)["count"]
    assert (told["failed"], len(told["errors"])) == (1_000, 20)


# ---- info


def test_info_of_each_command(pool: Path, tmp_path: Path) -> None:
    curate(pool, CONCEPTS, threshold=20, out=tmp_path / "curate")
    count(pool, mc.Matcher(CONCEPTS), out=tmp_path / "count")
    plan(pool, CONCEPTS, thresholds=[5.0], out=tmp_path / "plan")
    pack(pool, tmp_path / "pack", rows_per_shard=150)
    for command in ("curate", "count", "plan", "pack"):
        out = tmp_path / command
        info = read_info(out)
        assert info.keys() == INFO
        assert info["totals"] == totals(out)
        assert info["configuration"]["command"] == command
        assert info["configuration"]["pool"] == [str(pool)]
        assert json.loads(json.dumps(info)) == info
        sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
        listed = [*info["files"].values(), info["kept_for_resumption"]]
        assert sum(one["files"] for one in listed) == len(sizes)
        assert sum(one["bytes"] for one in listed) == sum(sizes)
    assert read_info(tmp_path / "curate")["files"]["curated/"]["files"] == FILES


def test_info_without_what_resumption_needs(pool: Path, out: Path) -> None:
    curate(pool, CONCEPTS, threshold=20, out=out)
    for path in sorted((out / ".metacurate").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (out / ".metacurate").rmdir()
    info = read_info(out)
    assert info["kept_for_resumption"] is None
    assert info["files"]["counts.parquet"]["files"] == 1


# ---- what is no output folder


@pytest.mark.parametrize("name", ["none", "none/below", "file", "file/below", "empty", "foreign"])
def test_folders_that_hold_no_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/thesis.tex").touch()
    for read in (read_status, read_info):
        with pytest.raises(UsageError) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name} holds no run of metacurate")
    assert not (tmp_path / "none").exists()


BROKEN = ["", '{"totals"', "\0\0"]  # as a machine leaves files that loses its power


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_manifest_is_told(content: str, pool: Path, out: Path) -> None:
    curate(pool, CONCEPTS, threshold=20, out=out)
    (out / "manifest.json").write_text(content)
    with pytest.raises(MetacurateError, match=r"manifest\.json"):
        read_info(out)


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_configuration_is_in_the_manifest_too(content: str, pool: Path, out: Path) -> None:
    first = curate(pool, CONCEPTS, threshold=20, out=out).summary
    (out / ".metacurate/configuration.json").write_text(content)
    assert read_status(out)["command"] == "curate"
    assert read_info(out)["totals"] == first
    assert curate(pool, CONCEPTS, threshold=20, out=out).summary["kept"] == first["kept"]
