"""The S3 server and the proxy that other tests stand on do what they say."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    ResponseStreamingError,
)

from .s3_server import NotInstalledError, S3Server
from .tcp_proxy import TcpProxy

ROOT = Path(__file__).parent.parent


def new_server(folder: Path) -> S3Server:
    try:
        return S3Server(folder)
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with new_server(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket("data")
        yield server


@pytest.fixture
def proxy(server: S3Server) -> Iterator[TcpProxy]:
    with TcpProxy("127.0.0.1", server.port) as proxy:
        yield proxy


@pytest.fixture
def files(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], fsspec.AbstractFileSystem]:
    """File systems that find the server, or a proxy before it, by the environment alone."""

    def make(url: str) -> fsspec.AbstractFileSystem:
        for name, value in {**server.environment, "AWS_ENDPOINT_URL": url}.items():
            monkeypatch.setenv(name, value)
        return fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)

    return make


def race(n: int, act: Callable[[int], object]) -> dict[int, str]:
    """What became of each of `n` that act at once: "" or the code of S3's error."""
    ended: dict[int, str] = {}
    barrier = threading.Barrier(n)

    def run(i: int) -> None:
        barrier.wait()
        try:
            act(i)
            ended[i] = ""
        except ClientError as error:
            ended[i] = error.response["Error"]["Code"]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


