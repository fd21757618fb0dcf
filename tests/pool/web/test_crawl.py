"""Which archives there are: crawls served from this machine, and files that are named."""

import gzip
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.registry import _registry
from hypothesis import given
from hypothesis import strategies as st

from metacurate.errors import InputError, UsageError
from metacurate.http.failures import UnreachableError
from metacurate.pool.web import crawl
from metacurate.pool.web.crawl import (
    IMMUTABLE,
    ArchiveFile,
    crawl_archives,
    list_archives,
    listing_of,
)
from metacurate.pool.web.nearby import Patience

from ...http.http_server import Server

CRAWL = "CC-MAIN-2024-22"
LISTING = f"crawl-data/{CRAWL}/wat.paths.gz"
LINES = [
    f"crawl-data/{CRAWL}/segments/17159710572{i % 7:02}.{i % 3}/wat/CC-MAIN-{i:05}.warc.wat.gz"
    for i in range(50)
]
QUICK = Patience(tries=3, backoff=0.01, timeout=5.0)


def zipped(lines: list[str], end: str = "\n") -> bytes:
    return gzip.compress("".join(line + end for line in lines).encode())


def local_crawl(root: Path, content: bytes) -> Path:
    place = root / LISTING
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return root


def of_server(server: Server, **how: Any) -> list[ArchiveFile]:
    return crawl_archives(CRAWL, "wat", paths_root=f"{server.url}/", patience=QUICK, **how)


# ---- a crawl


def test_a_crawl_of_a_server(server: Server) -> None:
    server.add(f"/{LISTING}", zipped(LINES), answers=[(503, {})], drops=[100])
    assert of_server(server) == [
        ArchiveFile(f"{server.url}/{line}", IMMUTABLE, 0) for line in LINES
    ]
    assert {r.path for r in server.requests} == {f"/{LISTING}"}  # no archive is asked after


@pytest.mark.parametrize("form", ["path", "relative", "uri", "slash"])
def test_a_crawl_that_lies_here(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = local_crawl(tmp_path / "mirror", zipped(LINES[:2], "\r\n"))
    for line in LINES[:2]:
        (root / line).parent.mkdir(parents=True, exist_ok=True)
        (root / line).write_bytes(b"content")
    monkeypatch.chdir(tmp_path)
    named = {"path": str(root), "relative": "mirror", "uri": f"file://{root}", "slash": f"{root}/"}
    found = crawl_archives(CRAWL, "wat", paths_root=named[form])
    assert [(file.path, file.size) for file in found] == [(f"{root}/{i}", 7) for i in LINES[:2]]
    assert found == list_archives([root / line for line in LINES[:2]])
    (root / LINES[1]).unlink()
    with pytest.raises(InputError, match=f"{LINES[1]}: can't be looked at"):
        crawl_archives(CRAWL, "wat", paths_root=named[form])


def test_a_crawl_in_a_store() -> None:
    with fsspec.open(f"memory://mirror/{LISTING}", "wb") as file:
        file.write(zipped(LINES))
    found = crawl_archives(CRAWL, "wat", paths_root="memory://mirror", limit=1)
    assert found == [ArchiveFile(f"memory://mirror/{LINES[5]}", IMMUTABLE, 0)]


def test_a_path_that_is_listed_twice_is_one(server: Server) -> None:
    server.add(f"/{LISTING}", zipped([*LINES, *LINES[:3]]))
    assert len(of_server(server)) == len(LINES)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        *((name, True) for name in (CRAWL, "CC-MAIN-2013-20", "CC-MAIN-2012", "cc.x")),
        *((name, False) for name in ("", "..", "a/b", "CC-MAIN-2024-22\n", "-x", "a b", "ä", "x?")),
    ],
)
def test_names_of_crawls(name: str, good: bool) -> None:
    if good:
        expected = f"https://data.commoncrawl.org/crawl-data/{name}/warc.paths.gz"
        assert listing_of(name, "warc") == expected
    else:
        with pytest.raises(UsageError, match="not a name as Common Crawl's"):
            listing_of(name, "warc")


def test_malformed_arguments(tmp_path: Path) -> None:
    root = str(local_crawl(tmp_path, zipped(LINES)))
    for limit in (0, -1):
        with pytest.raises(UsageError, match="at least 1 archive"):
            crawl_archives(CRAWL, "wat", limit=limit, paths_root=root)
    with pytest.raises(UsageError, match="seed"):
        crawl_archives(CRAWL, "wat", limit=1, seed=-1, paths_root=root)
    with pytest.raises(UsageError, match="kind 'wet'"):
        crawl_archives(CRAWL, "wet", paths_root=root)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="can't be reached"):
        crawl_archives(CRAWL, "wat", paths_root="nosuch://root")
    with pytest.raises(UsageError, match="not a URL"):
        crawl_archives(CRAWL, "wat", paths_root="https://[x")


