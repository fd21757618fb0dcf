"""What the explorer answers at all: requests of its own pages, on this machine, that only read.

Other pages in the same browser can send requests to it, and a name that someone else owns can be
made to lead to 127.0.0.1: so the host must be this one by its own names, and whatever tells that
another page asks is refused, but for following a link.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from metacurate.reporting.explorer.addresses import MAX_QUERY

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Refused = Callable[[int, str], str]

MAX_HEADERS = 16_384  # bytes
MAX_PATH = 256  # bytes
METHODS = (b"GET", b"HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache, private",
}


def policy(images: bool = False) -> str:
    """The content security policy of a page.

    Args:
        images: whether it may load images from the web.
    """
    return POLICY.format(images="'self' http: https:" if images else "'self'")


class Guard:
    """Stands before an app, refuses what it must not see, and adds headers to each answer."""

    def __init__(self, app: App, port: int, refused: Refused) -> None:
        """Guard an app.

        Args:
            app: of ASGI. port: that it is reached at.
            refused: makes a page of a status and a reason.
        """
        self._app = app
        self._refused = refused
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:
            self._hosts |= {"127.0.0.1", "localhost", "[::1]"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                added = {"content-security-policy": policy(), **HEADERS}
                more = [
                    (name.encode(), value.encode())
                    for name, value in added.items()
                    if name.encode() not in given
                ]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_guarded)
            return
        status, reason = refusal
        body = self._refused(status, reason).encode()
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", b", ".join(METHODS)))
        await send_guarded({"type": "http.response.start", "status": status, "headers": headers})
        shown = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.body", "body": shown})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = [host.decode("latin-1").lower() for host in headers.get(b"host", [])]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return HTTPStatus.MISDIRECTED_REQUEST, "This address is not the explorer's own."
        if scope["method"].encode() not in METHODS:
            return HTTPStatus.METHOD_NOT_ALLOWED, "The explorer only shows: it takes GET and HEAD."
        if b"transfer-encoding" in headers or headers.get(b"content-length", [b"0"]) != [b"0"]:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A request has no body here."
        if len(scope.get("raw_path") or b"") > MAX_PATH or len(scope["query_string"]) > MAX_QUERY:
            return HTTPStatus.REQUEST_URI_TOO_LONG, "This address is too long."
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too long."
        own = {f"http://{host}".encode() for host in self._hosts}
        if any(origin.lower() not in own for origin in headers.get(b"origin", [])):
            return HTTPStatus.FORBIDDEN, "Another page asks: it is not answered."
        return self._foreign(headers, scope["query_string"])

    @staticmethod
    def _foreign(headers: dict[bytes, list[bytes]], query: bytes) -> tuple[int, str] | None:
        """Refuse what a browser says another page asks for, unless someone follows a link."""
        sites = headers.get(b"sec-fetch-site", [b"none"])
        if all(site in (b"same-origin", b"none") for site in sites):
            return None  # programs that are no browsers tell nothing
        follows = headers.get(b"sec-fetch-mode") == [b"navigate"] and headers.get(
            b"sec-fetch-dest"
        ) == [b"document"]
        if not follows:
            return HTTPStatus.FORBIDDEN, "Another page asks: it is not answered."
        names = (unquote_to_bytes(part.partition(b"=")[0]) for part in query.split(b"&"))
        if b"images" in names:  # whoever follows a link has not asked for images
            return HTTPStatus.FORBIDDEN, "Images are shown when the explorer's own page asks only."
        return None
