import asyncio
import errno
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from metacurate.images.decoding import ImageError, inspect
from metacurate.images.fetching import hosts
from metacurate.images.fetching.connecting import failure_of
from metacurate.images.fetching.fetcher import Fetched, Fetcher
from metacurate.images.fetching.statuses import MachineError, Status
from tests.images.fetching.conftest import LIMITS
from tests.images.fetching.fetches import fetch, fetch_all
from tests.images.hostile_server import BUSY, CASES, SPARE_HOSTS, HostileServer, good_image

LINUX = pytest.mark.skipif("sys.platform != 'linux'", reason="127.0.0.2 is there on Linux only")
MAX_PIXELS = 10_000_000
ONCE = {
    "not_found", "forbidden", "http_error", "opted_out", "too_large", "refused_address",
    "refused_scheme", "not_an_image", "bad_answer", "timeout", "too_slow", "empty",
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(running_server: HostileServer) -> dict[str, Fetched]:
    """What becomes of every case, all fetched at once."""
    running_server.reset()
    urls = [running_server.url(path) for path in CASES]
    fetched = fetch_all(urls, per_host=16, total_seconds=6.0, window_seconds=2.0)
    return dict(zip(CASES, fetched, strict=True))


@pytest.mark.parametrize("path", CASES)
def test_every_fault_has_its_status(path: str, outcomes: dict[str, Fetched]) -> None:
    fetched = outcomes[path]
    status = fetched.status
    if fetched.body is not None:
        assert (status, fetched.error) == (Status.SUCCESS, None)
        try:
            inspect(fetched.body, MAX_PIXELS)
        except ImageError as error:
            status = error.status
    else:
        assert fetched.error
        assert "\n" not in fetched.error
    assert status == CASES[path], fetched.error
    assert fetched.seconds < 10
    if status in ONCE:
        assert fetched.tries == 1


@LINUX
@pytest.mark.parametrize(("path", "host"), list(zip(BUSY, SPARE_HOSTS, strict=False)))
def test_every_way_to_be_busy_has_its_status(path: str, host: str, server: HostileServer) -> None:
    assert fetch(server.url(path, host)).status == BUSY[path]


def test_good_images_come_as_they_are(server: HostileServer) -> None:
    paths = [f"/good/{number}" for number in range(50)]
    for path, fetched in zip(paths, fetch_all([server.url(p) for p in paths]), strict=True):
        assert fetched.body == good_image(path)
        assert fetched.final_url == server.url(path)
        assert (fetched.status, fetched.tries) == ("success", 1)
    assert server.requests == dict.fromkeys(paths, 1)


def test_a_redirect_tells_where_it_led(server: HostileServer) -> None:
    fetched = fetch(server.url("/redirects/3"))
    assert fetched.final_url == server.url("/good/1")
    assert fetched.body == good_image("/good/1")
    assert fetch(server.url("/redirects/3"), max_redirects=2).status is Status.TOO_MANY_REDIRECTS


def test_what_may_pass_is_tried_again_as_often_as_is_allowed(server: HostileServer) -> None:
    assert fetch(server.url("/status/500"), tries=4).tries == 4
    assert server.requests["/status/500"] == 4
    assert fetch(server.url("/fails-twice"), tries=2).status is Status.SERVER_ERROR
    assert fetch(server.url("/status/404")).tries == 1


def test_pauses_grow_and_are_the_same_for_a_url_each_time() -> None:
    fetcher = Fetcher(replace(LIMITS, pause_seconds=1.0))
    pauses = [fetcher._pause("http://a/b", tries) for tries in (1, 2, 3)]
    assert pauses == [fetcher._pause("http://a/b", tries) for tries in (1, 2, 3)]
    assert pauses != [fetcher._pause("http://a/c", tries) for tries in (1, 2, 3)]
    for tries, pause in enumerate(pauses):
        assert 0.5 * 2**tries <= pause <= 1.5 * 2**tries


def test_a_host_gets_few_requests_at_once(server: HostileServer) -> None:
    urls = [server.url(f"/slow/{number}") for number in range(12)]
    assert {f.status for f in fetch_all(urls, per_host=3)} == {"success"}
    assert server.most_at_once["127.0.0.1"] == 3


def test_requests_start_apart_where_that_is_asked_for(server: HostileServer) -> None:
    fetch_all([server.url(f"/good/{number}") for number in range(6)], host_pause=0.05)
    starts = server.starts["127.0.0.1"]
    assert starts[-1] - starts[0] > 0.15


@LINUX
def test_retry_after_pauses_the_whole_host_and_no_other(server: HostileServer) -> None:
    async def run() -> list[Fetched]:
        async with Fetcher(replace(LIMITS, connections=2, per_host=1)) as fetcher:
            busy = [server.url(p, "127.0.0.2") for p in ("/busy-once", "/good/1", "/good/2")]
            waiting = [asyncio.create_task(fetcher.fetch(url)) for url in busy]
            await asyncio.sleep(0.1)
            others = [server.url(f"/good/{n}", "127.0.0.3") for n in range(20)]
            await asyncio.gather(*map(fetcher.fetch, others))
            assert not any(task.done() for task in waiting)
            return await asyncio.gather(*waiting)

    assert [f.status for f in asyncio.run(run())] == ["success"] * 3
    first, second, *_ = server.starts["127.0.0.2"]
    assert second - first >= 0.95


@LINUX
def test_a_host_that_wants_to_be_left_alone_for_long_is(server: HostileServer) -> None:
    async def run() -> list[Fetched]:
        async with Fetcher(LIMITS) as fetcher:
            return [
                await fetcher.fetch(server.url(path, "127.0.0.4"))
                for path in ("/busy-hour", "/good/1", "/good/2")
            ]

    first, second, third = asyncio.run(run())
    assert first.status is second.status is third.status is Status.TOO_MANY_REQUESTS
    assert (first.tries, second.tries) == (1, 0)
    assert second.error is not None
    assert "3600 seconds" in second.error
    assert server.requests == {"/busy-hour": 1}


PRIVATE_HOSTS = [
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.1.",
    "0.0.0.0", "0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]",
    "127.0.0.2", "\uff11\uff12\uff17.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE_HOSTS)
def test_this_machine_is_not_reached_by_any_name(host: str, server: HostileServer) -> None:
    fetched = fetch(server.url("/good/1", host), allow=())
    assert fetched.status is Status.REFUSED_ADDRESS, fetched.error
    assert not server.requests


@pytest.mark.parametrize("path", [p for p in CASES if CASES[p].startswith("refused")])
def test_a_redirect_leads_to_no_refused_place(path: str, server: HostileServer) -> None:
    fetched = fetch(server.url(path), allow=(ip_network("127.0.0.1/32"),))
    assert fetched.status.startswith("refused")
    assert server.requests == {path: 1}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Addresses of names, or the error that looking one up raises, or seconds that it takes."""
    known: dict[str, Any] = {}
    others = socket.getaddrinfo

    def look_up(host: str, port: int, *more: Any, **named: Any) -> list[Any]:
        if host not in known:
            return others(host, port, *more, **named)
        found = known[host]
        if isinstance(found, float):
            time.sleep(found)
            found = []
        if isinstance(found, Exception):
            raise found
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.1", "192.168.0.1"], ["::1", "127.0.0.1"], ["fe80::1"]],
)
def test_a_public_name_with_private_addresses_is_refused(
    addresses: list[str], server: HostileServer, names: dict[str, Any]
) -> None:
    names["images.example.com"] = addresses
    fetched = fetch(server.url("/good/1", "images.example.com"), allow=())
    assert fetched.status is Status.REFUSED_ADDRESS
    assert not server.requests


def test_of_several_addresses_only_those_that_may_be_are_dialled(
    server: HostileServer, names: dict[str, Any]
) -> None:
    names["images.example.com"] = ["10.0.0.1", "::1", "127.0.0.1"]
    url = server.url("/good/1", "images.example.com")
    assert fetch(url, allow=(ip_network("127.0.0.1/32"),)).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("found", "status", "tries"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Status.NO_SUCH_HOST, 1),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Status.DNS_FAILURE, 2),
        (UnicodeError("label too long"), Status.NO_SUCH_HOST, 1),
        (0.5, Status.CONNECT_TIMEOUT, 2),
    ],
)
def test_names_that_are_not_found(
    found: Any, status: Status, tries: int, names: dict[str, Any]
) -> None:
    names["images.example.com"] = found
    seconds = 0.1 if found == 0.5 else 5.0
    fetched = fetch("http://images.example.com/a.jpg", connect_seconds=seconds, tries=2)
    assert (fetched.status, fetched.tries) == (status, tries), fetched.error


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("", Status.BAD_URL), ("no url", Status.BAD_URL), ("/a/b.jpg", Status.BAD_URL),
        ("http://", Status.BAD_URL), ("http://[::1", Status.BAD_URL), ("http:///a", Status.BAD_URL),
        ("http://a:99999/", Status.BAD_URL), ("http://a:b/", Status.BAD_URL),
        ("http://a:0/", Status.BAD_URL), ("//host/a.jpg", Status.BAD_URL),
        ("http://\udcff/", Status.BAD_URL), ("file:///etc/passwd", Status.REFUSED_SCHEME),
        ("FTP://host/a", Status.REFUSED_SCHEME),
        ("data:image/png;base64,AA", Status.REFUSED_SCHEME),
        ("javascript:alert(1)", Status.REFUSED_SCHEME),
        ("data:" + "a" * 1_000_000, Status.REFUSED_SCHEME),
    ],
)  # fmt: skip
def test_urls_that_are_none_or_not_of_http(url: str, status: Status) -> None:
    fetched = fetch(url)
    assert (fetched.status, fetched.tries, fetched.final_url) == (status, 0, None), fetched.error


@pytest.mark.parametrize("path", ["/good/a b", "/good/\u00e9", "/good/%C3%A9", "/good/a?b=c&d#e"])
def test_urls_are_sent_as_browsers_send_them(path: str, server: HostileServer) -> None:
    assert fetch("  " + server.url(path)).status is Status.SUCCESS
    (sent,) = server.requests
    assert sent in ("/good/a%20b", "/good/%C3%A9", "/good/a?b=c&d")


def test_names_and_passwords_are_not_sent(server: HostileServer) -> None:
    url = server.url("/good/1").replace("//", "//name:password@")
    assert fetch(url).final_url == server.url("/good/1")
    assert fetch(server.url("/to/userinfo")).status is Status.SUCCESS
    for path in ("/good/1", "/good/3"):
        assert "authorization" not in server.headers[path]


def test_requests_say_who_asks_and_for_what(server: HostileServer) -> None:
    fetch(server.url("/good/1"), user_agent="test-agent/1")
    sent = server.headers["/good/1"]
    assert sent["user-agent"] == "test-agent/1"
    assert sent["accept-encoding"] == "identity"
    assert "cookie" not in sent


def test_a_connection_is_kept_only_where_others_wait_for_the_host(server: HostileServer) -> None:
    fetch(server.url("/good/1"))
    fetch_all([server.url(f"/good/{number}") for number in (2, 3, 4)], per_host=1)
    asked = [server.headers[f"/good/{number}"].get("connection") for number in (1, 2, 3, 4)]
    assert asked == ["close", "close", None, "close"]  # the first can't know of others yet


def test_the_environment_sets_no_proxy(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert fetch(server.url("/good/1")).status is Status.SUCCESS


def test_opting_out_can_be_passed_over(server: HostileServer) -> None:
    assert fetch(server.url("/noai"), respect_opt_out=False).status is Status.SUCCESS


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    fetched = fetch(f"http://127.0.0.1:{port}/")
    assert (fetched.status, fetched.tries) == (Status.UNREACHABLE, 1)


def test_tls_that_is_none_and_tls_that_hangs(server: HostileServer) -> None:
    async def run() -> Fetched:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
            await writer.drain()
            writer.close()

        plain = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = plain.sockets[0].getsockname()[1]
        async with plain, Fetcher(LIMITS) as fetcher:
            return await fetcher.fetch(f"https://127.0.0.1:{port}/a.jpg")

    assert asyncio.run(run()).status is Status.TLS_ERROR
    hangs = server.url("/good/1").replace("http:", "https:")
    fetched = fetch(hangs, connect_seconds=0.3, tries=1)
    assert fetched.status is Status.CONNECT_TIMEOUT


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
        + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def run() -> Fetched:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        served = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = served.sockets[0].getsockname()[1]
        async with served, Fetcher(LIMITS) as fetcher:
            return await fetcher.fetch(f"https://127.0.0.1:{port}/a.jpg")

    fetched = asyncio.run(run())
    assert fetched.status is Status.TLS_ERROR
    assert fetched.error is not None
    assert "certificate" in fetched.error


def test_a_fetch_can_be_cancelled_and_leaves_nothing_behind(server: HostileServer) -> None:
    async def run() -> None:
        limits = replace(LIMITS, connections=1, per_host=1, total_seconds=30)
        async with Fetcher(limits) as fetcher:
            urls = [server.url(p) for p in ("/hangs", "/hangs-in-body", "/good/1")]
            tasks = [asyncio.create_task(fetcher.fetch(url)) for url in urls]
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} == {asyncio.CancelledError}
            assert len(fetcher._hosts) == 0
            assert (await fetcher.fetch(server.url("/good/2"))).status is Status.SUCCESS

    asyncio.run(run())


def test_a_host_that_never_answers_does_not_hold_up_the_rest(
    server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "SILENT_SECONDS", 0.1)
    urls = [server.url(f"/hangs?{number}") for number in range(40)]
    fetched = fetch_all(urls, per_host=4, total_seconds=0.3)
    assert {f.status for f in fetched} == {Status.TIMEOUT}
    assert sum(server.requests.values()) < 15


def test_signed_urls_are_sent_as_they_are(server: HostileServer) -> None:
    path = "/good/a%7Eb?x=%2C%3D%21&sig=a%2Fb%3D%3D&y"
    assert fetch(server.url(path)).status is Status.SUCCESS
    assert server.requests[path] == 1


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_faults_of_this_machine_are_no_images(error: BaseException) -> None:
    with pytest.raises(MachineError, match="no room for more connections"):
        failure_of(error)