def test_a_crawl_that_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        of_server(server)
    assert str(raised.value) == (
        f"{server.url}/{LISTING}: 404 Not Found: is {CRAWL} the name of a crawl? "
        "https://index.commoncrawl.org lists them"
    )
    for root in (str(tmp_path), "memory://nothing"):
        with pytest.raises(InputError, match=f"no such file: is {CRAWL} the name of a crawl"):
            crawl_archives(CRAWL, "wat", paths_root=root, patience=QUICK)


def test_no_network() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        root = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="is there a network"):
            crawl_archives(CRAWL, "wat", paths_root=root, patience=Patience(backoff=0.01))


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda content: content[:-20],
    "garbage after": lambda content: content + b"garbage",
    "empty": lambda _: b"",
    "not gzip": gzip.decompress,
    "is damaged": lambda content: content[:20] + bytes(40) + content[60:],
}


@pytest.mark.parametrize("reason", DAMAGED)
def test_damaged_listings(reason: str, server: Server, tmp_path: Path) -> None:
    content = DAMAGED[reason](zipped(LINES))
    server.add(f"/{LISTING}", content)
    with pytest.raises(InputError, match=f"{LISTING}: can't be read: .*{reason}"):
        of_server(server)
    with pytest.raises(InputError, match=f"{LISTING}: can't be read: .*{reason}"):
        crawl_archives(CRAWL, "wat", paths_root=str(local_crawl(tmp_path, content)))


def test_a_listing_that_swells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawl, "MOST_LISTING", 1 << 20)
    content = gzip.compress(bytes(2 << 20))
    with pytest.raises(InputError, match="larger than any listing"):
        crawl_archives(CRAWL, "wat", paths_root=str(local_crawl(tmp_path, content)))


HOSTILE = [
    "../etc/passwd", "a/../../b.gz", "/etc/passwd", "//evil.org/a.gz", "a//b.gz", "a/./b.gz", "",
    "file:///etc/passwd", "s3://bucket/a.gz", "a::file:///etc/passwd", "a\x1b[2Jb.gz", "a\0b.gz",
    "a\tb.gz", "a b.gz", "a\\b.gz", "ä.gz", "a*.gz", "a[1].gz", "a?x=1", "a#b", "a%2e%2e/b", "~a",
    "-a.gz", ".a.gz", "a/.b.gz", "a/", "<html>", "\x85",
]  # fmt: skip


@pytest.mark.parametrize("line", HOSTILE, ids=ascii)
def test_hostile_listings(line: str, tmp_path: Path) -> None:
    root = local_crawl(tmp_path, zipped([LINES[0], line, LINES[1]]))
    with pytest.raises(InputError, match="line 2 is no path of an archive: ") as raised:
        crawl_archives(CRAWL, "wat", paths_root=str(root))
    assert str(raised.value).isprintable()


def test_an_empty_listing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lists no archive"):
        crawl_archives(CRAWL, "wat", paths_root=str(local_crawl(tmp_path, zipped([]))))


# ---- a sample of a crawl


def test_the_sample_is_the_same_everywhere(server: Server) -> None:
    server.add(f"/{LISTING}", zipped(LINES))

    def drawn(**how: int) -> list[int]:
        root = len(f"{server.url}/")
        return [LINES.index(file.path[root:]) for file in of_server(server, **how)]

    assert drawn(limit=5) == [5, 22, 25, 26, 48]
    assert drawn(limit=5, seed=1) == [15, 18, 20, 29, 30]
    assert drawn(limit=5, seed=2**64 - 1) == [1, 2, 5, 10, 33]
    assert drawn(limit=50) == drawn(limit=10**9) == drawn() == list(range(50))


lines = st.lists(st.from_regex(crawl.LINE, fullmatch=True), min_size=1, max_size=30, unique=True)
seeds = st.integers(0, 2**64 - 1)


@given(lines, st.integers(1, 40), st.integers(1, 40), seeds)
def test_a_larger_sample_holds_a_smaller_one(
    lines: list[str], limit: int, more: int, seed: int
) -> None:
    small, large = (crawl._sample(lines, n, seed) for n in (limit, limit + more))
    assert len(small) == min(limit, len(lines))
    assert set(small) <= set(large)
    assert small == [line for line in lines if line in set(small)]


@given(lines, st.integers(1, 30), seeds, st.randoms())
def test_the_order_of_the_listing_decides_nothing(
    lines: list[str], limit: int, seed: int, random: Any
) -> None:
    other = random.sample(lines, len(lines))
    assert set(crawl._sample(lines, limit, seed)) == set(crawl._sample(other, limit, seed))


# ---- archives that are named


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")


def found(source: Any, folder: Path, out: Path | None = None) -> list[str]:
    return [os.path.relpath(file.path, folder) for file in list_archives(source, out)]


