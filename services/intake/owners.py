"""Whose an address of the internet is, as far as it tells."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_OWNERS_BITS = 64  # of an IPv6 address: who has one address has all that share these
_NETWORK_BITS = {4: 24, 6: 48}  # the smallest that is announced to the internet by itself


def ip_of(address: str) -> IPv4Address | IPv6Address | None:
    """The address; None where it is none, as where nobody tells. An IPv4 address is one also where IPv6 carries it."""
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def owner_of(address: str) -> str:
    """The same for all addresses of one owner; what is no address stands for itself."""
    ip = ip_of(address)
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((int(ip), _OWNERS_BITS), strict=False))
    return str(ip) if ip is not None else address


def network_of(address: str) -> str:
    """The same for all addresses of one network, a /24 of IPv4 or a /48 of IPv6; what is no address stands for itself."""
    ip = ip_of(address)
    return str(ip_network((ip.packed, _NETWORK_BITS[ip.version]), strict=False)) if ip is not None else address
