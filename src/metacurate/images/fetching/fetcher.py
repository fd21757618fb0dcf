"""Fetching images over HTTP from servers that nobody vouches for."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

from metacurate.errors import MetacurateError
from metacurate.images.fetching.addresses import is_odd_address
from metacurate.images.fetching.bodies import LARGE_AT_ONCE, read_body
from metacurate.images.fetching.headers import opts_out, retry_after
from metacurate.images.fetching.hosts import MOST_ROUNDS, Host, Hosts
from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import FetchError, Status

try:
    from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar
    from yarl import URL

    from metacurate.images.fetching.connecting import Resolver, failure_of, make_connector
except ModuleNotFoundError as missing:
    if missing.name not in ("aiohttp", "yarl"):
        raise
    raise MetacurateError(
        'images are fetched by aiohttp: pip install "metacurate[images]"'
    ) from missing

Use = Callable[[bytes], Awaitable[None]]

AS_IT_IS = re.compile(
    r"https?://[A-Za-z0-9.:\[\]-]+(?:[/?#](?:[!$&-;=?@A-Z\[\]_a-z~#]|%[0-9A-Fa-f]{2})*)?",
    re.IGNORECASE,
)
REDIRECTS = frozenset({301, 302, 303, 307, 308})
BY_CODE = {
    401: Status.FORBIDDEN, 403: Status.FORBIDDEN, 404: Status.NOT_FOUND, 410: Status.NOT_FOUND,
    429: Status.TOO_MANY_REQUESTS, 451: Status.FORBIDDEN,
}  # fmt: skip
ACCEPT = "image/avif,image/webp,image/*,*/*;q=0.5"
# Causes that say something about the host, not about the one image.
NO_ANSWER = frozenset({
    Status.NO_SUCH_HOST, Status.DNS_FAILURE, Status.UNREACHABLE, Status.TLS_ERROR,
    Status.CONNECT_TIMEOUT, Status.TIMEOUT,
})  # fmt: skip
LINE_LIMIT = 8190  # bytes of a status line or a header
MOST_HEADERS = 128


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of a URL.

    Attributes:
        status: `success`, or the cause why there are no bytes.
        error: what happened, in one line; None with success.
        body: the bytes; None without success.
        final_url: what the last redirect led to; None where no request was sent.
        tries: how often it was tried; 0 where the URL or its host is refused at once.
        seconds: from the call to its end, pauses and waiting for one's turn included.
    """

    status: Status
    error: str | None
    body: bytes | None
    final_url: str | None
    tries: int
    seconds: float


class _Course:
    """How far a fetch has come."""

    __slots__ = ("answer_from", "requests", "tries", "waits")

    def __init__(self) -> None:
        self.answer_from: str | None = None
        self.tries = 0
        self.waits = 0  # tries that did not count
        self.requests = 0  # of this try


