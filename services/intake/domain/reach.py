"""Where a URL that others wrote may lead us: to hosts that are named, at addresses of the open internet. Pure.

The name is looked up once, every address it has is looked at, and the connection goes to one of these addresses: so a name
server that answers differently the second time (DNS rebinding) leads nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_PORTS = {"https": 443, "http": 80}
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the IPv4 address that is meant stands in the last 32 bits


class NotAllowed(Exception):
    """We do not go there; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Reach:
    """`hosts` are reached by https at its own port; `*.example.com` stands for every name below it. `trusted` are places
    (`host:port`) that are also reached by http, and wherever their name leads.
    """

    hosts: frozenset[str]
    trusted: frozenset[str] = frozenset()

    @classmethod
    def of(cls, hosts: Iterable[str], trusted: Iterable[str] = ()) -> Reach:
        """From settings, in whatever case."""
        return cls(frozenset(host.lower() for host in hosts), frozenset(place.lower() for place in trusted))


def is_trusted(reach: Reach, scheme: str, host: str, port: int | None) -> bool:
    """Whether addresses need not be looked at. `host` is as it goes over the wire, without brackets. Raises NotAllowed."""
    if scheme not in _PORTS:
        raise NotAllowed("scheme-not-allowed")
    name = host.lower().rstrip(".")
    if f"{name}:{port or _PORTS[scheme]}" in reach.trusted:
        return True
    if scheme != "https":
        raise NotAllowed("scheme-not-allowed")
    if port not in (None, _PORTS[scheme]) or not is_named(name, reach.hosts):
        raise NotAllowed("host-not-allowed")
    return False


def is_named(name: str, hosts: frozenset[str]) -> bool:
    """Whether a host's name, in small letters, is among these; `*.example.com` stands for every name below it."""
    if name in hosts:
        return True
    labels = name.split(".")
    return any("*." + ".".join(labels[n:]) in hosts for n in range(1, len(labels)))


def checked(addresses: Sequence[str], *, trusted: bool) -> Sequence[str]:
    """The addresses that a name has, when we may connect to all of them: one that is not open among those that are is no
    accident. Raises NotAllowed.
    """
    if not trusted and not all(map(is_open, addresses)):
        raise NotAllowed("address-not-allowed")
    return addresses


def is_open(address: str) -> bool:
    """Whether an address is one of the open internet: not private, loopback, link-local, shared, multicast or reserved, also
    not inside of one that carries another (IPv4-mapped, 6to4, Teredo, NAT64).
    """
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            ip = IPv4Address(int(ip) & 0xFFFFFFFF)
        elif ip.ipv4_mapped is not None or ip.sixtofour is not None or ip.teredo is not None or ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_loopback or ip.is_link_local)