ARCHIVES = [
    "a.WARC.gz", "b.warc", "c.wat", "d.wat.gz", "e.warc.wat.gz", "f.warc.wat", "g.warc.zst",
    "sub/h.warc.gz",
]  # fmt: skip
OTHERS = [
    "a.warc.wet.gz", "b.warc.bz2", "warc.gz", "c.warc.gz.part", ".d.warc.gz", "_e.warc.gz",
    ".x.tmp/copy.warc.gz", "f.parquet", "g.warcs",
]  # fmt: skip


def test_archives_of_folders_and_globs(tmp_path: Path) -> None:
    make(tmp_path, *ARCHIVES, *OTHERS)
    assert found(tmp_path, tmp_path) == ARCHIVES
    named = [tmp_path, str(tmp_path / "*.wat*"), tmp_path / "b.warc", tmp_path / "b.warc.bz2"]
    assert found(named, tmp_path) == sorted([*ARCHIVES, "b.warc.bz2"])
    assert found(str(tmp_path / "**/*.warc.gz"), tmp_path) == ["sub/h.warc.gz"]
    file = list_archives(tmp_path / "b.warc")[0]
    status = (tmp_path / "b.warc").stat()
    assert file.identity == f"{status.st_size} {status.st_mtime_ns}"
    assert file.size == 7


def test_archives_of_a_store() -> None:
    for name in ("a.warc.gz", "b.warc.gz", "c.txt"):
        with fsspec.open(f"memory://archives/{name}", "wb") as file:
            file.write(b"content")
    paths = [f"memory:///archives/{name}.warc.gz" for name in "ab"]
    for source in ("memory://archives", "memory://archives/*.gz"):
        archives = list_archives(source)
        assert [(file.path, file.size) for file in archives] == [(path, 7) for path in paths]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("empty", "the folder holds no archive"), ("missing.warc.gz", "no such file or folder"),
        ("*.warc.zst", "no such file or folder"), ([], "no archives"), ("http://[/a", "not a URL"),
    ],
)  # fmt: skip
def test_no_archives(
    source: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "empty/a.txt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        list_archives(source)


def test_outputs_do_not_lie_among_the_inputs(tmp_path: Path) -> None:
    make(tmp_path, "in/a.warc.gz", "in/out/b.warc.gz")
    inside = tmp_path / "in/out"
    for source in (tmp_path / "in", inside / "b.warc.gz", str(tmp_path / "in/*")):
        with pytest.raises(UsageError, match="the output folder"):
            list_archives(source, inside)
    assert found(tmp_path / "in/a.warc.gz", tmp_path, inside) == ["in/a.warc.gz"]
    assert found(str(tmp_path / "in/*.gz"), tmp_path, tmp_path / "out") == ["in/a.warc.gz"]


def test_urls_are_asked_after(server: Server) -> None:
    server.add("/a", b"content", etag='"1"', modified="yesterday")
    server.add("/b", b"content", etag=None, modified="yesterday")
    server.add("/c*", b"content", etag=None, sized=False)
    urls = [f"{server.url}/{name}" for name in ("b", "a", "c*", "a")]
    archives = list_archives(urls, patience=QUICK)
    assert [(file.path[-2:], file.identity, file.size) for file in archives] == [
        ("/a", '7 "1"', 7), ("/b", "7 yesterday", 7), ("c*", " ", 0),
    ]  # fmt: skip
    assert {r.method for r in server.requests} == {"HEAD"}
    assert len(server.requests) == 3
    with pytest.raises(InputError, match="/d: 404 Not Found"):
        list_archives(f"{server.url}/d", patience=QUICK)


def test_common_crawls_own_servers_are_not_asked() -> None:
    url = f"https://data.commoncrawl.org/{LINES[0]}"
    assert list_archives(url) == [ArchiveFile(url, IMMUTABLE, 0)]


# ---- Common Crawl's bucket


def test_the_bucket_needs_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setitem(fsspec.config.conf, "s3", {})
    told = r"https://data.commoncrawl.org has the same files"
    with pytest.raises(UsageError, match=told):
        crawl_archives(CRAWL, "wat", paths_root="s3://commoncrawl")
    with pytest.raises(UsageError, match=told):
        list_archives("s3://commoncrawl/crawl-data/x/*.warc.gz")
    crawl._refuse_strangers(["s3://commoncrawl-of-mine/a", "/commoncrawl/", "https://x/s3://x"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    crawl._refuse_strangers(["s3://commoncrawl/a"])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"profile": "mine"})
    crawl._refuse_strangers(["s3://commoncrawl/a"])


def test_without_the_package_for_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    for root in ("s3://commoncrawl", "s3://another"):
        with pytest.raises(UsageError, match=r'pip install "metacurate\[s3\]"'):
            crawl_archives(CRAWL, "wat", paths_root=root)
    with pytest.raises(UsageError, match=r'pip install "metacurate\[s3\]"'):
        list_archives("s3://commoncrawl/crawl-data/x.warc.gz")
