"""Real processes that are killed, interrupted or run out of disk, and the runs that follow."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import metacurate as mc

from .runs import CONCEPTS, captions, contents, start, totals, write_file

FILES, ROWS = 40, 20_000
INTERRUPTED = "metacurate: interrupted; the same command goes on where this stopped"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, its metadata, and the folder of a run that nothing cut off."""
    made = tmp_path_factory.mktemp("kill")
    texts = captions(ROWS)
    for i in range(FILES):
        write_file(made / "pool" / f"{i:02}.parquet", texts)
    CONCEPTS.write(made / "metadata.parquet")
    mc.curate(made / "pool", CONCEPTS, threshold=5_000, out=made / "unbroken")
    return made


def command(folder: Path, out: Path) -> list[object]:
    return [
        "curate", folder / "pool", "--metadata", folder / "metadata.parquet",
        "--threshold", 5_000, "--workers", 2, "--json", "--out", out,
    ]  # fmt: skip


def wait_for_records(process: subprocess.Popen[str], out: Path, stage: str) -> None:
    while process.poll() is None and len(list(out.glob(f".metacurate/{stage}-*/*.json"))) < 2:
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("number", "stage"),
    [(signal.SIGKILL, "count"), (signal.SIGKILL, "sample"), (signal.SIGINT, "sample")],
)
def test_a_run_that_is_cut_off_goes_on(
    number: signal.Signals, stage: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(*command(folder, out))
    wait_for_records(process, out, stage)
    process.send_signal(number)
    _, errors = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert errors.splitlines()[-1] == INTERRUPTED
        assert "Traceback" not in errors
    else:
        assert process.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()

    again = start(*command(folder, out))
    printed, errors = again.communicate()
    assert again.returncode == 0, errors
    summary = json.loads(printed)
    assert 0 < summary["resumed_units"] < 2 * FILES
    assert summary == totals(out)
    assert contents(out) == contents(folder / "unbroken")  # so nothing temporary is left, too


# ---- the lock

HOLD = """
import sys
from pathlib import Path
from metacurate.engine.manifest import work_folder
from metacurate.engine.storage import lock
with lock(work_folder(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_file(tmp_path / "pool" / "a.parquet", captions(100))
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


# ---- the disk


def check_disk_error(errors: str, out: Path, reason: str) -> None:
    (line,) = [one for one in errors.splitlines() if "error" in one]
    assert line.startswith(f"metacurate: error: {out}/")
    assert "can't be written" in line
    assert reason in line
    assert "Traceback" not in errors


def test_files_that_grow_too_large(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    limit = min(path.stat().st_size for path in (folder / "unbroken/curated").iterdir()) // 2
    limited = start(
        *command(folder, out),
        setup=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    printed, errors = limited.communicate()
    assert limited.returncode == 1
    assert printed == ""
    check_disk_error(errors, out, "File too large")
    assert not (out / "manifest.json").exists()
    assert not list(out.rglob("*.tmp"))

    free = start(*command(folder, out))
    _, errors = free.communicate()
    assert free.returncode == 0, errors
    assert totals(out)["resumed_units"] >= FILES  # nothing was counted again
    assert contents(out) == contents(folder / "unbroken")


FULL_DISK = """
mount -t tmpfs -o size=2m none "$1" || exit 77
disk=$1; copy=$2; shift 2
"$@"; echo "code $?"
find "$disk" -name '*.tmp' -o -name manifest.json
mount -o remount,size=200m "$disk"
"$@" > /dev/null; echo "code $?"
cp -a "$disk/out" "$copy"
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, for a small disk")
def test_full_disk(folder: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL_DISK, "sh",
         str(disk), str(tmp_path / "copy"), sys.executable, "-m", "metacurate",
         *map(str, command(folder, disk / "out"))],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("may not mount a small disk")
    assert done.stdout.splitlines() == ["code 1", "code 0"]
    check_disk_error(done.stderr, disk / "out", "No space left on device")
    assert contents(tmp_path / "copy") == contents(folder / "unbroken")
