"""How often somebody may try to come in, and what a provider of identities says that they may do. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

NETWORK_BITS = 64  # of IPv6: what one customer of a provider has at least


class Allowance(NamedTuple):
    """So many attempts at once, then one each so often."""

    at_once: int
    each: timedelta


# From one address in one name: who guesses a password. From one address: who guesses many people's; an office has one too, and
# whoever comes in does not count. In one name, from wherever: who guesses from many addresses.
OF_PAIR = Allowance(5, timedelta(minutes=1))
OF_ADDRESS = Allowance(30, timedelta(seconds=2))
OF_LOGIN = Allowance(20, timedelta(seconds=30))
# From where somebody came in before, they are not held up by what others try in their name from elsewhere.
KNOWN_FOR = timedelta(days=30)


def again_free_at(allowance: Allowance, free_at: datetime | None, now: datetime) -> datetime:
    """When all attempts that are allowed at once will be free again, after one more. `free_at`: before it."""
    return max(free_at or now, now) + allowance.each


def wait(allowance: Allowance, free_at: datetime | None, now: datetime) -> timedelta:
    """How long until one more is allowed; nothing when it is now."""
    return max(timedelta(), (free_at or now) - now - (allowance.at_once - 1) * allowance.each)


def place_of(address: str) -> str:
    """Where somebody comes from: an address, of IPv6 its network; as it is where it is no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(IPv6Address(int(found) >> (128 - NETWORK_BITS) << (128 - NETWORK_BITS)))


def way_back(asked: str) -> str:
    """The page of ours to go to afterwards: a path of this host, else the first page."""
    plain = asked.isascii() and asked.isprintable() and "\\" not in asked
    return asked if plain and asked.startswith("/") and not asked.startswith("//") else "/"


def scopes_of(groups: object, by_group: Mapping[str, Sequence[str]], login: str) -> tuple[str, ...]:
    """What the groups that a provider names may do, in order; `agent` stands for this person's own agent."""
    named: Collection[object] = groups if isinstance(groups, list) else [groups]
    found = {scope for group in named if isinstance(group, str) for scope in by_group.get(group, ())}
    return tuple(sorted(f"agent:{login}" if scope == "agent" else scope for scope in found))
