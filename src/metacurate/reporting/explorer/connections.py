"""Connections to the explorer: few, and closed when no whole request comes of them."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from metacurate.reporting.explorer.guard import App

CONNECTIONS = 64
PATIENCE = 1  # second, for what is being answered when it is to end
REQUEST_SECONDS = 10.0  # that the head of a request may take


class Connection(H11Protocol):
    """A connection; those that stay silent or stop halfway would keep others out, 64 being all."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # it is being answered
            self._stop_watching()
        elif self._timer is None:
            self._timer = self.loop.call_later(REQUEST_SECONDS, self._end)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.transport.close()


def configure(app: App) -> Any:
    """How uvicorn serves the explorer.

    Args:
        app: of ASGI.
    """
    return uvicorn.Config(
        app, http=Connection, ws="none", lifespan="off", log_level="error", access_log=False,
        server_header=False, limit_concurrency=CONNECTIONS, proxy_headers=False,
        timeout_graceful_shutdown=PATIENCE,
    )  # fmt: skip
