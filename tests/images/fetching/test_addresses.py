import socket
from ipaddress import ip_address, ip_network

import pytest

from metacurate.images.fetching.addresses import (
    RefusedAddressError,
    guarded_sockets,
    is_odd_address,
    is_public,
)

PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1.1.1.1",
    "2001::1", "2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "fc00::1",
    "fd12:3456::1", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.167.255.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::1",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_and_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_other_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_no_address_is_public_that_python_calls_private(address: str) -> None:
    plain = ip_address(address.partition("%")[0])
    assert not (is_public(plain) and (plain.is_private or plain.is_loopback))


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.01", "1.2.3.4.5", "0",
     "0x", "127.0.0.1.", "256.1.1.1", "a.b.1", "0X7F.0.0.1"],
)  # fmt: skip
def test_numbers_that_are_not_written_as_addresses_are_odd(host: str) -> None:
    assert is_odd_address(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "1.a", "example.com", "1.example.com", "0xa.com"])
def test_names_and_proper_addresses_are_not_odd(host: str) -> None:
    assert not is_odd_address(host)


def info(address: str) -> tuple[int, int, int, str, tuple[str, int]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, 0, "", (address, 80)


@pytest.mark.parametrize("address", ["127.0.0.1", "2130706433", "0x7f.1", "localhost", ""])
def test_sockets_are_made_for_public_addresses_only(address: str) -> None:
    with pytest.raises(RefusedAddressError):
        guarded_sockets(())(info(address))
    guarded_sockets(())(info("8.8.8.8")).close()


def test_networks_can_be_allowed() -> None:
    make = guarded_sockets((ip_network("127.0.0.1/32"), ip_network("fd00::/8")))
    make(info("127.0.0.1")).close()
    make(info("fd00::1")).close()
    for other in ("127.0.0.2", "fc00::1", "::ffff:127.0.0.1"):
        with pytest.raises(RefusedAddressError):
            make(info(other))