def get(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    connection.request("GET", "/data/none")
    answer = connection.getresponse()
    return answer.status, answer.read()


def read(client: Any, key: str) -> bytes:
    content: bytes = client.get_object(Bucket="data", Key=key)["Body"].read()
    return content


def test_files(server: S3Server, files: Callable[[str], fsspec.AbstractFileSystem]) -> None:
    fs = files(server.endpoint)
    content = os.urandom(11 << 20)
    fs.pipe_file("data/files/a b/é", b"content")
    fs.pipe_file("data/files/parts", content, chunksize=5 << 20)
    assert fs.cat_file("data/files/a b/é") == b"content"
    assert fs.cat_file("data/files/parts") == content
    assert (
        fs.cat_file("data/files/parts", start=5_000_000, end=6_000_000)
        == (content[5_000_000:6_000_000])
    )
    info = fs.find("data/files", detail=True)["data/files/a b/é"]
    assert info["size"] == 7
    assert info["ETag"] == fs.info("data/files/a b/é")["ETag"]
    assert abs(info["LastModified"].timestamp() - time.time()) < 60
    with pytest.raises(FileNotFoundError):
        fs.pipe_file("nobucket/a", b"content")
    said = subprocess.run(
        [sys.executable, "-c", "import fsspec; print(fsspec.open('s3://data/files/a b/é').open())"],
        capture_output=True,
        text=True,
    )
    assert "data/files/a b/é" in said.stdout


def test_long_listings(server: S3Server, files: Callable[[str], fsspec.AbstractFileSystem]) -> None:
    fs = files(server.endpoint)
    names = [f"data/many/{i:04}" for i in range(1001)]
    fs.pipe(dict.fromkeys(names, b""))
    assert fs.ls("data/many", detail=False) == names
    fs.rm(names)
    assert "Contents" not in server.client().list_objects_v2(Bucket="data", Prefix="many/")


def test_one_of_many_creates(server: S3Server) -> None:
    client = server.client()
    ended = race(
        8,
        lambda i: client.put_object(Bucket="data", Key="new", Body=b"%d" % i, IfNoneMatch="*"),
    )
    assert Counter(ended.values()) == {"": 1, "PreconditionFailed": 7}
    (winner,) = (i for i, error in ended.items() if not error)
    assert read(client, "new") == b"%d" % winner


def test_one_of_many_replaces_or_deletes(server: S3Server) -> None:
    client = server.client()
    tag = client.put_object(Bucket="data", Key="old", Body=b"old")["ETag"]

    def act(i: int) -> None:
        if i % 2:
            client.delete_object(Bucket="data", Key="old", IfMatch=tag)
        else:
            client.put_object(Bucket="data", Key="old", Body=b"%d" % i, IfMatch=tag)

    assert Counter(race(8, act).values()) == {"": 1, "PreconditionFailed": 7}


def test_conditions_in_s3fs(
    server: S3Server, files: Callable[[str], fsspec.AbstractFileSystem]
) -> None:
    fs = files(server.endpoint)
    tag = fs.pipe_file("data/conditions", b"1", mode="create")["ETag"]
    second = fs.pipe_file("data/conditions", b"2", IfMatch=tag)["ETag"]
    refused: list[Callable[[], object]] = [
        lambda: fs.pipe_file("data/conditions", b"3", mode="create"),
        lambda: fs.pipe_file("data/conditions", b"3", IfMatch=tag),
        lambda: fs.call_s3("delete_object", Bucket="data", Key="conditions", IfMatch=tag),
    ]
    for act in refused:
        with pytest.raises(OSError) as caught:
            act()
        assert isinstance(caught.value.__cause__, ClientError)
        assert caught.value.__cause__.response["Error"]["Code"] == "PreconditionFailed"
    assert fs.cat_file("data/conditions") == b"2"
    fs.call_s3("delete_object", Bucket="data", Key="conditions", IfMatch=second)
    assert not fs.exists("data/conditions")


def test_data_outlive_the_server(tmp_path: Path) -> None:
    server = new_server(tmp_path)
    with server:
        server.make_bucket("data")
        client = server.client()
        content = os.urandom(3_000_000)
        for end in (server.kill, server.stop):
            client.put_object(Bucket="data", Key=end.__name__, Body=content)
            end()
            assert server.pid is None
            with pytest.raises(EndpointConnectionError):
                client.list_buckets()
            server.start()
            assert read(client, end.__name__) == content
    assert server.pid is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the end of a process")
def test_the_server_ends_with_its_process(server: S3Server, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, threading; from tests.s3_server import S3Server\n"
        "server = S3Server(pathlib.Path(sys.argv[1]))\n"
        "thread = threading.Thread(target=server.start); thread.start(); thread.join()\n"
        "server.make_bucket('data'); print(server.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as started:
        assert started.stdout is not None
        command = Path("/proc", started.stdout.readline().decode().strip(), "cmdline")
        assert str(tmp_path).encode() in command.read_bytes()
        started.kill()
    deadline = time.monotonic() + 5
    while command.exists() and command.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not command.exists() or not command.read_bytes()


def test_requests_are_counted(
    proxy: TcpProxy, files: Callable[[str], fsspec.AbstractFileSystem]
) -> None:
    fs = files(proxy.url)
    fs.pipe_file("data/counted", b"content" * 100_000)
    assert fs.cat_file("data/counted", max_concurrency=1) == b"content" * 100_000
    fs.info("data/counted")
    fs.rm_file("data/counted")
    assert proxy.counts == {"PUT": 1, "GET": 1, "HEAD": 1, "DELETE": 1}
    assert [request.path for request in proxy.requests] == ["/data/counted"] * 4
    proxy.forget()
    assert proxy.counts == {}


def test_slow_down(
    server: S3Server, proxy: TcpProxy, files: Callable[[str], fsspec.AbstractFileSystem]
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
    assert get(connection)[0] == 403
    kept = connection.sock
    proxy.fail_next(1)
    connection.request("GET", "/data/none")
    assert connection.sock is kept
    answer = connection.getresponse()
    assert (answer.status, answer.reason) == (503, "Slow Down")
    assert b"<Code>SlowDown</Code>" in answer.read()
    assert connection.sock is None
    assert get(connection)[0] == 403
    connection.close()
    assert [request.fate for request in proxy.requests] == ["passed", "failed", "passed"]

    proxy.forget()
    proxy.fail_next(1, "PUT")
    fs = files(proxy.url)
    fs.pipe_file("data/slow", b"content" * 100_000)
    assert fs.cat_file("data/slow", max_concurrency=1) == b"content" * 100_000
    assert proxy.counts == {"PUT": 2, "GET": 1}


def test_delay(proxy: TcpProxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
    took = []
    for delay in (1.5, 0.0):
        proxy.delay = delay
        began = time.monotonic()
        assert get(connection)[0] == 403
        took.append(time.monotonic() - began)
    connection.close()
    assert took[0] >= 1.5 > took[1]


def test_answers_are_cut(
    server: S3Server, proxy: TcpProxy, files: Callable[[str], fsspec.AbstractFileSystem]
) -> None:
    content = os.urandom(1 << 20)
    fs = files(proxy.url)
    fs.pipe_file("data/cut", content)
    proxy.cut_next(2, 100_000, "GET")
    with pytest.raises(ResponseStreamingError):
        read(server.client(proxy.url), "cut")
    assert fs.cat_file("data/cut", max_concurrency=1) == content
    assert proxy.counts == {"PUT": 1, "GET": 3}


def test_what_is_cut_was_done(server: S3Server, proxy: TcpProxy) -> None:
    client = server.client(proxy.url)
    proxy.cut_next(1, 0, "PUT")
    with pytest.raises(ConnectionClosedError):
        client.put_object(Bucket="data", Key="lost", Body=b"content")
    assert read(client, "lost") == b"content"
    assert [request.fate for request in proxy.requests] == ["cut", "passed"]


def test_without_a_server() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as unused:
        port = unused.server_port
    with TcpProxy("127.0.0.1", port) as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
        with pytest.raises(http.client.RemoteDisconnected):
            get(connection)
        connection.close()
        assert proxy.counts == {"GET": 1}


class _Echo(BaseHTTPRequestHandler):
    """Sends back what came in chunks, in chunks of its own."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for half in (content[:10], content[10:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def test_chunks() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as echo:
        threading.Thread(target=echo.serve_forever, args=(0.02,), daemon=True).start()
        with TcpProxy("127.0.0.1", echo.server_port) as proxy:
            connection = http.client.HTTPConnection("127.0.0.1", proxy.port)
            for i in range(3):
                blocks = [b"block %d" % i] * 1000
                connection.request("PUT", "/", iter(blocks), encode_chunked=True)
                assert connection.getresponse().read() == b"".join(blocks)
            connection.close()
            assert proxy.counts == {"PUT": 3}
        echo.shutdown()
