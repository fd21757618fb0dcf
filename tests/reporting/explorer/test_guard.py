"""Whom the explorer answers: pages and programs of this machine that read, and nobody else."""

import threading
import time
from pathlib import Path

import pytest

from metacurate.errors import InputError
from metacurate.reporting.explorer.tables import Patience, Tables, TooSlowError

from .served import Served

SAFE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
FETCH = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


def policy_of(headers: dict[str, str]) -> dict[str, str]:
    parts = (part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    return dict(parts)


@pytest.mark.parametrize(
    "path", ["/", "/pairs", "/static/explorer.js", "/nope", "/pairs?x=1", "/try?text=fox"]
)
def test_headers_of_all_answers(served: Served, path: str) -> None:
    response, _ = served.ask(path)
    headers = {name.lower(): value for name, value in response.getheaders()}
    assert SAFE.items() <= headers.items()
    assert "access-control-allow-origin" not in headers
    assert policy_of(headers) == {
        "default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
        "img-src": "'self'", "connect-src": "'self'", "base-uri": "'none'",
        "form-action": "'self'", "frame-ancestors": "'none'",
    }  # fmt: skip


def test_images_are_allowed_where_they_are_asked_for(served: Served) -> None:
    for path in ("/pairs?images=all", "/pairs?images=3", "/pair?images=all&row=1"):
        response, text = served.ask(path)
        assert policy_of(dict(response.getheaders()))["img-src"] == "'self' http: https:"
        assert '<img class="picture"' in text
    for path in ("/pairs", "/pairs?images=24000", "/?q=images"):
        response, text = served.ask(path)
        assert policy_of(dict(response.getheaders()))["img-src"] == "'self'"
        assert "<img" not in text


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}"])
def test_own_names(served: Served, host: str) -> None:
    assert served.ask("/", {"Host": host.format(served.port)})[0].status == 200


@pytest.mark.parametrize(
    "host", ["evil.example:{}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{}", "0:{}", ""]
)
def test_other_names_that_lead_here(served: Served, host: str) -> None:
    response, text = served.ask("/", {"Host": host.format(served.port)})
    assert response.status in (400, 421)
    assert "entries" not in text.lower() or "can" in text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:{}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "https://127.0.0.1:{}"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "none", **LINK}, 200),
        ({"Sec-Fetch-Site": "same-origin", **FETCH}, 200),
        ({"Sec-Fetch-Site": "cross-site", **LINK}, 200),
        ({"Sec-Fetch-Site": "same-site", **LINK}, 200),
        ({"Sec-Fetch-Site": "cross-site", **FETCH}, 403),
        ({"Sec-Fetch-Site": "same-site", **FETCH}, 403),
        ({"Sec-Fetch-Site": "cross-site", **LINK, "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Length": "5"}, 413),
        ({"Transfer-Encoding": "chunked"}, 413),
        ({"X-Long": "x" * 20_000}, 431),
    ],
)
def test_who_asks(served: Served, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(served.port) for name, value in headers.items()}
    assert served.ask("/", given)[0].status == status


def test_a_link_elsewhere_asks_for_no_images(served: Served) -> None:
    given = {"Sec-Fetch-Site": "cross-site", **LINK}
    assert served.ask("/pairs?fate=all", given)[0].status == 200
    assert served.ask("/pairs?images=all", given)[0].status == 403
    assert served.ask("/pairs?fate=all&%69mages=all", given)[0].status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_it_only_shows(served: Served, method: str) -> None:
    response, _ = served.ask("/", method=method)
    assert response.status == 405
    assert response.getheader("allow") == "GET, HEAD"


def test_head(served: Served) -> None:
    response, text = served.ask("/", method="HEAD")
    assert (response.status, text) == (200, "")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/static/../app.py", 404),
        ("/static/..%2fapp.py", 404),
        ("/static/%2e%2e/templates/page.html", 404),
        ("/static//etc/passwd", 404),
        ("//etc/passwd", 404),
        ("/static/", 404),
        ("/" + "a" * 300, 414),
        ("/?q=" + "a" * 9000, 414),
        ("/?q=" + "a" * 4001, 400),
        ("/pairs?entry=999999", 404),
        ("/pairs?entry=x", 400),
        ("/pairs?entry=1&entry=2", 400),
        ("/pairs?domain=%FF", 400),
        ("/pair?file=7", 404),
        ("/pair?shelf=..", 400),
        ("/try?text=%ED%A0%80", 400),  # half of a surrogate pair
    ],
)
def test_addresses_that_lead_nowhere(served: Served, path: str, status: int) -> None:
    response, text = served.ask(path)
    assert response.status == status
    assert "Traceback" not in text
    assert "<h1>This can" in text


def test_parameters_are_no_sql(served: Served) -> None:
    for value in ("' OR 1=1 --", '"; DROP TABLE x', "%' UNION SELECT * FROM '/etc/passwd"):
        assert "There is no such pair" in served.page("/pairs", fate="all", domain=value)
        assert "There is no such pair" in served.page("/pairs", language=value)
        assert "0 entries" in served.page("/", q=value)


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    tables = Tables([])
    query = "SELECT count(*) FROM range(1000000000) a, range(1000) b WHERE a.range + b.range = ?"
    slow = query.replace("SELECT", "SELECT ?,", 1)
    with pytest.raises(TooSlowError, match=r"longer than 0\.2 seconds"):
        tables.ask("x", slow, [1], Patience(0.2))
    gone = Patience(60)
    threading.Timer(0.2, gone.stop).start()
    began = time.monotonic()
    with pytest.raises(TooSlowError):
        tables.ask("x", slow, [1], gone)
    assert time.monotonic() - began < 30
    with pytest.raises(TooSlowError):
        tables.ask("x", "SELECT ?", [], gone)
    with pytest.raises(InputError, match="x: can't be read"):
        tables.ask("x", "SELECT ? FROM", [], Patience(60))