class Fetcher:
    """Fetches images: an async context manager, for one event loop.

    Any number of fetches may wait at once. They are to be many more than there are connections,
    so that those that wait for a host's turn do not keep connections from the others.
    """

    def __init__(self, limits: FetchLimits | None = None) -> None:
        """Prepare; nothing is connected yet.

        Args:
            limits: what a fetch may take.
        """
        self._limits = limits or FetchLimits()

    async def __aenter__(self) -> Self:
        """Begin, on the running loop."""
        limits = self._limits
        self._hosts = Hosts(limits)
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._resolver = Resolver(limits.connections)
        self._session = ClientSession(
            connector=make_connector(limits, self._resolver),
            cookie_jar=DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=ClientTimeout(total=None, connect=limits.connect_seconds),
            max_line_size=LINE_LIMIT,
            max_field_size=LINE_LIMIT,
            max_headers=MOST_HEADERS,
            headers={
                "User-Agent": limits.user_agent,
                "Accept": ACCEPT,
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections; fetches that are under way end with an error."""
        await self._session.close()
        await self._resolver.close()

    async def fetch(self, url: str, use: Use | None = None) -> Fetched:
        """Fetch an image; its bytes are not looked at.

        A name and a password in a URL are left out: they are not the pool's to give away.

        Args:
            url: http or https.
            use: is given the bytes, and counts as one of the connections until it is done: where
                it is slower than servers are, few images wait in memory.

        Returns:
            What became of it, whatever the server does.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        course = _Course()
        while True:
            try:
                body = await self._try(url, course, use)
            except FetchError as error:
                if error.waits and course.waits < MOST_ROUNDS:  # the host's turn makes us wait
                    course.waits += 1
                    course.tries -= 1
                    continue
                if not error.passing or course.tries >= self._limits.tries:
                    taken = loop.time() - began
                    return Fetched(
                        error.status, str(error), None, course.answer_from, course.tries, taken
                    )
                await asyncio.sleep(self._pause(url, course.tries))
                continue
            taken = loop.time() - began
            return Fetched(Status.SUCCESS, None, body, course.answer_from, course.tries, taken)

    async def _try(self, url: str, course: _Course, use: Use | None) -> bytes:
        """Follow a URL to its end once."""
        loop = asyncio.get_running_loop()
        left = self._limits.total_seconds
        target = _parse(url)
        course.requests = 0
        for _ in range(self._limits.max_redirects + 1):
            async with (
                AsyncExitStack() as held,
                self._hosts.turn(target.raw_host or "") as host,
            ):
                if not course.requests:
                    course.tries += 1
                course.requests += 1
                course.answer_from = str(target)
                started = loop.time()
                found = await self._request(target, host, left, held)
                if use is not None and isinstance(found, bytes):
                    await use(found)
            if isinstance(found, bytes):
                return found
            left -= loop.time() - started
            target = found
        raise FetchError(
            Status.TOO_MANY_REDIRECTS, f"more than {self._limits.max_redirects} redirects"
        )

    async def _request(
        self, target: URL, host: Host, seconds: float, held: AsyncExitStack
    ) -> bytes | URL:
        """Send one request, and tell the host's book-keeping how it went.

        Args:
            target, host: whom to ask. seconds: until the time is up.
            held: keeps what a large body has taken, until it was used.

        Returns:
            The body, or where to go on.
        """
        # Who is the only one to ask a host keeps no connection to it: there are millions of hosts.
        headers = {"Connection": "close"} if host.users == 1 else None
        started = asyncio.get_running_loop().time()
        try:
            async with (
                asyncio.timeout(seconds) as deadline,
                self._session.get(target, allow_redirects=False, headers=headers) as answer,
            ):

                async def take_large() -> None:
                    """Wait for room in our memory, which is not to count as the server's time."""
                    begun = asyncio.get_running_loop().time()
                    await held.enter_async_context(self._large)
                    when = deadline.when()
                    if when is not None:
                        deadline.reschedule(when + asyncio.get_running_loop().time() - begun)

                return await self._receive(answer, host, started, take_large)
        except FetchError:
            raise
        except TimeoutError as error:
            failure = failure_of(error)
            if failure.status is not Status.CONNECT_TIMEOUT:
                failure = FetchError(Status.TIMEOUT, "the time is up")
        except Exception as error:  # noqa: BLE001 - whatever a server makes aiohttp stumble over
            failure = failure_of(error)
        if failure.status in NO_ANSWER:
            host.failed(asyncio.get_running_loop().time(), failure)
        raise failure

    async def _receive(
        self,
        answer: ClientResponse,
        host: Host,
        started: float,
        take_large: Callable[[], Awaitable[object]],
    ) -> bytes | URL:
        """Read an answer, whose headers are there."""
        code, headers, limits = answer.status, answer.headers, self._limits
        if code == 429 or code >= 500:
            raise self._blame(answer, host, started)
        host.answered()
        leads_on = code in REDIRECTS and "Location" in headers
        is_good = 200 <= code < 300 and code != 206  # a part, which nobody asked for
        if not leads_on and not is_good:
            raise FetchError(BY_CODE.get(code, Status.HTTP_ERROR), _status_line(answer))
        if limits.respect_opt_out and "X-Robots-Tag" in headers:
            values = headers.getall("X-Robots-Tag")
            if opts_out(values, limits.user_agent):
                raise FetchError(Status.OPTED_OUT, f"X-Robots-Tag: {', '.join(values)[:200]}")
        if leads_on:
            return _parse(urljoin(str(answer.url), headers["Location"].strip()))
        return await read_body(answer.content, headers, limits, take_large)

    def _blame(self, answer: ClientResponse, host: Host, started: float) -> FetchError:
        """What to do where a server is busy or fails; all who ask the host wait as it wants."""
        code = answer.status
        status = BY_CODE.get(code, Status.SERVER_ERROR)
        error = FetchError(status, _status_line(answer), passing=True)
        asked = retry_after(answer.headers.get("Retry-After")) if code in (429, 503) else None
        now = asyncio.get_running_loop().time()
        if asked is not None and asked > self._limits.longest_retry_after:
            error = FetchError(status, f"{error}, come again in {asked:.0f} seconds")
            host.close(now + asked, error)
        elif asked is not None or code == 429:
            error.waits = True
            host.busy(started, now, self._limits.pause_seconds if asked is None else asked, error)
        else:
            host.answered()
        return error

    def _pause(self, url: str, tries: int) -> float:
        """Seconds until the next try, the same for a URL each time."""
        spread = random.Random(f"{tries} {url}").random()  # noqa: S311 - no secret
        return self._limits.pause_seconds * 2.0 ** (tries - 1) * (0.5 + spread)


def _parse(url: str) -> URL:
    """Read a URL, the first or one that a redirect leads to.

    Raises:
        FetchError: where it is refused.
    """
    scheme, colon, _ = url.strip()[:32].partition(":")
    if scheme.lower() not in ("http", "https"):
        if colon and scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
            raise FetchError(Status.REFUSED_SCHEME, f"{scheme}: is neither http nor https")
        raise FetchError(Status.BAD_URL, "not a URL of http or https")
    try:
        url = url.strip()  # what is well-formed stays as it is: it may be signed
        target = URL(url, encoded=AS_IT_IS.fullmatch(url) is not None).with_fragment(None)
        if target.user is not None or target.password is not None:
            target = target.with_user(None)
        host, port = target.raw_host, target.port
    except (ValueError, TypeError) as error:
        raise FetchError(Status.BAD_URL, " ".join(str(error).split())[:300]) from error
    if not host or not port:
        raise FetchError(Status.BAD_URL, "it names no host" if not host else "its port is 0")
    if is_odd_address(host):
        raise FetchError(Status.REFUSED_ADDRESS, f"{host[:100]} is not how addresses are written")
    return target


def _status_line(answer: ClientResponse) -> str:
    """A status as people know it."""
    return f"{answer.status} {answer.reason or ''}".strip()[:200]
