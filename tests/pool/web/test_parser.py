"""Pages are parsed in another process, which a page may cost."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from metacurate.engine.stage import StoppedError
from metacurate.errors import MetacurateError
from metacurate.pool.web import parser as parser_module
from metacurate.pool.web.harvest import Harvest
from metacurate.pool.web.html import read_html
from metacurate.pool.web.parser import Parser, RawPage

URL = "http://page.example/"
SLOW = RawPage(URL, "", b"<img " + b" ".join(b"a%d=1" % i for i in range(200_000)) + b">")


@pytest.fixture(scope="module")
def parser() -> Iterator[Parser]:
    parser = Parser(seconds=1.0)
    yield parser
    parser.close()


def page(number: int) -> RawPage:
    return RawPage(f"{URL}{number}", "utf-8", f"<img src={number}.jpg alt='é {number}'>".encode())


def test_pages_are_read_as_in_this_process(parser: Parser) -> None:
    pages = [page(number) for number in range(5)]
    here = Harvest()
    for one in pages:
        read_html(one.content, one.url, here)
    assert parser.harvest(pages) == here
    assert parser.harvest([]) == Harvest()


def test_charsets(parser: Parser) -> None:
    content = "<img src=a.jpg alt='é'>".encode("latin-1")
    assert parser.harvest([RawPage(URL, "iso-8859-1", content)]).texts == ["é"]
    assert parser.harvest([RawPage(URL, "", b"\xef\xbb\xbf<img src=a.jpg alt=x>")]).texts == ["x"]


def test_a_page_that_takes_too_long_is_cut_off_and_counted(parser: Parser) -> None:
    began = time.monotonic()
    found = parser.harvest([page(0), SLOW, page(1), page(2)])
    assert time.monotonic() - began < 30
    assert found.texts == ["é 0", "é 1", "é 2"]
    assert found.counts["page_took_too_long"] == 1
    assert found.counts["pages"] == 3


@pytest.mark.parametrize("kills", [1, 2])
def test_a_page_that_breaks_the_parser_twice_is_counted(
    kills: int, parser: Parser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once may be the system's doing, as where memory is short."""
    parser.harvest([page(0)])
    assert parser._process is not None
    began = [parser._process.pid]
    killed: list[int] = []
    begin = parser._begin

    def note() -> None:
        begin()
        assert parser._process is not None
        began.append(parser._process.pid)

    monkeypatch.setattr(parser, "_begin", note)

    def kill() -> None:
        while len(killed) < kills:
            time.sleep(0.3)
            if began[-1] not in [None, *killed]:
                killed.append(began[-1] or 0)
                os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = parser.harvest([page(0), SLOW, page(1)])
    thread.join()
    assert found.texts == ["é 0", "é 1"]
    reason = "page_took_too_long" if kills == 1 else "page_broke_the_parser"
    assert found.counts[reason] == 1


def test_a_run_that_ends_does_not_wait_for_a_page() -> None:
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise StoppedError

    parser = Parser(60.0, check)
    parser.harvest([page(0)])
    threading.Timer(0.5, stop.set).start()
    began = time.monotonic()
    with pytest.raises(StoppedError):
        parser.harvest([SLOW])
    assert time.monotonic() - began < 20
    stop.clear()
    assert parser.harvest([page(1)]).texts == ["é 1"]  # and not what the slow one gives
    parser.close()


def test_a_process_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser_module, "START_SECONDS", 0.0)
    with pytest.raises(MetacurateError, match="does not start"):
        Parser().harvest([page(0)])
