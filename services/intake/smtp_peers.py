"""Who talks to the mail port: how many at a time, and how many of them from one address."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

from services.intake.owners import ip_of, owner_of

Network = IPv4Network | IPv6Network
CONVERSATIONS = 100  # at the same time


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
        ip = ip_of(address)
        if not self.most_of_one or (ip is not None and any(ip in network for network in self.relays)):
            return True
        return list(self.talking.values()).count(owner_of(address)) < self.most_of_one

    def came(self, conversation: object, address: str) -> None:
        """It has begun."""
        self.talking[conversation] = owner_of(address)

    def gone(self, conversation: object) -> None:
        """It has ended; said once or more."""
        self.talking.pop(conversation, None)
