"""Who talks to the mail port: how many at a time, and how many of them from one address."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
CONVERSATIONS = 100  # at the same time
_OWNERS_BITS = 64  # of an IPv6 address: who has one address has all that share these


def networks_of(text: str) -> tuple[Network, ...]:
    """Addresses and networks, comma-separated. Raises ValueError."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"{error}; write addresses and networks, such as 192.0.2.7 or 192.0.2.0/24") from None


@dataclass(slots=True)
class Peers:
    """Those who talk to us, each conversation with whose it is. `most_of_one`: of one address, 0 for as many as there is room
    for; `relays`, through which all mail may come, have no such limit.
    """

    most: int = CONVERSATIONS
    most_of_one: int = 0
    relays: tuple[Network, ...] = ()
    talking: dict[object, str] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether nobody more may come, from wherever."""
        return len(self.talking) >= self.most

    def may_come(self, address: str) -> bool:
        """Whether one more may come from this address."""
        if self.full:
            return False
        ip = _ip(address)
        if not self.most_of_one or (ip is not None and any(ip in network for network in self.relays)):
            return True
        return list(self.talking.values()).count(_owner(ip)) < self.most_of_one

    def came(self, conversation: object, address: str) -> None:
        """It has begun."""
        self.talking[conversation] = _owner(_ip(address))

    def gone(self, conversation: object) -> None:
        """It has ended; said once or more."""
        self.talking.pop(conversation, None)


def _ip(address: str) -> IPv4Address | IPv6Address | None:
    """None where nobody tells: who was gone before they were looked at."""
    try:
        ip = ip_address(address)
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _owner(ip: IPv4Address | IPv6Address | None) -> str:
    """Whose an address is, as far as addresses tell."""
    if isinstance(ip, IPv6Address):
        return str(IPv6Network((int(ip), _OWNERS_BITS), strict=False))
    return str(ip)
