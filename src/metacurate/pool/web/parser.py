"""Pages are parsed in a process of their own: one that takes too long, or breaks it, costs itself.

Parsers of HTML are written in C and can't be interrupted; there are pages on which the best of them
take a minute (a tag with 200,000 attributes), or hours.
"""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeAlias

import msgspec
from selectolax.lexbor import SelectolaxError

from metacurate.engine.local import ignore_interrupts_and_end_with_parent
from metacurate.errors import MetacurateError
from metacurate.pool.web.encoding import to_text
from metacurate.pool.web.harvest import Harvest
from metacurate.pool.web.html import read_html

SECONDS = 10.0  # for a page, which takes half a millisecond
TOO_LONG = "page_took_too_long"
BROKE = "page_broke_the_parser"

START_SECONDS = 60.0
READY = b"ready"
POLL = 0.2  # seconds between two looks at whether the run is to end


class RawPage(NamedTuple):
    """A page as an archive holds it.

    Attributes:
        url: its own. charset: that the server tells, or "". content: its bytes.
    """

    url: str
    charset: str
    content: bytes


Columns: TypeAlias = list[str]

_encoder = msgspec.msgpack.Encoder()
_pages = msgspec.msgpack.Decoder(list[RawPage])
_harvests = msgspec.msgpack.Decoder(tuple[Columns, Columns, Columns, Columns, int, dict[str, int]])


class Parser:
    """A process that parses pages; another one is begun when it was lost."""

    def __init__(self, seconds: float = SECONDS, check: Callable[[], None] = lambda: None) -> None:
        """Begin nothing yet.

        Args:
            seconds: for a page, at most. check: called while a page is waited for; may raise.
        """
        self._seconds = seconds
        self._check = check
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection

    def harvest(self, pages: Sequence[RawPage]) -> Harvest:
        """Take the pairs of pages; the ones that are lost are counted.

        Args:
            pages: some, which are sent together.

        Raises:
            MetacurateError: when no process can be begun.
        """
        harvest = Harvest()
        done = 0
        suspect = -1  # a page with which a process ended: another one may do it
        while done < len(pages):
            for found in self._parsed(pages[done:]):
                if found.counts[BROKE] and suspect != done:
                    suspect = done
                    break
                harvest.extend(found)
                done += 1
        return harvest

    def _parsed(self, pages: Sequence[RawPage]) -> Iterator[Harvest]:
        """What pages hold, up to the first one that is lost."""
        self._begin()
        try:
            self._pipe.send_bytes(_encoder.encode(pages))
            for _ in pages:
                if not self._answers():
                    yield Harvest(counts=Counter({TOO_LONG: 1}))
                    break
                yield _read_harvest(self._pipe.recv_bytes())
            else:
                return
        except (EOFError, OSError):
            self.close()
            yield Harvest(counts=Counter({BROKE: 1}))
            return
        except BaseException:  # what the process is at would be taken for an answer later
            self.close()
            raise
        self.close()

    def _answers(self) -> bool:
        """Wait for an answer; whether one comes in time."""
        end = time.monotonic() + self._seconds
        while (left := end - time.monotonic()) > 0:
            if self._pipe.poll(min(left, POLL)):
                return True
            self._check()
        return False

    def _begin(self) -> None:
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            with suppress(EOFError):
                if self._pipe.poll(START_SECONDS) and self._pipe.recv_bytes() == READY:
                    return
            self.close()
            raise MetacurateError("the process that parses pages does not start")

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def _read_harvest(message: bytes) -> Harvest:
    *columns, size, counts = _harvests.decode(message)
    urls, texts, attributes, pages = columns
    return Harvest(urls, texts, attributes, pages, size, Counter(counts))


def _serve(pipe: Connection) -> None:
    """Parse pages until nobody asks any more."""
    ignore_interrupts_and_end_with_parent()
    with suppress(EOFError, OSError):
        pipe.send_bytes(READY)
        while True:
            for page in _pages.decode(pipe.recv_bytes()):
                harvest = _harvest(page)
                pipe.send_bytes(
                    _encoder.encode(tuple(getattr(harvest, f.name) for f in fields(harvest)))
                )


def _harvest(page: RawPage) -> Harvest:
    harvest = Harvest()
    try:
        read_html(to_text(page.content, page.charset or None), page.url, harvest)
    except SelectolaxError:
        return Harvest(counts=Counter({BROKE: 1}))
    return harvest
