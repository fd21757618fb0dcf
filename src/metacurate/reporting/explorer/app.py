"""The explorer as an ASGI app: addresses, the pages they lead to, and what errors look like."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from metacurate.errors import MetacurateError, UsageError
from metacurate.reporting.curated_set import CuratedSet
from metacurate.reporting.explorer.addresses import (
    EntriesView,
    ImageView,
    PairsView,
    PairView,
    SentenceView,
    View,
)
from metacurate.reporting.explorer.explorer import Explorer, NotReadyError
from metacurate.reporting.explorer.guard import App, Guard, policy
from metacurate.reporting.explorer.pages import Answer, NotFoundError, Pages
from metacurate.reporting.explorer.tables import Patience, TooSlowError

log = logging.getLogger(__name__)

Shown = TypeVar("Shown", bound=View)
Made = TypeVar("Made")

SECONDS = 20.0  # that a page may take
AT_ONCE = 4  # pages that are made together; others wait
STATIC = {
    "explorer.css": "text/css",
    "explorer.js": "text/javascript",
    "explorer.svg": "image/svg+xml",
}


def make_app(curated: CuratedSet, port: int) -> App:
    """Make the app.

    Args:
        curated: what to show. port: that it is reached at, on this machine.
    """
    pages = Pages(Explorer(curated))
    threads = ThreadPoolExecutor(AT_ONCE, "page")

    def route(kind: type[Shown], make: Callable[[Shown, Patience], Answer]) -> Route:
        async def endpoint(request: Request) -> Response:
            view = kind.parse(request.scope["query_string"])
            return _response(await _made(request, partial(make, view), threads))

        return Route(kind.path, endpoint)

    async def image(request: Request) -> Response:
        view = ImageView.parse(request.scope["query_string"])
        found = await _made(request, partial(pages.image, view), threads)
        return Response(found.content, media_type=found.media_type)

    async def tell(_: Request, error: Exception) -> Response:
        return _problem(pages, error)

    app = Starlette(
        routes=[
            route(EntriesView, pages.entries),
            route(PairsView, pages.pairs),
            route(PairView, pages.pair),
            route(SentenceView, pages.sentence),
            Route(ImageView.path, image),
            *(_static(name, kind) for name, kind in STATIC.items()),
        ],
        exception_handlers={MetacurateError: tell, HTTPException: tell, Exception: tell},
    )
    app.router.redirect_slashes = False
    return Guard(app, port, lambda status, reason: pages.problem(status, reason).html)


async def _made(
    request: Request, make: Callable[[Patience], Made], threads: ThreadPoolExecutor
) -> Made:
    """Make what is asked for in a thread; break it off when nobody waits for it any more."""
    patience = Patience(SECONDS)
    gone = asyncio.create_task(_when_gone(request.receive, patience))
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, make, patience)
    finally:
        patience.stop()
        gone.cancel()


async def _when_gone(receive: Callable[[], Awaitable[object]], patience: Patience) -> None:
    while True:
        message = await receive()
        if isinstance(message, dict) and message["type"] == "http.disconnect":
            patience.stop()
            return


def _response(answer: Answer) -> Response:
    headers = {"content-security-policy": policy(answer.images)}
    return HTMLResponse(answer.html, answer.status, headers)


def _problem(pages: Pages, error: Exception) -> Response:
    again = isinstance(error, NotReadyError)
    if isinstance(error, HTTPException):
        status, reason = error.status_code, f"{HTTPStatus(error.status_code).phrase}."
    elif isinstance(error, MetacurateError):
        reason = str(error)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        for kind, code in (
            (UsageError, HTTPStatus.BAD_REQUEST),
            (NotFoundError, HTTPStatus.NOT_FOUND),
            (NotReadyError, HTTPStatus.SERVICE_UNAVAILABLE),
            (TooSlowError, HTTPStatus.GATEWAY_TIMEOUT),
        ):
            if isinstance(error, kind):
                status = code
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        reason = "The explorer failed: its terminal tells how."
    response = _response(pages.problem(int(status), reason, again))
    if again:
        response.headers["retry-after"] = "2"
    return response


def _static(name: str, kind: str) -> Route:
    content = files("metacurate.reporting.explorer").joinpath("static", name).read_bytes()

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=f"{kind}; charset=utf-8")

    return Route(f"/static/{name}", endpoint)
