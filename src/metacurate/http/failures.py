"""How requests fail: for good, for now, or because there is no network."""

import http
import re
from typing import Any

import requests
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ProxyError

from metacurate.errors import InputError, MetacurateError

HINT = "is there a network?"


class UnreachableError(MetacurateError):
    """No connection to a host comes about.

    Attributes:
        fact: that, and why; the message also has a hint.
    """

    def __init__(self, host: str, reason: str, hint: str = HINT) -> None:
        """Name the host and the cause.

        Args:
            host: its name. reason: in one line. hint: what to do about it.
        """
        self.fact = f"{host} can't be reached ({reason})"
        super().__init__(f"{self.fact}: {hint}")
        self._arguments = host, reason, hint

    def __reduce__(self) -> tuple[type["UnreachableError"], tuple[str, str, str]]:
        """Rebuild from the arguments when the error crosses a process border."""
        return type(self), self._arguments


class MissingError(InputError):
    """There is no such file."""


class TransientError(Exception):
    """A try failed in a way that may pass."""

    def __init__(
        self, error: HTTPError | None = None, response: requests.Response | None = None
    ) -> None:
        """Keep what the policy wants to know.

        Args:
            error: urllib3's. response: an answer that says to come again.
        """
        super().__init__(error, response)
        self.error = error
        self.raw: Any = None if response is None else response.raw
        self.gained = 0  # bytes that nobody had received before

    @property
    def reason(self) -> str:
        """The cause in one line."""
        return status_line(self.raw.status) if self.error is None else reason_of(self.error)


def cause_of(error: requests.RequestException) -> HTTPError:
    """The error of urllib3 behind one of requests.

    Args:
        error: of requests.
    """
    cause = error.args[0] if error.args else error
    if isinstance(cause, MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    return cause if isinstance(cause, HTTPError) else ProtocolError(str(error))


def reason_of(error: BaseException) -> str:
    """The cause of an error in one line, without the names of objects that libraries add.

    Args:
        error: of requests or urllib3.
    """
    cause = cause_of(error) if isinstance(error, requests.RequestException) else error
    if isinstance(cause, ProxyError):
        return f"the proxy: {cause.original_error}"
    text = cause.args[0] if cause.args and isinstance(cause.args[0], str) else str(cause)
    return re.sub(r"^[\w.<>]+\(.*?\): ", "", text.strip().split("\n")[0])


def status_line(code: int) -> str:
    """A status as people know it.

    Args:
        code: of HTTP.
    """
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
