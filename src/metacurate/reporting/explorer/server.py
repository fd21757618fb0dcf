"""The explorer's server: on this machine only, until Ctrl-C ends it."""

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

from metacurate.errors import MetacurateError, UsageError
from metacurate.reporting.curated_set import CuratedSet

HOST = "127.0.0.1"
PORT = 8765
MAX_PORT = 65_535


def serve(out: str, port: int, started: Callable[[str], object]) -> None:
    """Serve pages about a curated set until someone interrupts.

    Args:
        out: output folder. port: to listen at; 0 for any that is free.
        started: told the address, once it can be opened.

    Raises:
        UsageError: when no finished curated set is there, or the port is none.
        MetacurateError: when the port is in use, a file is broken, or a package is missing.
    """
    if not 0 <= port <= MAX_PORT:
        raise UsageError(f"port {port} is not between 0 and {MAX_PORT}")
    try:
        import duckdb  # noqa: F401 - told of now, rather than on the first page
        import uvicorn

        from metacurate.reporting.explorer.app import make_app
        from metacurate.reporting.explorer.connections import configure
    except ImportError as error:
        raise MetacurateError(
            'the explorer needs packages of its own: pip install "metacurate[report]"'
        ) from error
    with closing(_listen(port)) as listening:
        port = listening.getsockname()[1]
        app = make_app(CuratedSet.read(out), port)
        config = configure(app)
        _run(uvicorn.Server, config, listening, lambda: started(f"http://{HOST}:{port}/"))


def _run(kind: Any, config: Any, listening: socket.socket, started: Callable[[], object]) -> None:
    class Server(kind):  # type: ignore[misc]
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started()  # by now Ctrl-C is listened for, too

    try:
        Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # how it is meant to be ended
        return


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio sends answers at once: else each would wait 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()  # from now on no other explorer can take the port
    except OSError as error:
        listening.close()
        raise MetacurateError(
            f"port {port} can't be used ({error.strerror}): give another with --port, or 0 for "
            "any that is free"
        ) from error
    return listening
