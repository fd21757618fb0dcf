"""Pools and outputs on a real S3 server, which goes away, comes back, is slow and refuses."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

import metacurate as mc
from metacurate.engine import lock as locks
from metacurate.engine.lock import Lease, is_locked, lock
from metacurate.engine.status import read_info, read_status
from metacurate.engine.storage import list_folder, read_bytes, write_text
from metacurate.engine.stores import place_of
from metacurate.errors import MetacurateError, StorageError
from metacurate.pool.dedup import dedup
from metacurate.pool.pack import pack

from ..s3_server import S3Server
from ..tcp_proxy import TcpProxy
from .contract import Name, count_letters, total
from .runs import CONCEPTS, captions, start, write_file
from .test_contract import letters, prepare, wait_until, write_files

PATIENCE = 90  # seconds


TEXTS = {name: captions(2_000, seed) for seed, name in enumerate("abcdef")}


@pytest.fixture
def pool(bucket: str, tmp_path: Path) -> str:
    """A pool on the store, the same as in the folder `pool`; and its concepts in a file."""
    CONCEPTS.write(tmp_path / "concepts.parquet")
    for name, texts in TEXTS.items():
        path = tmp_path / "pool" / f"{name}.parquet"
        write_file(path, texts)
        place = place_of(f"{bucket}/pool/{name}.parquet")
        assert isinstance(place, UPath)
        place.fs.put_file(str(path), place.path)
    return f"{bucket}/pool"


def read_table(folder: Any, columns: list[str]) -> list[dict[str, Any]]:
    """Rows of the Parquet files of a folder, wherever it is, sorted."""
    tables = [
        pq.read_table(pa.BufferReader(read_bytes(folder / name)))
        for name in sorted(list_folder(folder))
        if name.endswith(".parquet")
    ]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).select(columns).to_pylist()
    return sorted(rows, key=lambda row: (row["url"], row["text"]))


KEPT = ["url", "text", "entries", "probability", "min_threshold"]


def expected(tmp_path: Path) -> list[dict[str, Any]]:
    mc.curate(tmp_path / "pool", CONCEPTS, threshold=20, out=tmp_path / "local")
    return read_table(tmp_path / "local" / "curated", KEPT)


def command(tmp_path: Path, pool: str, out: str, *more: object) -> tuple[object, ...]:
    return ("curate", pool, "-m", tmp_path / "concepts.parquet", "-t", 20, "-o", out, *more)


# ---- the same result


@pytest.mark.parametrize("source", ["folder", "glob", "files"])
def test_the_subset_is_that_of_local_files(pool: str, source: str, tmp_path: Path) -> None:
    named: Any = {
        "folder": pool,
        "glob": f"{pool}/[a-z].parquet",
        "files": [f"{pool}/{name}.parquet" for name in TEXTS],
    }[source]
    out = f"{pool.removesuffix('/pool')}/out"
    result = mc.curate(named, CONCEPTS, threshold=20, out=out)
    assert read_table(place_of(out) / "curated", KEPT) == expected(tmp_path)
    local = json.loads((tmp_path / "local" / "manifest.json").read_text())
    assert {**local["totals"], "seconds": 0} == {**result.summary, "seconds": 0}
    again = mc.curate(named, CONCEPTS, threshold=20, out=out).summary
    assert again["resumed_units"] == 2 * 6
    status, info = read_status(out), read_info(out)
    assert (status["state"], info["files"]["curated/"]["files"]) == ("complete", 6)


def test_all_that_writes_pools_writes_them_there(pool: str, tmp_path: Path) -> None:
    store, here = pool.removesuffix("/pool"), tmp_path / "pool"
    totals = []
    for out, source in ((store, pool), (str(tmp_path), here)):
        unique = dedup(source, f"{out}/unique", by="text")
        packed = pack(f"{out}/unique", f"{out}/packed", rows_per_shard=5_000)
        mc.curate(
            f"{out}/packed", CONCEPTS, budget=500, per_image="one", out=f"{out}/best",
            columns=None,
        )  # fmt: skip
        totals.append([unique["kept"], unique["duplicate"], packed["rows"], packed["shards"]])
    assert totals[0] == totals[1]
    assert read_table(place_of(f"{store}/best") / "curated", KEPT) == read_table(
        tmp_path / "best" / "curated", KEPT
    )


@pytest.mark.parametrize("name", ["threads", "processes", "ray", "slurm"])
def test_every_engine_writes_there(
    name: Name, bucket: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "ray":  # a cluster's workers have their own environment
        pytest.importorskip("ray").shutdown()
        request.getfixturevalue("monkeypatch").delenv("RAY_ADDRESS", raising=False)
    else:
        prepare(name, request)
    texts = write_files(tmp_path, 12, {3: "broken", 5: "kill once"} if name != "threads" else {})
    request.getfixturevalue("monkeypatch").setenv("METACURATE_CACHE", str(tmp_path / "cache"))
    outcome = count_letters(tmp_path, name, f"{bucket}/out")
    good = [text for text in texts if not text.startswith("broken")]
    assert total(outcome) == letters(good)
    assert len(outcome.errors) == len(texts) - len(good)
    if name == "ray":
        pytest.importorskip("ray").shutdown()


def test_counting_reads_the_texts_only(bucket: str, proxy: TcpProxy, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(20 << 20)
    rows = [noise[i << 11 : (i + 1) << 11] for i in range(10_240)]
    table = pa.table(
        {"url": [f"u{i}" for i in range(10_240)], "blob": rows, "text": captions(10_240)}
    )
    pq.write_table(table, tmp_path / "wide.parquet")
    place = place_of(f"{bucket}/wide.parquet")
    assert isinstance(place, UPath)
    place.fs.put_file(str(tmp_path / "wide.parquet"), place.path)
    proxy.forget()
    counts = mc.count(str(place), mc.Matcher(CONCEPTS))
    assert counts.texts == 10_240
    assert proxy.answered < 2 << 20
    assert proxy.counts["GET"] < 12


# ---- a store that misbehaves


def test_slow_answers_and_refusals_are_borne(pool: str, proxy: TcpProxy, tmp_path: Path) -> None:
    out = f"{pool.removesuffix('/pool')}/out"
    proxy.delay = 0.02
    for method in ("GET", "PUT", "HEAD"):
        proxy.fail_next(2, method)
    proxy.cut_next(2, 600, "GET")
    mc.curate(pool, CONCEPTS, threshold=20, out=out)
    assert sum(request.fate != "passed" for request in proxy.requests) == 8
    proxy.forget()
    assert read_table(place_of(out) / "curated", KEPT) == expected(tmp_path)


def test_a_server_that_goes_and_comes_back(
    pool: str, server: S3Server, proxy: TcpProxy, tmp_path: Path
) -> None:
    out = f"{pool.removesuffix('/pool')}/out"
    proxy.delay = 0.05
    with start(*command(tmp_path, pool, out, "--workers", 1)) as process:
        wait_until(lambda: any("/curated/" in request.path for request in proxy.requests))
        server.kill()
        time.sleep(2)
        server.start()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert read_table(place_of(out) / "curated", KEPT) == expected(tmp_path)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_server_that_goes_is_no_broken_input(
    pool: str, server: S3Server, proxy: TcpProxy, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, on_error: str,
) -> None:  # fmt: skip
    out = f"{pool.removesuffix('/pool')}/out"
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    proxy.delay = 0.1
    arguments = command(tmp_path, pool, out, "--workers", 1, "--on-error", on_error)
    with start(*arguments) as process:
        wait_until(lambda: any("/curated/" in request.path for request in proxy.requests))
        server.kill()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("metacurate: error: s3://"), err
    server.start()
    proxy.forget()
    monkeypatch.setattr(locks, "LEASE", 6.0)  # the run could not give its lease back
    monkeypatch.setattr(locks, "RENEWAL", 0.5)
    summary = mc.curate(pool, CONCEPTS, threshold=20, out=out).summary
    assert summary["resumed_units"] >= 6
    assert summary["failed_units"] == 0
    assert read_table(place_of(out) / "curated", KEPT) == expected(tmp_path)


def test_a_pool_that_cannot_be_reached(pool: str, server: S3Server, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        server.kill()
        try:
            with pytest.raises(MetacurateError, match=r"s3://.*can't be looked at"):
                mc.curate(pool, CONCEPTS, threshold=20, out=tmp_path / "out")
        finally:
            server.start()
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_gone_or_refused(pool: str, tmp_path: Path) -> None:
    with pytest.raises(MetacurateError, match="no such file"):
        mc.curate(f"{pool}/z.parquet", CONCEPTS, threshold=20, out=tmp_path / "out")
    with pytest.raises(MetacurateError, match="s3://"):
        mc.curate("s3://no-such-bucket-here/pool", CONCEPTS, threshold=20, out=tmp_path / "out")
    with pytest.raises(MetacurateError, match="can't be"):
        mc.curate(pool, CONCEPTS, threshold=20, out="s3://no-such-bucket-here/out")


def test_broken_parquet_on_a_store_is_a_broken_input(pool: str, tmp_path: Path) -> None:
    whole = (tmp_path / "pool" / "a.parquet").read_bytes()
    place = place_of(f"{pool}/a.parquet")
    assert isinstance(place, UPath)
    place.fs.pipe_file(place.path, whole[:200] + bytes(400) + whole[600:])
    with pytest.raises(MetacurateError, match=r"a\.parquet: can't be read") as error:
        mc.curate(pool, CONCEPTS, threshold=20, out=tmp_path / "out")
    assert not isinstance(error.value, StorageError)
    place.fs.pipe_file(place.path, whole[:-20])
    with pytest.raises(MetacurateError, match=r"a\.parquet: not a whole Parquet file"):
        mc.curate(pool, CONCEPTS, threshold=20, out=tmp_path / "out")


def test_outputs_are_kept_out_of_the_pool(pool: str) -> None:
    for out in (pool, f"{pool}/out"):
        with pytest.raises(
            MetacurateError, match=r"lies in the pool's folder|not empty, and holds"
        ):
            mc.curate(pool, CONCEPTS, threshold=20, out=out)
    write_text(place_of(f"{pool.removesuffix('/pool')}/other/notes.txt"), "of somebody else")
    with pytest.raises(MetacurateError, match="is not empty, and holds no run of metacurate"):
        mc.curate(pool, CONCEPTS, threshold=20, out=f"{pool.removesuffix('/pool')}/other")


# ---- two runs at once


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "LEASE", 5.0)
    monkeypatch.setattr(locks, "RENEWAL", 0.5)


def test_two_runs_at_once_are_refused(pool: str, proxy: TcpProxy, tmp_path: Path) -> None:
    out = f"{pool.removesuffix('/pool')}/out"
    proxy.delay = 0.3
    with start(*command(tmp_path, pool, out)) as first:
        wait_until(lambda: any("/lock/" in r.path for r in proxy.requests if r.method == "PUT"))
        with start(*command(tmp_path, pool, out)) as second:
            _, err = second.communicate(timeout=PATIENCE)
        proxy.delay = 0
        _, told = first.communicate(timeout=PATIENCE)
    assert (first.returncode, second.returncode) == (0, 1), told
    assert f"{out}: another run is at work on it (on " in err
    assert f"process {first.pid})" in err


def test_of_many_only_one_gets_the_lease(bucket: str, quick: None) -> None:
    folder = place_of(f"{bucket}/out/.metacurate")
    assert isinstance(folder, UPath)
    leases, held = [Lease(folder) for _ in range(8)], []
    barrier = threading.Barrier(8)

    def acquire(lease: Lease) -> None:
        barrier.wait()
        with suppress(MetacurateError):
            lease.acquire()
            held.append(lease)

    threads = [threading.Thread(target=acquire, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1
    assert is_locked(folder)
    held[0].release()
    assert not is_locked(folder)
    with lock(folder):
        write_text(folder / "a", "as a run leaves")
    assert list(list_folder(folder / "lock")) == ["00000001.json"]
    with lock(folder):
        assert list(list_folder(folder / "lock")) == ["00000002.json"]


def test_a_run_that_was_killed_is_outwaited(
    pool: str, proxy: TcpProxy, tmp_path: Path, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    out = f"{pool.removesuffix('/pool')}/out"
    proxy.delay = 0.1
    with start(*command(tmp_path, pool, out, "--workers", 1)) as process:
        wait_until(lambda: any("/curated/" in request.path for request in proxy.requests))
        os.kill(process.pid, signal.SIGKILL)
    proxy.forget()
    with caplog.at_level(logging.INFO):
        summary = mc.curate(pool, CONCEPTS, threshold=20, out=out).summary
    assert "gives no sign of life" in caplog.text
    assert summary["resumed_units"] >= 6
    assert read_table(place_of(out) / "curated", KEPT) == expected(tmp_path)


def test_who_was_cut_off_finds_out(
    bucket: str, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = place_of(f"{bucket}/out/.metacurate")
    assert isinstance(folder, UPath)
    first, second = Lease(folder), Lease(folder)
    first.acquire()
    last = first._sign()
    monkeypatch.setattr(first, "_sign", lambda: last)
    time.sleep(1)  # from now on its signs of life tell of none
    second.acquire()
    wait_until(first._lost.is_set)
    with pytest.raises(MetacurateError, match="another may have taken over"):
        first.check()
    first.release()
    second.check()
    assert is_locked(folder)
    second.release()


QUICK = """
import sys
from metacurate.cli import main
from metacurate.engine import lock
lock.LEASE, lock.RENEWAL = 6.0, 0.5
main()
"""


def test_a_run_that_slept_writes_nothing_into_anothers(
    pool: str, proxy: TcpProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LEASE", 6.0)
    monkeypatch.setattr(locks, "RENEWAL", 0.5)
    out = f"{pool.removesuffix('/pool')}/out"
    proxy.delay = 0.05
    arguments = map(str, command(tmp_path, pool, out, "--workers", 1))
    sleeper = subprocess.Popen(
        [sys.executable, "-c", QUICK, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with sleeper:
        wait_until(lambda: any("/curated/" in request.path for request in proxy.requests))
        sleeper.send_signal(signal.SIGSTOP)
        proxy.forget()
        summary = mc.curate(pool, CONCEPTS, threshold=1e9, out=out).summary
        sleeper.send_signal(signal.SIGCONT)
        _, err = sleeper.communicate(timeout=PATIENCE)
    assert sleeper.returncode == 1
    assert "another may have taken over" in err
    assert read_info(out)["totals"]["threshold"] == 1e9
    again = mc.curate(pool, CONCEPTS, threshold=1e9, out=out).summary
    assert len(read_table(place_of(out) / "curated", KEPT)) == summary["kept"] == again["kept"]


def test_a_table_that_was_converted_there_is_no_broken_input(
    bucket: str, proxy: TcpProxy, server: S3Server, tmp_path: Path
) -> None:
    for name in "ab":
        rows = "".join(f"u{i},w{i} w0\n" for i in range(300))
        (tmp_path / f"{name}.csv").write_text(f"url,text\n{rows}")
    CONCEPTS.write(tmp_path / "concepts.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        more = ("--workers", 1, "--on-error", "skip")
        proxy.delay = 0.2
        with start(*command(tmp_path, f"{tmp_path}/*.csv", f"{bucket}/out", *more)) as process:
            wait_until(lambda: sum("/converted/" in r.path for r in proxy.requests) >= 3)
            server.kill()
            _, err = process.communicate(timeout=PATIENCE)
    server.start()
    assert process.returncode == 1, err
    assert "Traceback" not in err
    assert "skipped" not in err
