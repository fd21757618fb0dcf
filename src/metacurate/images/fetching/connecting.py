"""Connections of aiohttp: names looked up in threads, public addresses only, errors explained."""

import asyncio
import errno
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponseError,
    ClientSSLError,
    ConnectionTimeoutError,
    InvalidURL,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult

from metacurate.errors import first_line
from metacurate.images.fetching.addresses import AddressInfo, RefusedAddressError, guarded_sockets
from metacurate.images.fetching.limits import FetchLimits
from metacurate.images.fetching.statuses import FetchError, MachineError, Status

NO_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
DNS_SECONDS = 60  # that an answer is kept
DNS_ANSWERS = 10_000  # that are kept
IDLE_SECONDS = 2.0  # that a connection is kept which nobody uses
OUR_OWN = frozenset({
    errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL,
})  # fmt: skip


class Resolver(AbstractResolver):
    """Asks the system for addresses, in threads of its own: many names are looked up at once."""

    def __init__(self, threads: int) -> None:
        """Start no thread yet.

        Args:
            threads: look-ups at once.
        """
        self._threads = ThreadPoolExecutor(threads, "metacurate-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look up a name.

        Args:
            host: the name. port: which each result names, too. family: of the addresses.

        Raises:
            OSError: when there is no address, or none can be found out.
        """
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                self._threads, _look_up, host, port, family
            )
        except UnicodeError as error:  # a name that can't be one
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        return [
            ResolveResult(
                hostname=host,
                host=str(place[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, place in found
        ]

    async def close(self) -> None:
        """Leave what is being looked up to itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[AddressInfo]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family))


def make_connector(limits: FetchLimits, resolver: Resolver) -> TCPConnector:
    """Prepare connections; how many there are at once is not limited here.

    Args:
        limits: which addresses are allowed. resolver: of names; it stays the caller's.
    """
    return TCPConnector(
        limit=0,
        resolver=resolver,
        ttl_dns_cache=DNS_SECONDS,
        dns_cache_max_size=DNS_ANSWERS,
        keepalive_timeout=IDLE_SECONDS,
        socket_factory=guarded_sockets(limits.allow),
    )


def failure_of(error: BaseException) -> FetchError:
    """What an error of aiohttp or of the system means.

    Args:
        error: what a request raised.

    Raises:
        MachineError: when no server is to blame.
    """
    cause = error.os_error if isinstance(error, ClientConnectorError) else error
    if isinstance(cause, MemoryError) or getattr(cause, "errno", None) in OUR_OWN:
        raise MachineError(
            f"this machine has no room for more connections: {first_line(cause) or 'no memory'}: "
            "ask for fewer (--connections, --workers); the same command goes on"
        ) from error
    text = " ".join(first_line(cause).split())[:300] or type(cause).__name__
    if isinstance(cause, RefusedAddressError):
        return FetchError(Status.REFUSED_ADDRESS, f"{cause.address} is {cause}")
    if isinstance(error, ConnectionTimeoutError):
        return FetchError(Status.CONNECT_TIMEOUT, "no connection in time", passing=True)
    if isinstance(error, ClientConnectorDNSError):
        if isinstance(cause, socket.gaierror) and cause.errno in NO_NAME:
            return FetchError(Status.NO_SUCH_HOST, text)
        return FetchError(Status.DNS_FAILURE, text, passing=True)
    if isinstance(error, ClientSSLError | ssl.SSLError):
        return FetchError(Status.TLS_ERROR, text)
    if isinstance(error, ClientPayloadError):
        return FetchError(Status.TRUNCATED, "the connection ends amid the image", passing=True)
    if isinstance(error, ClientResponseError):
        return FetchError(Status.BAD_ANSWER, " ".join(error.message.split())[:300] or text)
    if isinstance(error, InvalidURL | ValueError):
        return FetchError(Status.BAD_URL, text)
    if isinstance(cause, OSError) and cause.errno == errno.ETIMEDOUT:
        return FetchError(Status.CONNECT_TIMEOUT, text, passing=True)
    refused = isinstance(error, ClientConnectorError)  # what broke later may hold another time
    known = isinstance(error, ClientError | OSError)
    return FetchError(
        Status.UNREACHABLE if known else Status.BAD_ANSWER, text, passing=known and not refused
    )
