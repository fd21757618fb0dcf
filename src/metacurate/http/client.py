"""Requests over HTTP that bear with drops and busy servers, and tell when there is no network.

How often and after which pauses something is tried again is urllib3's policy, for answers as
for bodies that break off; here it is only driven, so that Ctrl-C is heard in a pause.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    InvalidHeader,
    MaxRetryError,
    ProtocolError,
    ProxyError,
)
from urllib3.util.retry import Retry

from metacurate import __version__
from metacurate.engine.stage import Stop, StoppedError
from metacurate.errors import InputError, first_line
from metacurate.http.failures import (
    HINT,
    MissingError,
    TransientError,
    UnreachableError,
    cause_of,
    reason_of,
    status_line,
)

Result = TypeVar("Result")

AGENT = f"metacurate/{__version__} (python-requests/{version('requests')})"
BUSY = frozenset({408, 429, 500, 502, 503, 504})  # statuses that may pass
MISSING = frozenset({404, 410})
CHUNK = 1 << 20  # bytes that are read at a time, at most
MAX_LISTING = 16 << 20  # bytes
MAX_PAUSE = 120  # seconds between two tries
MAX_RETRY_AFTER = 300  # seconds, where the server asks for more
GAIN = 1 << 20  # bytes after which a connection that breaks has been worth while
POLL = 0.2  # seconds between two looks at whether a run is to end
CONNECT_TIMEOUT = 20.0  # seconds
NO_SIZE = "the server does not tell how large it is"


class Client:
    """Requests for several threads."""

    def __init__(
        self,
        *,
        tries: int = 6,
        backoff: float = 1.0,
        timeout: float = 60.0,
        busy: Collection[int] = BUSY,
        hint: str = HINT,
    ) -> None:
        """Prepare; nothing is connected yet.

        Args:
            tries: how often something is tried in a row.
            backoff: seconds; pauses are 0, 2, 4, 8 times as long, and up to once as long more, so
                that many clients do not come back together.
            timeout: seconds without a byte, after which a connection counts as dropped.
            busy: statuses that say to come again.
            hint: what to do where a host can't be reached.
        """
        self._policy = Retry(
            total=tries - 1,
            allowed_methods=None,
            status_forcelist=busy,
            backoff_factor=backoff,
            backoff_max=MAX_PAUSE,
            backoff_jitter=backoff,
            retry_after_max=MAX_RETRY_AFTER,
        )
        self._busy = frozenset(busy)
        self._hint = hint
        self._timeout = (min(CONNECT_TIMEOUT, timeout), timeout)
        self._local = threading.local()
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._sessions: list[requests.Session] = []
        self._responses: set[Any] = set()
        self._unreachable: dict[str, UnreachableError] = {}

    def close(self) -> None:
        """Close all connections."""
        for session in self._sessions:
            session.close()

    def stop(self) -> None:
        """Have all threads end what they are at, also those that wait for a server."""
        self._stop.set()
        with self._guard:
            for raw in self._responses:
                with suppress(OSError, ValueError):  # it may have ended this moment
                    raw.shutdown()

    @contextmanager
    def heeding(self, stop: Stop) -> Iterator[None]:
        """Stop soon after somebody else asks for it.

        Args:
            stop: looked at now and then.
        """
        done = threading.Event()

        def watch() -> None:
            while not stop.is_set():
                if done.wait(POLL):
                    return
            self.stop()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def check(self) -> None:
        """Go on only while the run is not to end.

        Raises:
            StoppedError: when it is.
        """
        if self._stop.is_set():
            raise StoppedError

    def persist(
        self, url: str, attempt: Callable[[], Result], *, connects: int | None = None
    ) -> Result:
        """Try something until it works, with growing pauses; Retry-After is heeded.

        Args:
            url: what it is about. attempt: raises TransientError where it may work later.
            connects: how often to try to connect again, where that is not as often as all else.

        Returns:
            What the attempt returns.

        Raises:
            UnreachableError: when no connection comes about: at once, for a host that is known.
            InputError: when it does not work after some tries.
            StoppedError: when the run is to end.
        """
        host = urlsplit(url).hostname or url
        policy = retry = self._policy.new(connect=connects, other=connects)
        while True:
            self.check()
            if host in self._unreachable:
                raise self._unreachable[host]
            try:
                return attempt()
            except TransientError as error:
                self.check()
                if error.gained >= GAIN:
                    retry = policy
                try:
                    retry = retry.increment("GET", url, error.raw, error.error)
                except MaxRetryError as end:
                    if not isinstance(error.error, ConnectTimeoutError | ProxyError):
                        tries = f"{len(retry.history) + 1} tries"
                        raise InputError(url, f"{error.reason}, {tries}") from end
                    self._unreachable[host] = UnreachableError(host, error.reason, self._hint)
                    raise self._unreachable[host] from end
                self._stop.wait(_pause(retry, error.raw))

    @contextmanager
    def open(
        self, method: str, url: str, headers: dict[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Send one request; the body is to be read with `chunks`.

        Args:
            method: GET or HEAD. url: http or https. headers: besides the usual.

        Yields:
            An answer that is good, or says that the range that was asked for is not there (416).

        Raises:
            TransientError: when it may work later.
            UnreachableError: when the server can't show who it is.
            MissingError: when it has no such file.
            InputError: when it refuses.
        """
        try:
            response = self._session().request(
                method, url, headers=headers, stream=True, timeout=self._timeout
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):  # it will not be another one soon
                host = urlsplit(url).hostname or url
                raise UnreachableError(host, reason_of(error), self._hint) from error
            raise TransientError(cause_of(error)) from error
        except HTTPError as error:
            raise TransientError(error) from error
        except requests.RequestException as error:
            raise InputError(url, first_line(error)) from error
        with response:
            code = response.status_code
            if code in self._busy:
                raise TransientError(response=response)
            if code in MISSING:
                raise MissingError(url, status_line(code))
            if code >= 400 and code != 416:
                raise InputError(url, status_line(code))
            with self._guard:
                self._responses.add(response.raw)
            try:
                yield response
            finally:
                with self._guard:
                    self._responses.discard(response.raw)

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """A body as it comes, never decompressed; it may end early without an error.

        Args:
            response: of `open`.

        Raises:
            TransientError: when the connection breaks.
        """
        while True:
            self.check()
            try:
                chunk = response.raw.read1(CHUNK, decode_content=False)
            except HTTPError as error:
                raise TransientError(error) from error
            if not chunk:
                return
            yield chunk

    def read_listing(self, url: str) -> bytes:
        """Get a small file.

        Args:
            url: of it.

        Raises:
            UnreachableError: when no connection comes about.
            InputError: when it can't be had, or is too large for a listing.
        """

        def attempt() -> bytes:
            content = bytearray()
            with self.open("GET", url) as response:
                for chunk in self.chunks(response):
                    content += chunk
                    if len(content) > MAX_LISTING:
                        raise InputError(url, "larger than any listing")
                if len(content) < (content_length(response.headers) or 0):
                    raise TransientError(ProtocolError("the connection broke"))
            return bytes(content)

        return self.persist(url, attempt, connects=1)

    def head(self, url: str) -> Mapping[str, str]:
        """Ask what a server tells of a file.

        Args:
            url: of it.

        Returns:
            The headers, by name in any case.

        Raises:
            UnreachableError: when no connection comes about.
            InputError: when it is not there, or the server refuses.
        """

        def attempt() -> Mapping[str, str]:
            with self.open("HEAD", url) as response:
                return response.headers

        return self.persist(url, attempt, connects=1)

    def size(self, url: str) -> int:
        """Ask how large a file is.

        Args:
            url: of it.

        Returns:
            Bytes.

        Raises:
            UnreachableError: when no connection comes about.
            InputError: when it is not there, or the server does not tell.
        """
        size = content_length(self.head(url))
        if size is None:
            raise InputError(url, NO_SIZE)
        return size

    def _session(self) -> requests.Session:
        """This thread's own: sessions are not made to be shared."""
        if not hasattr(self._local, "session"):
            session = self._local.session = _Session()
            session.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity"})
            with self._guard:
                self._sessions.append(session)
        found: requests.Session = self._local.session
        return found


class _Session(requests.Session):
    """A session that never leaves https once it is there."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer leads on to.

        Raises:
            RequestException: when it leads from https to something else.
        """
        target = super().get_redirect_target(resp)
        if target is not None and urlsplit(resp.url).scheme == "https":
            scheme = urlsplit(urljoin(resp.url, target)).scheme
            if scheme != "https":
                raise requests.RequestException(f"leads from https to {scheme}, which is refused")
        return target


def content_length(headers: Mapping[str, str]) -> int | None:
    """How long a body is to be, in bytes, or None where the server does not tell.

    Args:
        headers: of an answer.
    """
    told = headers.get("Content-Length", "")
    return int(told) if re.fullmatch(r"[0-9]{1,18}", told) else None


def _pause(retry: Retry, raw: Any) -> float:
    """Seconds to wait before the next try; a server that is busy is not asked again at once."""
    try:
        asked = None if raw is None else retry.get_retry_after(raw)
    except InvalidHeader:
        asked = None
    least = 0 if raw is None else retry.backoff_factor
    return asked or max(least, retry.get_backoff_time())
