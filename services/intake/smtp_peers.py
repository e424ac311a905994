"""Who talks to the mail port: how many at a time, and how many of them from one address and one network."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from services.intake.owners import ip_of, network_of, owner_of

Network = IPv4Network | IPv6Network
CONVERSATIONS = 100  # at the same time
# While less than a third is left, who talks to us already gets no more than this: a few addresses cannot shut out all others.
SPARING = 2


def networks_of(text: str) -> tuple[Network, ...]:
    """Addresses and networks, comma-separated. Raises ValueError."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"{error}; write addresses and networks, such as 192.0.2.7 or 192.0.2.0/24") from None


class Refusal(StrEnum):
    """Of what there are as many conversations as there may be."""

    OF_ALL = "there are as many as there may be"
    OF_ADDRESS = "its address has as many as it may"
    OF_NETWORK = "its network has as many as it may"


class Place(NamedTuple):
    """From where somebody talks who is no relay of ours."""

    owner: str
    network: str


@dataclass(slots=True)
class Peers:
    """Those who talk to us, each conversation with whose it is. `most_of_one`: of one address, `most_of_network`: of all
    addresses of one network, 0 for as many as there is room for; `relays`, through which all mail may come, have no such limit,
    and take nothing of their neighbours' share.
    """

    most: int = CONVERSATIONS
    most_of_one: int = 0
    most_of_network: int = 0
    relays: tuple[Network, ...] = ()
    talking: dict[object, Place | None] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether nobody more may come, from wherever."""
        return len(self.talking) >= self.most

    def refusal(self, address: str) -> Refusal | None:
        """Why no more may come from this address; None where one may."""
        if self.full:
            return Refusal.OF_ALL
        place = self._place(address)
        if place is None:
            return None
        others = [other for other in self.talking.values() if other is not None]
        scarce = 3 * len(self.talking) >= 2 * self.most
        most_of_one = min(self.most_of_one, SPARING) if scarce else self.most_of_one
        if 0 < most_of_one <= sum(other.owner == place.owner for other in others):
            return Refusal.OF_ADDRESS
        if 0 < self.most_of_network <= sum(other.network == place.network for other in others):
            return Refusal.OF_NETWORK
        return None

    def came(self, conversation: object, address: str) -> None:
        """It has begun."""
        self.talking[conversation] = self._place(address)

    def gone(self, conversation: object) -> None:
        """It has ended; said once or more."""
        self.talking.pop(conversation, None)

    def _place(self, address: str) -> Place | None:
        ip = ip_of(address)
        if ip is not None and any(ip in network for network in self.relays):
            return None
        return Place(owner_of(address), network_of(address))
