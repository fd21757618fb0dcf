"""Downloads from a real server that misbehaves, in processes that are killed."""

import json
import signal
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import metacurate as mc
from metacurate.errors import MetacurateError, UsageError
from metacurate.images.download import download
from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.shards import list_shards, read_samples

from ..engine.runs import start
from .hostile_server import BUSY, CASES, SPARE_HOSTS, HostileServer, good_image

GOOD = 5000
LIMITS = FetchLimits(
    connect_seconds=5, total_seconds=8, window_seconds=2, max_bytes=1 << 20, per_host=64,
    pause_seconds=0.1, longest_retry_after=5, allow=(ip_network("127.0.0.0/8"),),
)  # fmt: skip
FEW: dict[str, Any] = {"contact": "me@example.org", "limits": LIMITS, "images_per_shard": 64}


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer() as running:
        yield running


def write_pool(place: Path, urls: list[str], **more: Any) -> Path:
    texts = [f"caption {i}" for i in range(len(urls))]
    pq.write_table(pa.table({"url": urls, "text": texts, **more}), place)
    return place


def good_urls(server: HostileServer, number: int) -> list[str]:
    return [server.url(f"/good/{i}") for i in range(number)]


def rows_of(out: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(out.glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def images_of(out: Path) -> dict[str, bytes | None]:
    """The images of all tars, by url."""
    samples = [s for shard in list_shards(str(out)) for s in read_samples(shard.tar)]
    return {sample.url(""): sample.image for sample in samples}


# ---- all that a server may do


@pytest.fixture(scope="module")
def out(server: HostileServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 good images, one twice with another caption, among all that goes wrong."""
    folder = tmp_path_factory.mktemp("download")
    urls = good_urls(server, GOOD)
    for number, path in enumerate(CASES):
        urls.insert(number * 97, server.url(path))
    for host, path in zip(SPARE_HOSTS, BUSY, strict=False):
        urls.insert(11, server.url(path, host))
    urls += ["file:///etc/passwd", "no url", "http://10.0.0.1/a.jpg", server.url("/good/7")]
    pool = write_pool(folder / "pool.parquet", urls)
    server.reset()
    found = download(
        str(pool), str(folder / "out"), contact="me@example.org", images_per_shard=1000,
        limits=LIMITS,
    )  # fmt: skip
    assert found["images"] == len(set(urls))
    assert found["pairs"] == len(urls)
    assert sum(found["status"].values()) == found["images"]
    return folder / "out"


def test_every_pair_is_accounted_for(server: HostileServer, out: Path) -> None:
    status = {row["url"]: row["status"] for row in rows_of(out)}
    for path, expected in CASES.items():
        assert status[server.url(path)] == expected, path
    for host, (path, expected) in zip(SPARE_HOSTS, BUSY.items(), strict=False):
        assert status[server.url(path, host)] == expected, path
    assert status["file:///etc/passwd"] == "refused_scheme"
    assert status["http://10.0.0.1/a.jpg"] == "refused_address"
    assert status["no url"] == "bad_url"
    assert all(status[url] == "success" for url in good_urls(server, GOOD))


def test_all_good_images_are_there_as_they_were_sent(server: HostileServer, out: Path) -> None:
    found = images_of(out)
    for number in range(GOOD):
        path = f"/good/{number}"
        assert found[server.url(path)] == good_image(path), path
    successes = {row["url"] for row in rows_of(out) if row["status"] == "success"}
    assert found.keys() == successes


def test_an_image_is_one_sample_with_all_of_its_pairs(server: HostileServer, out: Path) -> None:
    url = server.url("/good/7")
    texts = sorted(row["text"] for row in rows_of(out) if row["url"] == url)
    assert len(texts) == 2
    (sample,) = [
        s for shard in list_shards(str(out)) for s in read_samples(shard.tar) if s.url("") == url
    ]
    assert [pair["text"] for pair in sample.pairs] == texts
    assert sample.text in texts
    assert server.requests["/good/7"] == 1


def test_statistics_are_img2datasets(out: Path) -> None:
    for path in sorted(out.glob("*_stats.json")):
        stats = json.loads(path.read_text())
        table = pq.read_table(out / path.name.replace("_stats.json", ".parquet"))
        with tarfile.open(out / path.name.replace("_stats.json", ".tar")) as tar:
            assert len(tar.getnames()) == 3 * stats["successes"]
        assert stats["count"] == len(set(table["key"].to_pylist()))
        assert stats["count"] == (
            stats["successes"] + stats["failed_to_download"] + stats["failed_to_resize"]
        )
    assert (out / "manifest.json").exists()


def test_curating_shards_is_curating_their_pairs(
    server: HostileServer, out: Path, tmp_path: Path
) -> None:
    """Pair for pair: also with entries that only some captions match."""
    metadata = mc.Metadata.from_entries(["caption", *map(str, range(0, GOOD, 3)), "7"])
    successes = [row for row in rows_of(out) if row["status"] == "success"]
    columns = {name: [row[name] for row in successes] for name in ("url", "text")}
    pq.write_table(pa.table(columns), tmp_path / "pool.parquet")
    kept = []
    for source, name in ((out, "shards"), (tmp_path / "pool.parquet", "table")):
        mc.curate(str(source), metadata, threshold=100, out=str(tmp_path / name), seed=3)
        table = pq.read_table(tmp_path / name / "curated")
        names = ["url", "text", "entries", "probability", "min_threshold"]
        kept.append(sorted(table.select(names).to_pylist(), key=lambda row: str(row)))
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < len(successes)


# ---- what is made of images, and which are asked for


def test_images_are_made_smaller(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", [*good_urls(server, 30), server.url("/cut.jpg")])
    found = download(str(pool), str(tmp_path / "out"), resize=70, **FEW)
    assert found["status"] == {"success": 30, "truncated": 1}
    for row in rows_of(tmp_path / "out"):
        if row["status"] == "success":
            assert min(row["width"], row["height"]) == min(
                70, row["original_width"], row["original_height"]
            )
    assert all(body is not None and body[:2] == b"\xff\xd8" for body in images_of(tmp_path / "out").values())  # fmt: skip # noqa: E501


def test_columns_pass_through(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(
        tmp_path / "p.parquet", good_urls(server, 4), n=[1, 2, 3, 4], status=["x"] * 4
    )
    download(str(pool), str(tmp_path / "out"), where="n > 1", **FEW)
    rows = rows_of(tmp_path / "out")
    assert sorted(row["n"] for row in rows) == [2, 3, 4]
    assert {row["status"] for row in rows} == {"success"}


def test_this_network_is_not_reached_unless_it_is_allowed(
    server: HostileServer, tmp_path: Path
) -> None:
    server.reset()
    pool = write_pool(
        tmp_path / "p.parquet", [server.url("/good/1"), server.url("/good/1", "localhost")]
    )
    found = download(str(pool), str(tmp_path / "out"), contact="me@example.org")
    assert found["status"] == {"refused_address": 2}
    assert not server.requests["/good/1"]


def test_who_asks_is_told(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", [server.url("/good/agent")])
    download(str(pool), str(tmp_path / "out"), **FEW)
    assert server.headers["/good/agent"]["user-agent"] == (
        f"metacurate/{mc.__version__} (+me@example.org)"
    )


def test_hosts_are_not_crowded_by_all_workers_together(
    server: HostileServer, tmp_path: Path
) -> None:
    server.reset()
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 300))
    limits = FetchLimits(allow=LIMITS.allow, per_host=4)
    download(str(pool), str(tmp_path / "out"), contact="me@example.org", limits=limits,
             images_per_shard=64, workers=2)  # fmt: skip
    assert server.most_at_once["127.0.0.1"] <= 4


# ---- cut off, and run again


def test_a_killed_run_goes_on_and_asks_for_nothing_twice(
    server: HostileServer, tmp_path: Path
) -> None:
    images, connections = 1500, 8
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, images))
    whole = tmp_path / "whole"
    download(str(pool), str(whole), **{**FEW, "images_per_shard": 700})
    server.reset()
    command = [
        "images", "download", pool, "-o", tmp_path / "out", "--contact", "me@example.org",
        "--images-per-shard", 700, "--connections", connections, "--per-host", 2 * connections,
        "--allow-network", "127.0.0.0/8", "--max-bytes", LIMITS.max_bytes, "--json",
    ]  # fmt: skip
    for wanted in (200, 900):
        running = start(*command)
        while sum(server.requests.values()) < wanted:
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        running.send_signal(signal.SIGKILL)
        running.wait()
        _, errors = running.communicate()
    output, errors = start(*command).communicate()
    totals = json.loads(output)
    assert totals["status"] == {"success": images}, errors
    again = Counter({path: n - 1 for path, n in server.requests.items() if n > 1})
    assert sum(again.values()) <= 2 * 2 * connections  # what was under way at two kills
    for path in sorted(whole.glob("0*")):
        if not path.name.endswith(".json"):
            assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes(), path.name
    assert not (tmp_path / "out" / ".metacurate" / "spools").exists()
    server.reset()
    assert json.loads(start(*command).communicate()[0])["resumed_shards"] == 3
    assert not server.requests


def test_other_flags_make_other_shards(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 100))
    out = tmp_path / "out"
    download(str(pool), str(out), **{**FEW, "images_per_shard": 20})
    assert len(list(out.glob("*.tar"))) == 5
    download(str(pool), str(out), **{**FEW, "images_per_shard": 60})
    assert sorted(path.name for path in out.glob("*.tar")) == ["00000.tar", "00001.tar"]
    assert len(rows_of(out)) == 100


def test_networks_that_are_allowed_later_are_reached(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 3))
    out = str(tmp_path / "out")
    assert download(str(pool), out, contact="me@example.org")["status"] == {"refused_address": 3}
    again = download(str(pool), out, contact="me@example.org", limits=LIMITS)
    assert again["status"] == {"success": 3}


def test_a_pool_that_is_written_anew_with_the_same_pairs_costs_nothing(
    server: HostileServer, tmp_path: Path
) -> None:
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 100))
    out = str(tmp_path / "out")
    download(str(pool), out, **FEW)
    server.reset()
    pq.write_table(pq.read_table(pool)[::-1], pool, compression="gzip")
    assert download(str(pool), out, **FEW)["resumed_shards"] == 2
    assert not server.requests


@pytest.mark.parametrize("ending", [".parquet", "_stats.json"])
def test_what_lies_beside_a_tar_is_made_again(
    server: HostileServer, tmp_path: Path, ending: str
) -> None:
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 100))
    out = tmp_path / "out"
    download(str(pool), str(out), **FEW)
    (out / f"00001{ending}").unlink()
    assert download(str(pool), str(out), **FEW)["resumed_shards"] == 1
    assert (out / f"00001{ending}").exists()


def test_pairs_of_other_pools_with_columns_of_curations_names(
    server: HostileServer, tmp_path: Path
) -> None:
    pool = write_pool(
        tmp_path / "p.parquet", good_urls(server, 2), entries=["a", "b"],
        probability=[float("nan"), 0.5],
    )  # fmt: skip
    download(str(pool), str(tmp_path / "out"), **FEW)
    samples = [s for one in list_shards(str(tmp_path / "out")) for s in read_samples(one.tar)]
    assert sorted(sample.pairs[0].get("probability", 0) for sample in samples) == [0, 0.5]
    assert not any("entries" in sample.pairs[0] for sample in samples)


def test_a_shard_that_is_lost_is_made_again(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 100))
    out = tmp_path / "out"
    download(str(pool), str(out), **FEW)
    (out / "00001.tar").unlink()
    server.reset()
    assert download(str(pool), str(out), **FEW)["resumed_shards"] == 1
    assert sum(server.requests.values()) == 36
    assert len(images_of(out)) == 100


# ---- what can't be


def test_no_images(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", ["a"], n=[1])
    found = download(str(pool), str(tmp_path / "out"), where="n > 1", **FEW)
    assert (found["images"], found["shards"], found["filtered"]) == (0, 0, 1)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"contact": "nobody"}, "is neither"),
        ({"images_per_shard": 0}, "at least 1"),
        ({"resize": 0}, "at least 1"),
        ({"quality": 100}, "not between 1 and 95"),
        ({"max_pixels": 0}, "at least 1"),
        ({"where": "m > 1"}, "--where"),
    ],
)
def test_arguments_that_cant_be(tmp_path: Path, more: dict[str, Any], reason: str) -> None:
    pool = write_pool(tmp_path / "p.parquet", ["http://a.example/1"])
    with pytest.raises(UsageError, match=reason):
        download(str(pool), str(tmp_path / "out"), **{**FEW, **more})
    assert not (tmp_path / "out").exists()


def test_pools_without_urls(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "text": ["b"]}), tmp_path / "p.parquet")
    with pytest.raises(MetacurateError, match="no url column"):
        download(str(tmp_path / "p.parquet"), str(tmp_path / "out"), **FEW)


def test_a_full_disk(server: HostileServer, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "p.parquet", good_urls(server, 50))
    out = tmp_path / "out"
    out.mkdir()
    (out / ".metacurate").mkdir()
    (out / ".metacurate" / "spools").write_text("a file where a folder is needed")
    with pytest.raises(MetacurateError, match=r"what comes can't be kept: .*spools"):
        download(str(pool), str(out), **FEW)
