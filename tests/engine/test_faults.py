"""Disks that are full or read-only, inputs that change while they are read, other versions."""

import gzip
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.curation import per_image, stages
from metacurate.pool import convert

from .attempts import Attempts, attempts, furthest_stage, is_there, result
from .runs import CONCEPTS, captions, contents, start, totals

FILES, ROWS = 12, 10_000
FLAGS = ("--threshold", 1_000, "--workers", 1, "--json", "--no-report")


def write_pool(folder: Path, kind: str, files: int = FILES, rows: int = ROWS) -> Path:
    """Files that share their urls: each image has as many captions as there are files."""
    texts = captions(min(rows, 20_000)) * (rows // min(rows, 20_000))
    (folder / kind).mkdir(parents=True)
    for i in range(files):
        write_pairs(folder / f"{kind}/{i:02}.{kind}", texts[i:] + texts[:i])
    CONCEPTS.write(folder / "metadata.txt")
    return folder / kind


def write_pairs(path: Path, texts: list[str]) -> None:
    table = pa.table(
        {"url": [f"https://example.org/{i}" for i in range(len(texts))], "text": texts}
    )
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=100_000)  # a unit each
    else:
        with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
            pyarrow.csv.write_csv(table, file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults")
    write_pool(made, "parquet")
    write_pool(made, "csv")
    return made


@pytest.fixture(scope="module")
def forks(folder: Path) -> Iterator[Attempts]:
    with attempts(folder / "log") as made:
        assert made is not None
        yield made


def command(pool: Path, out: Path, *flags: object) -> list[object]:
    return [
        "curate", pool, "--metadata", pool.parent / "metadata.txt", *FLAGS, *flags, "--out", out,
    ]  # fmt: skip


# ---- the disk


@pytest.fixture(scope="module")
def mounted(folder: Path) -> Iterator[Attempts]:
    """Commands that may mount disks: they have a namespace of their own."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, for a small disk")
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    with attempts(folder / "log of mounts", *namespace) as made:
        if made is None:
            pytest.skip("may not mount a small disk")
        yield made


def check_disk_error(errors: str, out: Path, reason: str) -> None:
    assert "Traceback" not in errors, errors
    (line,) = [one for one in errors.splitlines() if "error" in one]
    assert line.startswith(f"metacurate: error: {out}/")
    assert "can't be written" in line
    assert reason in line


def test_files_that_grow_too_large(folder: Path, forks: Attempts, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert forks.run(*command(folder / "parquet", whole)).code == 0
    limit = min(path.stat().st_size for path in (whole / "curated").iterdir()) // 2
    limited = start(
        *command(folder / "parquet", out),
        setup=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    printed, errors = limited.communicate()
    assert limited.returncode == 1
    assert printed == ""
    check_disk_error(errors, out, "File too large")
    assert not (out / "manifest.json").exists()
    assert not list(out.rglob("*.tmp"))

    assert forks.run(*command(folder / "parquet", out)).code == 0
    assert totals(out)["resumed_units"] >= FILES  # nothing was counted again
    assert result(out) == result(whole)


FULL = (1, 4, 20, 40, 60, 80, 92)  # percent of what a run needs


@pytest.mark.parametrize(
    ("kind", "flags", "stages"),
    [
        pytest.param("parquet", [], {"count", "sample"}, id="parquet"),
        pytest.param("parquet", ["--per-image", "one"], {"captions", "sample"}, id="per image"),
        pytest.param("csv", [], {"convert", "sample"}, id="converted"),
    ],
)
def test_full_disk(
    kind: str,
    flags: list[str],
    stages: set[str],
    folder: Path,
    forks: Attempts,
    mounted: Attempts,
    tmp_path: Path,
) -> None:
    whole, disk, copy = tmp_path / "whole", tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    copy.mkdir()
    run = forks.run(*command(folder / kind, whole, *flags))
    assert run.code == 0, run.errors
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in whole.rglob("*"))
    hit = set()
    for percent in FULL:
        mounted.shell('mount -t tmpfs -o size="$2" none "$1"', disk, needed * percent // 100)
        run = mounted.run(*command(folder / kind, disk / "out", *flags))
        assert run.code == 1, (percent, run)
        check_disk_error(run.errors, disk / "out", "No space left on device")
        mounted.shell('cp -a "$1/out" "$2"', disk, copy / "full")
        left = {path.relative_to(copy / "full") for path in (copy / "full").rglob("*")}
        assert not [path for path in left if path.suffix == ".tmp" or path.name == "manifest.json"]
        hit.add(furthest_stage(copy / "full"))
        mounted.shell('mount -o remount,size=1g "$1"', disk)
        run = mounted.run(*command(folder / kind, disk / "out", *flags))
        assert run.code == 0, (percent, run)
        mounted.shell('cp -a "$1/out" "$2"; umount "$1"', disk, copy / "free")
        assert result(copy / "free") == result(whole)
        for made in copy.iterdir():
            shutil.rmtree(made)
    assert hit >= stages


def test_read_only_disk(folder: Path, mounted: Attempts, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted.shell('mount -t tmpfs none "$1"; mkdir "$1/empty"; mount -o remount,ro "$1"', disk)
    for name in ("absent", "empty"):
        run = mounted.run(*command(folder / "parquet", disk / name))
        assert run.code == 1
        check_disk_error(run.errors, disk / name, "Read-only file system")
    mounted.shell('mount -o remount,rw "$1"', disk)
    run = mounted.run(*command(folder / "parquet", disk / "empty"))
    assert run.code == 0, run.errors
    mounted.shell('mount -o remount,ro "$1"', disk)
    run = mounted.run(*command(folder / "parquet", disk / "empty"))  # finished; still it is held
    assert run.code == 1
    check_disk_error(run.errors, disk / "empty", "Read-only file system")
    for look in ("status", "info"):
        run = mounted.run(look, disk / "empty")
        assert run.code == 0, run.errors
    mounted.shell('umount "$1"', disk)


# ---- inputs that change while they are read


def rewritten(path: Path) -> None:
    write_pairs(path, captions(2_000, 9))


def replaced(path: Path) -> None:
    other = path.with_name(f"_other{path.suffix}")
    write_pairs(other, captions(2_000, 9))
    other.replace(path)


def truncated(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def deleted(path: Path) -> None:
    path.unlink()


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x,y\n" if path.suffix == ".csv" else b"PAR1")


class Meddler:
    """Changes a file as soon as a run has got somewhere."""

    def __init__(self, change: Callable[[Path], None], path: Path, moment: Path) -> None:
        self.changed = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(change, path, moment))

    def _watch(self, change: Callable[[Path], None], path: Path, moment: Path) -> None:
        while not self._stop.is_set():
            if is_there(moment):
                change(path)
                self.changed = True
                return
            time.sleep(0.0005)

    def __enter__(self) -> "Meddler":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


def check_refused(errors: str, path: Path) -> None:
    """The error names the file, in one line, or in those that follow the number of units."""
    assert "Traceback" not in errors, errors
    lines = errors[errors.index("metacurate: error: ") :].splitlines()
    reasons = [line.split(f"{path}: ")[1] for line in (lines[1:] or lines)]
    assert reasons
    starts = (
        "it changed while it was read",
        "it went away while it was read",
        "can't be read: ",
        "not a whole Parquet file: ",
    )
    assert all(reason.startswith(starts) for reason in reasons), reasons


@pytest.fixture(scope="module")
def changing(folder: Path) -> Path:
    """By number of files: pools of one large file, and of several."""
    for kind in ("parquet", "csv"):
        write_pool(folder / "1", kind, 1, 400_000)
        write_pool(folder / "8", kind, 8, 20_000)
    return folder


CHANGES = (rewritten, replaced, truncated, deleted, appended)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("kind", "files", "moment"),
    [
        pytest.param("parquet", 8, "count-*/*.json", id="a later file, count"),
        pytest.param("parquet", 8, "sample-*/*.json", id="a later file, sample"),
        pytest.param("parquet", 1, "count-*/*.json", id="within the file, count"),
        pytest.param("parquet", 1, "sample-*/*.json", id="within the file, sample"),
        pytest.param("csv", 8, "converted/*.parquet", id="a later file, converted"),
        pytest.param("csv", 1, "converted/.*.tmp", id="within the file, converted"),
    ],
)
def test_a_file_that_changes(
    kind: str,
    files: int,
    moment: str,
    change: Callable[[Path], None],
    changing: Path,
    forks: Attempts,
    tmp_path: Path,
) -> None:
    pool, out = tmp_path / kind, tmp_path / "out"
    shutil.copytree(changing / str(files), tmp_path, dirs_exist_ok=True)
    path = pool / f"{files - 1:02}.{kind}"
    with Meddler(change, path, out / ".metacurate" / moment) as meddler:
        run = forks.run(*command(pool, out))
    assert meddler.changed
    assert run.code == 1, run.errors
    check_refused(run.errors, path)
    assert not (out / "manifest.json").exists()

    if change == truncated or (kind == "parquet" and change == appended):
        again = forks.run(*command(pool, out))
        assert again.code == 1
        check_refused(again.errors, path)
        path.unlink()
    if not path.exists():
        write_pairs(path, captions(3_000, 8))
    again = forks.run(*command(pool, out))
    assert again.code == 0, again.errors
    fresh = forks.run(*command(pool, tmp_path / "fresh"))
    assert fresh.code == 0, fresh.errors
    assert result(out) == result(tmp_path / "fresh")


@pytest.mark.parametrize("change", [replaced, deleted])
def test_a_file_that_changes_and_may_be_skipped(
    change: Callable[[Path], None], changing: Path, forks: Attempts, tmp_path: Path
) -> None:
    pool, out = tmp_path / "parquet", tmp_path / "out"
    shutil.copytree(changing / "8", tmp_path, dirs_exist_ok=True)
    path = pool / "07.parquet"
    with Meddler(change, path, out / ".metacurate/sample-*/*.json") as meddler:
        run = forks.run(*command(pool, out, "--on-error", "skip"))
    assert meddler.changed
    assert run.code == 0, run.errors
    assert f"metacurate: skipped: {path}: " in run.errors
    assert totals(out)["failed_units"] == 1
    assert not list(out.glob("curated/07-*"))

    again = forks.run(*command(pool, out))
    assert again.code == 0, again.errors
    assert forks.run(*command(pool, tmp_path / "fresh")).code == 0
    assert result(out) == result(tmp_path / "fresh")


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_link_to_nowhere(kind: str, forks: Attempts, tmp_path: Path) -> None:
    pool = write_pool(tmp_path, kind, 2, 100)
    (pool / f"link.{kind}").symlink_to(tmp_path / "nowhere")
    run = forks.run(*command(pool, tmp_path / "out"))
    assert run.code in (1, 2)
    assert "Traceback" not in run.errors, run.errors
    assert str(pool / f"link.{kind}") in run.errors


# ---- records of other versions, and damaged ones


@pytest.fixture
def done(folder: Path, tmp_path: Path) -> Path:
    """A finished run over a small pool, and what else is asked of it."""
    write_pool(tmp_path, "csv", 3, 300)
    curate(tmp_path, "out")
    return tmp_path


def curate(folder: Path, out: str, **options: Any) -> dict[str, Any]:
    options = {"threshold": 50, "per_image": "one", **options}
    return mc.curate(folder / "csv", CONCEPTS, out=folder / out, **options).summary


@pytest.mark.parametrize(
    ("module", "redone"),
    [
        (convert, "convert captions count sample"),
        (per_image, "captions count sample"),
        (stages, "count sample"),
    ],
)
def test_records_of_another_version(
    module: Any, redone: str, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that are done again are not even read: what they hold would show in the result."""
    work = done / "out/.metacurate"
    before = {path: path.stat().st_mtime_ns for path in work.glob("*-*/*.json")}
    assert len(before) == 4 * 3
    monkeypatch.setattr(module, "FORMAT", module.FORMAT + 1)
    assert curate(done, "out")["resumed_units"] == 4 * 3 - 3 * len(redone.split())
    after = {path: path.stat().st_mtime_ns for path in work.glob("*-*/*.json")}
    new = {path.parent.name.rsplit("-", 1)[0] for path in after.keys() - before.keys()}
    assert new == set(redone.split())
    kept = {path.parent.name for path in after}
    assert len(kept) == 4  # none of the other version is left
    curate(done, "fresh")
    assert contents(done / "out") == contents(done / "fresh")
    monkeypatch.undo()
    assert curate(done, "out")["resumed_units"] == 4 * 3 - 3 * len(redone.split())


@pytest.mark.parametrize(
    "damaged",
    ["count-*/*.json", "count-*/*.arrow", "sample-*/*.json", "others-*.npy", "configuration.json"],
)
def test_damaged_records_are_made_again(damaged: str, done: Path) -> None:
    """As a machine leaves them that loses its power: their names were written, but not they."""
    before = contents(done / "out")
    for path in (done / "out/.metacurate").glob(damaged):
        path.write_bytes(b"")
    curate(done, "out")
    assert contents(done / "out") == before
