"""Downloads from a server on this machine that drops, refuses, changes and lies."""

import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import metacurate
from metacurate.cli.fetch import fetch
from metacurate.engine.lock import lock
from metacurate.engine.manifest import work_folder
from metacurate.errors import MetacurateError, UsageError
from metacurate.http.failures import UnreachableError
from metacurate.metadata.fetching import sources
from metacurate.metadata.fetching.fetch import fetch_sources, list_sources
from metacurate.metadata.fetching.listings import plain_name
from metacurate.metadata.fetching.sources import select
from metacurate.metadata.fetching.transfer import CONNECTIONS, FetchError

from ...http.http_server import Served, Server, serving

WORDNET = "/wordnet/3.0/WNdb-3.0.tar.gz"
DAY = "2021-03-01"
LATEST = "/dumps/enwiki/latest/enwiki-latest-"
TREE = "/hub/api/datasets/wikimedia/wikipedia/tree/main/20231101.en"
RESOLVED = "/hub/datasets/wikimedia/wikipedia/resolve/main/20231101.en/"
STATUS = "/dumps/enwiki/20261101/dumpstatus.json"
CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


def mirrors(url: str) -> list[str]:
    return [
        f"https://wordnetcode.princeton.edu={url}/wordnet",
        f"https://dumps.wikimedia.org={url}/dumps",
        f"https://huggingface.co={url}/hub",
    ]


def get(server: Server, out: Path, *names: str, **how: Any) -> dict[str, Any]:
    options = {"tries": 4, "backoff": 0.01, "timeout": 5.0, **how}
    return fetch_sources(names, out, mirrors=mirrors(server.url), **options)


def failures(server: Server, out: Path, *names: str, **how: Any) -> FetchError:
    with pytest.raises(FetchError) as raised:
        get(server, out, *names, **how)
    return raised.value


