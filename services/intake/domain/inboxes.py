"""Our own addresses, numbers and forms. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.intake.domain import mail_hosts
from services.intake.domain.handles import plus_stripped
from shared.events.base import Channel
from shared.events.config import FormGuard


@dataclass(frozen=True, slots=True)
class Inbox:
    """One of ours. `region` reads telephone numbers written without `+`; `confirm`: new tickets are confirmed by e-mail.

    Of forms: `origins` may post it from a browser (none: any), and a submission must bring what `guard` says.
    `webhook`: replies are posted there, for a connector to carry on.
    """

    id: str
    channel: Channel
    address: str
    language: str = "en"
    region: str | None = None
    confirm: bool = True
    partner_id: str | None = None
    origins: tuple[str, ...] = ()
    guard: FormGuard = "open"
    webhook: str | None = None


def address_key(channel: Channel, address: str) -> str:
    """The form in which an address of ours is compared."""
    if channel == "email":
        return plus_stripped(address)
    return address.replace(" ", "").lower()


@dataclass(frozen=True, slots=True)
class Inboxes:
    """All inboxes. Where none of a channel is configured, each address of it is taken, into an inbox named as the channel:
    a new installation must not turn its first customers away.
    """

    by_id: dict[str, Inbox] = field(default_factory=dict)
    by_address: dict[tuple[Channel, str], Inbox] = field(default_factory=dict)

    @classmethod
    def of(cls, inboxes: Iterable[Inbox]) -> Inboxes:
        """From the configured ones."""
        ordered = list(inboxes)
        return cls(
            {inbox.id: inbox for inbox in ordered},
            {(inbox.channel, address_key(inbox.channel, inbox.address)): inbox for inbox in ordered},
        )

    def at(self, channel: Channel, address: str) -> Inbox | None:
        """The inbox at this address; None when others of its channel are configured and this is none of them."""
        found = self.by_address.get((channel, address_key(channel, address)))
        if found is None and not any(kind == channel for kind, _ in self.by_address):
            return Inbox(id=channel, channel=channel, address=address)
        return found

    def at_or_default(self, channel: Channel, address: str) -> Inbox:
        """Like `at`, but what is authentic is never turned away: it goes to an inbox named as the channel."""
        return self.at(channel, address) or Inbox(id=channel, channel=channel, address=address)

    def have(self, channel: Channel, address: str) -> bool:
        """Whether an inbox was configured at this address."""
        return (channel, address_key(channel, address)) in self.by_address

    def named(self, inbox_id: str, channel: Channel) -> Inbox | None:
        """The inbox of this id and channel, under the same rule as `at`."""
        found = self.by_id.get(inbox_id)
        if found is not None:
            return found if found.channel == channel else None
        configured = any(kind == channel for kind, _ in self.by_address)
        return None if configured else Inbox(id=inbox_id, channel=channel, address=inbox_id)


NO_INBOXES = Inboxes()
LABELS_CAP = 8  # of a host that is looked at


@dataclass(frozen=True, slots=True)
class OurAddresses:
    """By which mail reaches us: the address of the inbox that a mail came to, which need not be configured, and all others."""

    inbox: Inbox
    inboxes: Inboxes = NO_INBOXES

    def have(self, address: str) -> bool:
        """Whether the address is one of ours, whatever stands behind a `+` in it."""
        return bool(address) and (
            address_key("email", address) == address_key("email", self.inbox.address) or self.inboxes.have("email", address)
        )

    def have_host(self, host: str) -> bool:
        """Whether an inbox of ours is at this host, and no strangers are."""
        return not mail_hosts.is_shared(host) and any(address.lower().endswith(f"@{host}") for address in self._addresses)

    def have_below(self, host: str) -> bool:
        """Whether it is such a host, or lies below one."""
        labels = host.split(".")[-LABELS_CAP:]
        return any(self.have_host(".".join(labels[n:])) for n in range(len(labels)))

    def have_at(self, address: str) -> bool:
        """Whether the address is an inbox of ours, or another at a host of ours."""
        return self.have(address) or self.have_below(address.rpartition("@")[2].lower())

    def have_list(self, list_id: str) -> bool:
        """Whether a list of this id (its address with a dot for the `@`) is ours."""
        return self.have_below(list_id) or any(
            address_key("email", address).replace("@", ".") == list_id for address in self._addresses
        )

    @property
    def _addresses(self) -> list[str]:
        return [self.inbox.address, *(address for channel, address in self.inboxes.by_address if channel == "email")]
