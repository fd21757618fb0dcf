"""The explorer at work in this process, and what one reads on its pages without a browser."""

import html
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import uvicorn

from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer.app import make_app
from metacurate.reporting.explorer.connections import configure

PAIR = re.compile(r'class="pair" data-file="(\d+)" data-row="(\d+)" data-fate="(\w+)"')
NEXT = re.compile(r'rel="next" href="([^"]+)"')
READY_SECONDS = 60


@dataclass(frozen=True)
class Served:
    """An explorer that answers.

    Attributes:
        port: that it listens at.
    """

    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        timeout: float = 30,
    ) -> tuple[HTTPResponse, str]:
        """One request, as it is: no library makes anything of the path."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": f"127.0.0.1:{self.port}", **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return response, response.read().decode()
        finally:
            connection.close()

    def page(self, path: str, **parameters: object) -> str:
        """A page that must be there, once all it needs is loaded."""
        query = f"{path}?{urlencode(parameters)}" if parameters else path
        end = time.monotonic() + READY_SECONDS
        while True:
            response, text = self.ask(query)
            if response.status != 503 or time.monotonic() > end:
                assert response.status == 200, (query, text)
                return text

    def all_pairs(self, **parameters: object) -> list[tuple[int, int, str]]:
        """File, row and fate of all pairs, page after page."""
        found: list[tuple[int, int, str]] = []
        text = self.page("/pairs", **parameters)
        while True:
            found += [(int(file), int(row), fate) for file, row, fate in PAIR.findall(text)]
            link = NEXT.search(text)
            if link is None:
                return found
            text = self.page(html.unescape(link[1]))


@contextmanager
def serve(out: str | Path) -> Iterator[Served]:
    """Serve an output folder at a free port of this machine."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        app = make_app(CuratedSet.read(str(out)), port)
        server = uvicorn.Server(configure(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Served(port)
        finally:
            server.should_exit = True
            thread.join()
