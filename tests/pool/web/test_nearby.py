"""Files from a server on this machine and from stores that misbehave, as local copies."""

import errno
import pickle
import random
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from metacurate.engine.stage import StoppedError, Watch
from metacurate.engine.storage import drop_temporaries
from metacurate.errors import InputError, MetacurateError, UsageError
from metacurate.http.download import Part
from metacurate.http.failures import MissingError, UnreachableError
from metacurate.pool.web import nearby
from metacurate.pool.web.nearby import PATIENCE, Patience, local_copy

from ...http.http_server import Server

CONTENT = random.Random(1).randbytes(300_000)
QUICK = Patience(tries=4, backoff=0.01, timeout=5.0)


class Moody(MemoryFileSystem):  # type: ignore[misc]
    """A store that raises what it is told to, one after the other, then behaves."""

    protocol = "moody"
    store: ClassVar[dict[str, Any]] = {}
    moods: ClassVar[list[Exception]] = []
    short: ClassVar[list[int]] = []

    def get_file(self, rpath: str, lpath: str, **how: Any) -> None:
        if self.moods:
            raise self.moods.pop(0)
        super().get_file(rpath, lpath, **how)
        if self.short:
            Path(lpath).write_bytes(CONTENT[: self.short.pop(0)])


@pytest.fixture
def moody() -> Iterator[type[Moody]]:
    fsspec.register_implementation("moody", Moody, clobber=True)
    Moody.moods, Moody.short = [], []
    with fsspec.open("moody://bucket/a.warc.gz", "wb") as file:
        file.write(CONTENT)
    yield Moody
    Moody.store.clear()


def copied(path: str, folder: Path, **how: Any) -> bytes:
    """The content of a copy, that is gone afterwards."""
    with local_copy(path, folder, patience=QUICK, **how) as place:
        assert place.suffix == ".gz"
        content = place.read_bytes()
        (made,) = folder.iterdir()
        assert made.name.startswith(".")
        assert made.name.endswith(".tmp")
    assert list(folder.iterdir()) == []
    return content


# ---- what is here


@pytest.mark.parametrize("how", [str, Path.as_uri])
def test_a_local_file_is_taken_as_it_is(how: Any, tmp_path: Path) -> None:
    place = tmp_path / "Ä b.warc"
    place.write_bytes(CONTENT)
    path = how(place) if how is str else f"file://{place}"
    with local_copy(path, tmp_path / "missing") as found:
        assert found == place
    assert place.exists()


# ---- servers


def test_a_copy_from_a_server(server: Server, tmp_path: Path) -> None:
    server.add("/x/a.warc.gz", CONTENT)
    assert copied(f"{server.url}/x/a.warc.gz", tmp_path) == CONTENT
    assert [r.method for r in server.requests] == ["GET"]
    assert server.requests[0].agent.startswith("metacurate/")


