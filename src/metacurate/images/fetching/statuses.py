"""What became of an image."""

from enum import StrEnum

from metacurate.errors import MetacurateError

MOST_CHARS = 300


class Status(StrEnum):
    """What became of an image: `success`, or the cause why there is none.

    Attributes:
        explanation: of it, in one line.
    """

    explanation: str

    def __new__(cls, value: str, explanation: str = "") -> "Status":
        """A string that brings its explanation along."""
        status = str.__new__(cls, value)
        status._value_ = value
        status.explanation = explanation
        return status

    SUCCESS = "success", "The image is there, and whole."
    NOT_FOUND = "not_found", "The server has no such image (404, 410)."
    FORBIDDEN = "forbidden", "The server does not give it to us (401, 403, 451)."
    TOO_MANY_REQUESTS = (
        "too_many_requests",
        "The host asks for fewer requests (429), again and again or for too long.",
    )
    HTTP_ERROR = "http_error", "Another answer that brings no image: 4xx, or a status out of place."
    SERVER_ERROR = "server_error", "The server fails (5xx), at each try."
    NO_SUCH_HOST = "no_such_host", "The host's name has no address."
    DNS_FAILURE = "dns_failure", "The name servers do not tell the host's address."
    UNREACHABLE = "unreachable", "No connection: refused, reset, or no route."
    TLS_ERROR = "tls_error", "The server can't show who it is, or its TLS is broken."
    CONNECT_TIMEOUT = "connect_timeout", "No connection in time, the look-up of the name included."
    TIMEOUT = "timeout", "The whole image did not come in time."
    TOO_SLOW = "too_slow", "The image came more slowly than is allowed."
    REFUSED_ADDRESS = "refused_address", "The host's address is not a public one."
    REFUSED_SCHEME = "refused_scheme", "The URL, or where it leads, is not http or https."
    BAD_URL = "bad_url", "The URL, or where it leads, can't be read."
    TOO_MANY_REDIRECTS = "too_many_redirects", "It leads on and on, or in a circle."
    OPTED_OUT = "opted_out", "X-Robots-Tag says noai or noimageai."
    TOO_LARGE = "too_large", "It has more bytes than are allowed, as sent or decompressed."
    TRUNCATED = "truncated", "Its end is missing."
    EMPTY = "empty", "It has no bytes."
    BAD_ANSWER = "bad_answer", "The answer is no proper HTTP, or its headers are too large."
    NOT_AN_IMAGE = "not_an_image", "Something else: a page, a format or a coding that is not read."
    TOO_MANY_PIXELS = "too_many_pixels", "It has more pixels than are allowed."
    BROKEN_IMAGE = "broken_image", "It begins as an image does, but can't be decoded."


class FetchError(Exception):
    """A try to get an image failed.

    Attributes:
        status: the cause. passing: whether another try may help.
        waits: whether the host asked for time, so that the try does not count.
    """

    def __init__(
        self, status: Status, message: str, *, passing: bool = False, waits: bool = False
    ) -> None:
        """Name the cause.

        Args:
            status: the cause. message: in one line. passing, waits: see the attributes.
        """
        super().__init__(clean(message))
        self.status = status
        self.passing = passing
        self.waits = waits


class MachineError(MetacurateError):
    """This machine can't go on: it has no room, no sockets or no memory; no image is to blame."""


def clean(text: str) -> str:
    """A line that servers had a part in, as any file can hold it: printable, and not too long.

    Args:
        text: any; lone surrogates may be in it.
    """
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return shown if len(shown) <= MOST_CHARS else f"{shown[: MOST_CHARS - 1]}\u2026"
