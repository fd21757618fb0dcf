"""Which addresses are public: a URL of a pool must not reach into a private network."""

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]  # of socket.getaddrinfo

PUBLIC_IPV6 = IPv6Network("2000::/3")
# Where a gateway (NAT64), or this machine's own kernel, turns an address into one of IPv4.
EMBEDDING = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0/96"))
SPECIAL = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
    )
) + tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo (2001::/32) and others that are no places
        "2001:db8::/32", "2002::/16",  # documentation; 6to4, a tunnel to any address of IPv4
        "3fff::/20",  # documentation
    )
)  # fmt: skip
# What the C library takes for an address of IPv4 though it is not written as one: 127.1, 0x7f.1.
NUMERIC_HOST = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\.?", re.IGNORECASE)


class RefusedAddressError(OSError):
    """A connection would lead to an address that is not public.

    Its message is the same for all addresses, so that those who try several pass it on unchanged.

    Attributes:
        address: which.
    """

    def __init__(self, address: str) -> None:
        """Name the address.

        Args:
            address: as it was to be dialled.
        """
        super().__init__("not a public address")
        self.address = address


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet.

    Args:
        address: of IPv4 or IPv6; where one embeds another, that one counts.
    """
    if isinstance(address, IPv6Address):
        for network in EMBEDDING:
            if address in network:
                return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in PUBLIC_IPV6:
            return False
    return not any(address in network for network in SPECIAL)


def is_odd_address(host: str) -> bool:
    """Whether a host is a number that is not written as addresses are: 2130706433, 0x7f.1.

    Args:
        host: of a URL.
    """
    if NUMERIC_HOST.fullmatch(host) is None:
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False


def guarded_sockets(allow: Sequence[Network]) -> Callable[[AddressInfo], socket.socket]:
    """A maker of sockets that are dialled to public addresses only.

    It sees the address that is dialled, whatever name or redirect led there.

    Args:
        allow: networks that may be reached, too.

    Returns:
        It, for aiohttp's TCPConnector; it raises RefusedAddressError.
    """

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, place = info
        try:
            address = ip_address(str(place[0]))
        except ValueError as error:
            raise RefusedAddressError(str(place[0])) from error
        if not is_public(address) and not any(address in network for network in allow):
            raise RefusedAddressError(str(address))
        return socket.socket(family, kind, protocol)

    return make