def test_a_server_that_limits_how_fast_one_may_ask(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[tuple[int, dict[str, str]]] = [(403, {}), (403, {})]
    server.add("/a.gz", CONTENT, answers=list(refused))
    with pytest.raises(InputError, match=r"/a.gz: 403 Forbidden$"):
        copied(f"{server.url}/a.gz", tmp_path)
    server.requests.clear()
    monkeypatch.setattr(nearby, "THROTTLING", {"127.0.0.1"})
    server.add("/a.gz", CONTENT, answers=list(refused))
    assert copied(f"{server.url}/a.gz", tmp_path) == CONTENT
    assert [r.status for r in server.requests] == [403, 403, 200]


def test_common_crawl_limits() -> None:
    for url, heeded in (
        ("https://data.commoncrawl.org/a", True),
        ("https://example.org/data.commoncrawl.org/a", False),
    ):
        with PATIENCE.client(url) as client:
            assert (403 in client._busy) is heeded
    assert PATIENCE.tries >= 10


def test_busy_servers_and_drops(server: Server, tmp_path: Path) -> None:
    late = [(503, {"Retry-After": "1"}), (429, {}), (500, {})]
    server.add("/a.gz", CONTENT, answers=late, drops=[100_000, 50_000])
    began = time.monotonic()
    patience = Patience(tries=9, backoff=0.01)
    with local_copy(f"{server.url}/a.gz", tmp_path, None, patience) as place:
        assert place.read_bytes() == CONTENT
    assert time.monotonic() - began >= 1
    assert [(r.status, r.first) for r in server.requests] == [
        (503, None), (429, None), (500, None), (200, None), (206, 100_000), (206, 150_000),
    ]  # fmt: skip


@pytest.mark.parametrize("sized", [True, False])
def test_a_server_that_lies_about_the_length(sized: bool, server: Server, tmp_path: Path) -> None:
    server.add("/a.gz", CONTENT, drops=[1000] * 9, sized=sized, ranges=False)
    message = "Connection broken: .*, 4 tries" if sized else "does not tell how large it is"
    with pytest.raises(InputError, match=message) as raised:
        copied(f"{server.url}/a.gz", tmp_path)
    assert raised.value.source == f"{server.url}/a.gz"
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(MissingError) as raised:
        copied(f"{server.url}/a.gz", tmp_path)
    assert (raised.value.source, raised.value.reason) == (f"{server.url}/a.gz", "404 Not Found")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=r"nowhere.invalid can't be reached"):
        copied("http://nowhere.invalid/a.gz", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_copy_goes_when_its_reader_fails(server: Server, tmp_path: Path) -> None:
    server.add("/a.gz", CONTENT)
    with (
        pytest.raises(ZeroDivisionError),
        local_copy(f"{server.url}/a.gz", tmp_path, patience=QUICK),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pause", "silence"])
def test_the_end_of_the_run_is_heard(kind: str, server: Server, tmp_path: Path) -> None:
    served = server.add("/a.gz", CONTENT)
    if kind == "pause":
        served.answers = [(503, {"Retry-After": "60"})]
    else:
        served.pause, served.block = 30, 1000
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        copied(f"{server.url}/a.gz", tmp_path, watch=Watch(stop, lambda _: None))
    assert time.monotonic() - began < 20
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_leaves_is_removed(tmp_path: Path) -> None:
    with nearby._temporary(tmp_path) as beside:
        (beside / "copy.gz").write_bytes(CONTENT)
        drop_temporaries(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_can_not_be_written(server: Server, tmp_path: Path) -> None:
    server.add("/a.gz", CONTENT)
    assert copied(f"{server.url}/a.gz", tmp_path / "new") == CONTENT
    (tmp_path / "file").touch()
    with pytest.raises(MetacurateError, match="file: can't be written") as raised:
        copied(f"{server.url}/a.gz", tmp_path / "file")
    assert not isinstance(raised.value, InputError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Part):
        def begin(self, headers: Any) -> None:
            super().begin(headers)
            self.path.symlink_to("/dev/full")

    monkeypatch.setattr(nearby, "Part", Full)
    server.add("/a.gz", CONTENT)
    with pytest.raises(MetacurateError, match=r"can't be written: .*No space left") as raised:
        copied(f"{server.url}/a.gz", tmp_path)
    assert not isinstance(raised.value, InputError)
    assert list(tmp_path.iterdir()) == []


# ---- stores


def test_a_copy_from_a_store(moody: type[Moody], tmp_path: Path) -> None:
    assert copied("moody://bucket/a.warc.gz", tmp_path) == CONTENT


def test_a_store_that_is_busy_or_breaks_off(moody: type[Moody], tmp_path: Path) -> None:
    moody.moods = [OSError(errno.EBUSY, "Please reduce your request rate"), TimeoutError()]
    moody.short = [1000]
    assert copied("moody://bucket/a.warc.gz", tmp_path) == CONTENT
    assert not moody.moods
    assert not moody.short


@pytest.mark.parametrize(
    ("moods", "kind", "message"),
    [
        ([OSError(errno.EBUSY, "reduce your rate")] * 4, InputError, "your rate, 4 tries$"),
        ([PermissionError("Access Denied")], InputError, ": is refused: Access Denied$"),
        ([OSError(errno.ENOSPC, "No space")], MetacurateError, "can't be written: .*No space$"),
    ],
)
def test_a_store_that_does_not_give(
    moods: list[Exception], kind: type, message: str, moody: type[Moody], tmp_path: Path
) -> None:
    moody.moods = moods
    with pytest.raises(kind, match=message) as raised:
        copied("moody://bucket/a.warc.gz", tmp_path)
    assert type(raised.value) is kind
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingError, match=r"b.gz: there is no such file"):
        copied("moody://bucket/b.gz", tmp_path)


def test_the_end_of_the_run_is_heard_by_a_store(moody: type[Moody], tmp_path: Path) -> None:
    moody.moods = [TimeoutError()] * 3
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    watch = Watch(stop, lambda _: None)
    with (
        pytest.raises(StoppedError),
        local_copy("moody://bucket/a.warc.gz", tmp_path, watch, Patience(backoff=10)),
    ):
        raise AssertionError
    assert time.monotonic() - began < 20


def test_a_store_whose_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    with pytest.raises(UsageError, match=r'pip install "metacurate\[s3\]"'):
        copied(f"s3://{uuid.uuid4()}/a.gz", tmp_path)


def test_patience_crosses_process_borders() -> None:
    assert pickle.loads(pickle.dumps(QUICK)) == QUICK