def files(out: Path) -> dict[str, bytes]:
    """All that is there, but for the lock."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".metacurate" not in path.parts
    }


def sha(content: bytes, algorithm: str) -> str:
    return hashlib.new(algorithm, content).hexdigest()


def hours(server: Server, number: int = 24) -> list[Served]:
    folder = f"/dumps/other/pageviews/2021/{DAY[:7]}/pageviews-{DAY.replace('-', '')}-"
    return [server.add(f"{folder}{i:02}0000.gz", b"%d" % i * 500) for i in range(number)]


def titles(server: Server, content: bytes = CONTENT, sha1: str | None = None) -> Served:
    dated = "enwiki-20261101-all-titles-in-ns0.gz"
    lines = f"{'0' * 40}  {dated[:-3]}\n{sha1 or sha(content, 'sha1')}  {dated}\n"
    server.add(f"{LATEST}sha1sums.txt", lines.encode())
    return server.add(f"{LATEST}all-titles-in-ns0.gz", content)


def tree(server: Server, entries: list[Any]) -> None:
    server.add(TREE, json.dumps(entries).encode())


def entry(name: str, content: bytes) -> dict[str, Any]:
    lfs = {"oid": sha(content, "sha256")}
    return {"type": "file", "path": f"20231101.en/{name}", "size": len(content), "lfs": lfs}


def dump_status(server: Server, named: dict[str, dict[str, Any]], status: str = "done") -> None:
    job = {"status": status, "files": named}
    told = {"jobs": {"articlesmultistreamdump": job, "xmlpagelogsdump": {"files": 3}}}
    server.add(STATUS, json.dumps(told).encode())


# ---- what is had, and where it lies


def test_all_sources(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT)
    hours(server)
    titles(server, OTHER)
    parts = {f"train-{i:05}-of-00003.parquet": b"%d" % i * 70_000 for i in range(3)}
    tree(server, [{"type": "directory", "path": "x"}, *(entry(*part) for part in parts.items())])
    for name, content in parts.items():
        server.add(RESOLVED + name, content)
    plans: list[Any] = []
    result = get(
        server, tmp_path, "wordnet", "wikipedia", "titles", "pageviews", days=[DAY],
        tell=plans.extend,
    )  # fmt: skip

    there = files(tmp_path)
    known = json.loads(there.pop("checksums.json"))
    assert there == {
        "wordnet/WNdb-3.0.tar.gz": CONTENT,
        "titles/enwiki-latest-all-titles-in-ns0.gz": OTHER,
        **{f"wikipedia/{name}": content for name, content in parts.items()},
        **{f"pageviews/pageviews-20210301-{i:02}0000.gz": b"%d" % i * 500 for i in range(24)},
    }
    assert known.keys() == {name for name in there if name.startswith(("wikipedia", "titles"))}
    title = known["titles/enwiki-latest-all-titles-in-ns0.gz"]
    assert title["sha1"] == sha(OTHER, "sha1")
    assert title["published_as"] == "enwiki-20261101-all-titles-in-ns0.gz"
    assert [(p["source"], p["files"], p["here"], p["missing"]) for p in plans] == [
        ("wordnet", 1, 0, 1), ("wikipedia", 3, 0, 3), ("titles", 1, 0, 1), ("pageviews", 24, 0, 24),
    ]  # fmt: skip
    assert result["bytes_downloaded"] == sum(map(len, there.values()))
    assert sum(plan["missing_bytes"] for plan in plans) == result["bytes_downloaded"]
    assert shlex.split(result["build"]) == [
        "metacurate", "metadata", "build",
        "--wordnet", str(tmp_path / "wordnet/WNdb-3.0.tar.gz"),
        "--wikipedia", str(tmp_path / "wikipedia"),
        "--title-list", str(tmp_path / "titles/enwiki-latest-all-titles-in-ns0.gz"),
        "--pageviews", str(tmp_path / "pageviews"),
        "--out", "metadata.parquet",
    ]  # fmt: skip
    agent = f"metacurate/{metacurate.__version__} (python-requests/{version('requests')})"
    assert {request.agent for request in server.requests} == {agent}
    assert server.most_at_work <= CONNECTIONS


def test_a_dated_dump(server: Server, tmp_path: Path) -> None:
    stem = "enwiki-20261101-pages-articles-multistream"
    told = {}
    for name in (f"{stem}.xml.bz2", f"{stem}1.xml-p1p9.bz2", f"{stem}2.xml-p10p20.bz2"):
        content = name.encode() * 99
        url = f"/enwiki/20261101/{name}"
        told[name] = {"size": len(content), "url": url, "sha1": sha(content, "sha1")}
        server.add(f"/dumps{url}", content)
    told[f"{stem}-index1.txt-p1p9.bz2"] = {"size": 3, "url": "/x", "sha1": "no"}
    dump_status(server, told)
    get(server, tmp_path, "dump", dump_date="20261101")
    assert files(tmp_path).keys() == {
        "checksums.json", f"dump/{stem}1.xml-p1p9.bz2", f"dump/{stem}2.xml-p10p20.bz2",
    }  # fmt: skip

    dump_status(server, told, "in-progress")
    with pytest.raises(MetacurateError, match="dump 20261101 are not done"):
        get(server, tmp_path, "dump", dump_date="20261101")


def test_the_latest_dump_of_another_language(server: Server, tmp_path: Path) -> None:
    begin = "/dumps/zh_min_nanwiki/latest/zh_min_nanwiki-latest-"
    name = "pages-articles-multistream.xml.bz2"
    sums = f"{sha(CONTENT, 'sha1')}  zh_min_nanwiki-20261101-{name}\n"
    server.add(f"{begin}sha1sums.txt", sums.encode())
    server.add(begin + name, CONTENT)
    result = get(server, tmp_path, "dump", language="zh-min-nan")
    assert result["sources"]["dump"]["files"] == 1
    assert f"--wikipedia {tmp_path}/dump" in result["build"]
    listed = list_sources(["wikipedia"], language="zh_min_nan")
    assert listed[0]["listing"].endswith("/20231101.zh-min-nan")
    assert (listed[0]["urls"], listed[0]["about_bytes"]) == ([], None)


def test_a_checksum_that_is_not_published_yet(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    titles(server)
    server.add(f"{LATEST}sha1sums.txt", b"")
    get(server, tmp_path, "titles")
    assert "no checksum is published for it now" in caplog.text
    assert files(tmp_path) == {"titles/enwiki-latest-all-titles-in-ns0.gz": CONTENT}


def test_other_files_are_warned_of(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.add(WORDNET, CONTENT)
    (tmp_path / "wordnet").mkdir()
    (tmp_path / "wordnet/WNdb-2.0.tar.gz").touch()
    get(server, tmp_path, "wordnet")
    assert "a build would read, too: WNdb-2.0.tar.gz" in caplog.text


def test_a_rerun_downloads_nothing(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT)
    titles(server)
    hours(server)
    first = get(server, tmp_path, "wordnet", "titles", "pageviews", days=[DAY])
    before = files(tmp_path)
    server.requests.clear()
    again = get(server, tmp_path, "wordnet", "titles", "pageviews", days=[DAY, DAY])
    assert [request.path for request in server.bodies()] == [f"{LATEST}sha1sums.txt"]
    assert files(tmp_path) == before
    assert again["bytes_downloaded"] == 0
    assert [one["files"] for one in again["sources"].values()] == [1, 1, 24]
    assert first["build"] == again["build"]


def test_what_has_changed_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT)
    titles(server)
    get(server, tmp_path, "wordnet", "titles")
    server.add(WORDNET, OTHER + b"more")
    titles(server, OTHER)
    result = get(server, tmp_path, "wordnet", "titles")
    assert [one["downloaded"] for one in result["sources"].values()] == [1, 1]
    assert files(tmp_path)["wordnet/WNdb-3.0.tar.gz"] == OTHER + b"more"
    assert files(tmp_path)["titles/enwiki-latest-all-titles-in-ns0.gz"] == OTHER


def test_what_lies_there_is_verified_before_it_is_believed(server: Server, tmp_path: Path) -> None:
    titles(server)
    place = tmp_path / "titles/enwiki-latest-all-titles-in-ns0.gz"
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    assert get(server, tmp_path, "titles")["bytes_downloaded"] == 0
    place.write_bytes(OTHER)  # of the same size, after it was recorded
    assert get(server, tmp_path, "titles")["bytes_downloaded"] == len(CONTENT)
    assert place.read_bytes() == CONTENT
    (tmp_path / "checksums.json").write_text("[" * 100_000)
    assert get(server, tmp_path, "titles")["bytes_downloaded"] == 0


# ---- connections that break, servers that are busy


def test_a_drop_in_the_middle(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT, drops=[100_000, 50_000])
    result = get(server, tmp_path, "wordnet")
    assert [(r.first, r.status) for r in server.bodies()] == [
        (None, 200), (100_000, 206), (150_000, 206),
    ]  # fmt: skip
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}
    assert result["bytes_downloaded"] == len(CONTENT)


def test_more_drops_than_tries_as_long_as_much_comes(server: Server, tmp_path: Path) -> None:
    content = CONTENT * 40
    server.add(WORDNET, content, drops=[1_200_000] * 8)
    get(server, tmp_path, "wordnet")
    assert len(server.bodies()) == 9
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": content}


@pytest.mark.parametrize(
    ("etag", "modified"),
    [(None, None), ('W/"weak"', None)],
    ids=["nothing tells files apart", "only a weak etag does"],
)
def test_a_part_that_can_not_be_told_from_another_file_is_not_continued(
    etag: str | None, modified: str | None, server: Server, tmp_path: Path
) -> None:
    server.add(WORDNET, CONTENT, drops=[100_000], etag=etag, modified=modified)
    get(server, tmp_path, "wordnet")
    assert [r.first for r in server.bodies()] == [None, None]
    titles(server).etag = None
    server.files[f"{LATEST}all-titles-in-ns0.gz"].drops = [100_000]
    get(server, tmp_path, "titles")  # but there is a checksum, which will tell
    assert [r.first for r in server.bodies("gz")][2:] == [None, 100_000]


def test_a_date_tells_files_apart_too(server: Server, tmp_path: Path) -> None:
    date = "Mon, 01 Mar 2021 00:00:00 GMT"
    server.add(WORDNET, CONTENT, drops=[100_000], etag=None, modified=date)
    get(server, tmp_path, "wordnet")
    assert [r.first for r in server.bodies()] == [None, 100_000]
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}


def test_busy_servers(server: Server, tmp_path: Path) -> None:
    late = [(429, {"Retry-After": "1"}), (503, {"Retry-After": "soon"}), (503, {})]
    server.add(WORDNET, CONTENT, answers=late)
    began = time.monotonic()
    get(server, tmp_path, "wordnet")
    assert time.monotonic() - began >= 1
    assert [r.status for r in server.bodies()] == [429, 503, 503, 200]


def test_giving_up(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT, answers=[(503, {})] * 9)
    hours(server, 2)
    error = failures(server, tmp_path, "wordnet", "pageviews", days=[DAY])
    assert f"{server.url}{WORDNET}: 503 Service Unavailable, 4 tries" in error.failures
    assert len(server.bodies(".tar.gz")) == 4
    assert len(error.failures) == 1 + 22  # hours that are not there
    assert error.result["sources"]["pageviews"]["files"] == 2


def test_giving_up_on_drops(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT, drops=[1000] * 9)
    error = failures(server, tmp_path, "wordnet")
    (line,) = error.failures
    assert line.startswith(f"{server.url}{WORDNET}: Connection broken: Incomplete")
    assert line.endswith(", 4 tries")
    server.files[WORDNET].drops = []
    result = get(server, tmp_path, "wordnet")
    assert server.bodies()[-1].first == 4000
    assert result["bytes_downloaded"] == len(CONTENT) - 4000
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}


def test_a_server_that_falls_silent(server: Server, tmp_path: Path) -> None:
    served = server.add(WORDNET, CONTENT, pause=0.7)

    def mend() -> None:
        served.pause = 0

    threading.Timer(0.5, mend).start()
    get(server, tmp_path, "wordnet", timeout=0.2)
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}
    assert any(r.status == 206 for r in server.bodies())


def test_an_hour_that_is_missing(server: Server, tmp_path: Path) -> None:
    hours(server)
    gone = next(path for path in server.files if "-070000" in path)
    del server.files[gone]
    error = failures(server, tmp_path, "pageviews", days=[DAY])
    assert error.failures == [f"{server.url}{gone}: 404 Not Found"]
    assert str(error) == (
        f"not all could be downloaded; 23 files are in {tmp_path}, and the same command tries the "
        f"others again\n{server.url}{gone}: 404 Not Found"
    )
    assert len(files(tmp_path)) == 23


# ---- servers that have another file than before, or lie


def test_a_server_that_ignores_ranges(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT, drops=[200_000, 100_000], ranges=False)
    get(server, tmp_path, "wordnet")
    assert [(r.first, r.status) for r in server.bodies()] == [
        (None, 200), (200_000, 200), (100_000, 200),
    ]  # fmt: skip
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}


def changed_etag(server: Server) -> None:
    server.add(WORDNET, OTHER)


def changed_without_conditions(server: Server) -> None:
    server.add(WORDNET, OTHER, conditions=False)


def changed_size(server: Server) -> None:
    server.add(WORDNET, OTHER[:70_000])


@pytest.mark.parametrize("change", [changed_etag, changed_without_conditions, changed_size])
def test_a_file_that_changes_between_two_runs(
    change: Callable[[Server], None], server: Server, tmp_path: Path
) -> None:
    server.add(WORDNET, CONTENT, drops=[100_000, 0, 0, 0])
    failures(server, tmp_path, "wordnet")
    assert (tmp_path / "wordnet/.WNdb-3.0.tar.gz.part").stat().st_size == 100_000
    change(server)
    get(server, tmp_path, "wordnet")
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": server.files[WORDNET].content}


def test_a_file_that_changes_during_a_run(server: Server, tmp_path: Path) -> None:
    longer = OTHER * 2
    server.add(WORDNET, CONTENT, others=[longer])  # HEAD tells the old one's size
    result = get(server, tmp_path, "wordnet")
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": longer}
    assert result["sources"]["wordnet"]["bytes"] == len(longer)


def test_a_checksum_that_is_wrong_once(server: Server, tmp_path: Path) -> None:
    titles(server).others = [OTHER]
    get(server, tmp_path, "titles")
    assert [r.first for r in server.bodies("ns0.gz")] == [None, None]
    assert files(tmp_path)["titles/enwiki-latest-all-titles-in-ns0.gz"] == CONTENT


def test_a_checksum_that_stays_wrong(server: Server, tmp_path: Path) -> None:
    titles(server).others = [OTHER] * 9
    server.add(WORDNET, CONTENT)
    error = failures(server, tmp_path, "titles", "wordnet")
    (line,) = error.failures
    assert line == (
        f"{server.url}{LATEST}all-titles-in-ns0.gz: sha1 is {sha(OTHER, 'sha1')}, but "
        f"{sha(CONTENT, 'sha1')} is published"
    )
    assert len(server.bodies("ns0.gz")) == 2
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}


@pytest.mark.parametrize("sized", [True, False])
def test_more_or_less_than_is_published(sized: bool, server: Server, tmp_path: Path) -> None:
    tree(server, [entry("a.parquet", CONTENT)])
    server.add(f"{RESOLVED}a.parquet", CONTENT + b"more", sized=sized)
    (line,) = failures(server, tmp_path, "wikipedia").failures
    assert ("300,000 are published" if sized else "more comes than the 300,000 bytes") in line
    server.add(f"{RESOLVED}a.parquet", CONTENT[:-1], sized=sized, ranges=False)
    (line,) = failures(server, tmp_path, "wikipedia").failures
    assert ("300,000 are published" if sized else "the connection broke, 4 tries") in line
    assert "wikipedia/a.parquet" not in files(tmp_path)


def test_redirects(server: Server, tmp_path: Path) -> None:
    tree(server, [entry("a.parquet", CONTENT)])
    server.add(f"{RESOLVED}a.parquet", b"", location=f"{server.url}/cdn")
    server.add("/cdn", CONTENT, drops=[1000])
    get(server, tmp_path, "wikipedia")
    assert [r.first for r in server.bodies("/cdn")] == [None, 1000]
    server.add(WORDNET, b"", location="file:///etc/passwd")
    with pytest.raises(MetacurateError, match="No connection adapters"):
        get(server, tmp_path, "wordnet")


NAMES = [
    "../a",
    "a/b",
    "..",
    ".a",
    "",
    "a\\b",
    "a\x1b[2J",
    "-a",
    "a\nb",
    "a" * 201,
    "\ud800",
    "C:a",
]


def test_hostile_names() -> None:
    for name in NAMES:
        with pytest.raises(ValueError, match="no name for a file"):
            plain_name(name)
    assert plain_name("Ärger 1.parquet") == "Ärger 1.parquet"


GOOD = "enwiki-20261101-pages-articles-multistream1.xml-p1p9.bz2"
LISTINGS: dict[str, Any] = {
    "a name that leads elsewhere": [entry("../../a.parquet", b"")],
    "a hidden name": [entry(".a.parquet", b"")],
    "no size": [{**entry("a.parquet", b""), "size": "7"}],
    "a negative size": [{**entry("a.parquet", b""), "size": -7}],
    "no checksum": [{**entry("a.parquet", b""), "lfs": {"oid": "../7"}}],
    "twice": [entry("a.parquet", b""), entry("a.parquet", b"")],
    "nothing": [],
    "no list": {"error": "no"},
    "no entries": [7],
}


@pytest.mark.parametrize("name", LISTINGS)
def test_hostile_listings_of_the_hub(name: str, server: Server, tmp_path: Path) -> None:
    tree(server, LISTINGS[name])
    with pytest.raises(MetacurateError, match=r"not a listing that can be used|lists no file"):
        get(server, tmp_path, "wikipedia")
    assert len(server.requests) == 1
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "url"),
    [
        (GOOD, f"http://evil.org/{GOOD}"),
        (GOOD, f"//evil.org/{GOOD}"),
        (GOOD, f"file:///{GOOD}"),
        (GOOD, "/enwiki/20261101/another"),
        (f"../{GOOD}", f"/enwiki/{GOOD}"),
    ],
)
def test_hostile_listings_of_a_dump(name: str, url: str, server: Server, tmp_path: Path) -> None:
    dump_status(server, {name: {"size": 7, "url": url, "sha1": "0" * 40}})
    with pytest.raises(MetacurateError, match="not a listing that can be used"):
        get(server, tmp_path, "dump", dump_date="20261101")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b" " * (17 << 20), "larger than any"), (b"[" * 100_000, "not a listing"), (b"\xff", "not a")],
    ids=["large", "deep", "no text"],
)
def test_listings_that_are_none(
    content: bytes, message: str, server: Server, tmp_path: Path
) -> None:
    server.add(TREE, content)
    with pytest.raises(MetacurateError, match=message):
        get(server, tmp_path, "wikipedia")


# ---- no network, no room, no peace


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(UnreachableError) as raised:
            fetch_sources(["pageviews", "titles"], tmp_path, mirrors=mirrors(url), backoff=0.01)
    assert time.monotonic() - began < 20
    message = str(raised.value)
    assert message.startswith("127.0.0.1 can't be reached (Failed to establish a new connection:")
    assert "Connection refused): is there a network?" in message
    assert "metacurate metadata fetch --urls lists them" in message


def test_a_name_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"nowhere.invalid can't be reached \(Failed to res"):
        fetch_sources(["wordnet"], tmp_path, mirrors=mirrors("http://nowhere.invalid"), backoff=0.1)


def test_a_proxy_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UnreachableError, match=r"princeton.edu can't be reached \(the proxy: "):
        fetch_sources(["wordnet"], tmp_path, backoff=0.01)


def test_one_host_of_two_is_gone(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT)
    gone = "http://nowhere.invalid"
    with pytest.raises(FetchError) as raised:
        fetch_sources(
            ["wordnet", "pageviews"], tmp_path, days=[DAY], backoff=0.01,
            mirrors=[mirrors(server.url)[0], mirrors(gone)[1]],
        )  # fmt: skip
    head, cause, hint = str(raised.value).splitlines()
    assert head.startswith("not all could be downloaded; 1 files are in")
    assert cause.startswith("nowhere.invalid can't be reached (Failed to resolve")
    assert cause.endswith("(for 24 files)")
    assert hint.startswith("Is there a network?")
    assert files(tmp_path) == {"wordnet/WNdb-3.0.tar.gz": CONTENT}


def test_all_hosts_are_gone(tmp_path: Path) -> None:
    gone = [f"{of.partition('=')[0]}=http://{i}.invalid" for i, of in enumerate(mirrors(""))]
    with pytest.raises(FetchError) as raised:
        fetch_sources(["wordnet", "titles"], tmp_path, backoff=0.01, mirrors=gone)
    lines = str(raised.value).splitlines()
    assert lines[0] == "nothing could be downloaded"
    assert len(lines) == 4


def test_a_disk_that_is_too_small(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add(WORDNET, CONTENT, drops=[100_000, 0, 0, 0])
    failures(server, tmp_path, "wordnet")
    free = 199_999
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, free))
    with pytest.raises(MetacurateError, match="200,000 bytes are to come, but only 199,999 are"):
        get(server, tmp_path, "wordnet")
    free = 200_000
    get(server, tmp_path, "wordnet")


def test_a_folder_that_is_not_writable(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT)
    (tmp_path / "wordnet/.WNdb-3.0.tar.gz.part").mkdir(parents=True)
    (line,) = failures(server, tmp_path, "wordnet").failures
    assert "can't be written" in line
    (tmp_path / "file").touch()
    with pytest.raises(MetacurateError, match="can't be written"):
        get(server, tmp_path / "file", "wordnet")


def test_two_runs_at_once(server: Server, tmp_path: Path) -> None:
    with (
        lock(work_folder(tmp_path)),
        pytest.raises(MetacurateError, match="another run is at work on it"),
    ):
        get(server, tmp_path, "wordnet")
    assert not server.requests


RUN = """
import sys
from metacurate.metadata.fetching.fetch import fetch_sources
fetch_sources(["titles", "wordnet"], sys.argv[1], mirrors=sys.argv[2:])
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_cut_off_goes_on(
    number: signal.Signals, server: Server, tmp_path: Path
) -> None:
    title, wordnet = titles(server), server.add(WORDNET, OTHER)
    for served in (title, wordnet):
        served.pause, served.block = 30, 50_000  # it falls silent
    command = [sys.executable, "-c", RUN, str(tmp_path), *mirrors(server.url)]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    parts = [
        tmp_path / "titles/.enwiki-latest-all-titles-in-ns0.gz.part",
        tmp_path / "wordnet/.WNdb-3.0.tar.gz.part",
    ]
    while not all(part.is_file() and part.stat().st_size for part in parts):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    told = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - told < 2
    if number == signal.SIGINT:
        assert errors.endswith(b"KeyboardInterrupt\n")
    title.pause = wordnet.pause = 0
    server.requests.clear()
    result = get(server, tmp_path, "titles", "wordnet")
    left = len(CONTENT) + len(OTHER) - sum(r.first or 0 for r in server.bodies())
    assert [r.status for r in server.bodies("gz")] == [206, 206]
    assert result["bytes_downloaded"] == left < len(CONTENT) + len(OTHER)
    there = files(tmp_path)
    assert there.pop("checksums.json")
    assert there == {
        "titles/enwiki-latest-all-titles-in-ns0.gz": CONTENT,
        "wordnet/WNdb-3.0.tar.gz": OTHER,
    }


def test_without_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http.client", "metadata.fetching.transfer"):
        monkeypatch.delitem(sys.modules, f"metacurate.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(MetacurateError, match=r'pip install "metacurate\[metadata\]"'):
        fetch_sources(["wordnet"], tmp_path)
    assert list_sources()


# ---- what is asked for


@pytest.mark.parametrize(
    "how",
    [
        {"language": "../x"}, {"language": "e"}, {"days": ["2021-02-30"]}, {"days": ["20210201"]},
        {"dump_date": "2026"}, {"mirrors": ["https://a.org"]}, {"mirrors": ["a=b"]},
        {"names": ["wordnets"]}, {"names": []},
    ],
)  # fmt: skip
def test_malformed_arguments(how: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        fetch_sources(**{"names": ["wordnet"], "out": tmp_path / "out", **how})
    assert not (tmp_path / "out").exists()


def test_mirrors_replace_whole_parts_of_urls() -> None:
    selection = select(
        mirrors=["https://a.org=http://b.org:80/c/", "https://d.org/x/=https://e.org"]
    )
    for url, instead in (
        ("https://a.org/f?x=1", "http://b.org:80/c/f?x=1"),
        ("https://a.org.evil/f", "https://a.org.evil/f"),
        ("https://d.org/x/f", "https://e.org/f"),
        ("https://d.org/xy/f", "https://d.org/xy/f"),
    ):
        assert selection.mirrored(url) == instead


def test_sources_are_listed_without_a_network() -> None:
    listed = {source["name"]: source for source in list_sources()}
    assert list(listed) == list(sources.SOURCES)
    counts = {name: source["files"] for name, source in listed.items()}
    assert counts == {"wordnet": 1, "wikipedia": 41, "dump": 1, "titles": 1, "pageviews": 26 * 24}
    views = listed["pageviews"]["urls"]
    folder = "https://dumps.wikimedia.org/other/pageviews"
    assert views[0] == f"{folder}/2021/2021-01/pageviews-20210101-000000.gz"
    assert views[-1] == f"{folder}/2023/2023-02/pageviews-20230201-230000.gz"
    assert list_sources(["dump"], dump_date="20261101")[0]["urls"] == []


# ---- the command

app = typer.Typer()
app.command()(fetch)
runner = CliRunner()


def test_the_command_lists() -> None:
    table = runner.invoke(app, []).stdout
    assert all(f"{name} " in table for name in sources.SOURCES)
    assert all(flag in table for flag in ("--wordnet", "--title-list", "--pageviews", "11.7 GB"))
    as_json = json.loads(runner.invoke(app, ["--json"]).stdout)
    assert [source["name"] for source in as_json] == list(sources.SOURCES)
    urls = runner.invoke(app, ["pageviews", "--urls", "--days", "2021-01-01, 2021-01-02"]).stdout
    assert len(urls.split()) == 48


def test_the_command_downloads(server: Server, tmp_path: Path) -> None:
    server.add(WORDNET, CONTENT)
    options = [part for mirror in mirrors(server.url) for part in ("--mirror", mirror)]
    done = runner.invoke(app, ["wordnet", "-o", str(tmp_path), *options])
    assert done.exit_code == 0, done.exception
    assert "To download" in done.stderr
    assert "300.0 kB" in done.stderr
    assert "metacurate metadata build --wordnet" in done.stdout
    again = runner.invoke(app, ["wordnet", "-o", str(tmp_path), "--json", *options])
    assert json.loads(again.stdout)["bytes_downloaded"] == 0
    missing = runner.invoke(app, ["wordnet"])
    assert isinstance(missing.exception, UsageError)
