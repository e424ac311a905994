"""A ticket told to the promises fact by fact, with the times that a story gives, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.sla.domain.policies import Book, Promise, Terms
from services.sla.domain.story import Story
from services.sla.domain.telling import hear, next_due, ring
from shared.events.base import NOTHING_SEEN, Channel, Draft, Event, Fact, Position, Priority, Writer
from shared.events.config import CalendarConfigured, OpenHours, PolicyConfigured, SlaTarget, TargetKind
from shared.events.message import MessageReceived, Origin, ReplyRequested
from shared.events.ticket import TicketOpened

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OFFICE = CalendarConfigured(
    id="office",
    version=1,
    effective_from=LONG_AGO,
    zone="UTC",
    weekly=((OpenHours(opens="09:00", closes="17:00"),),) * 5 + ((), ()),
)


def at(text: str) -> datetime:
    """`Mon 09:30` or `09:30:15` in the week of MONDAY; no day means Monday."""
    day, _, clock = text.rpartition(" ")
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun").index(day) if day else 0
    hours, minutes, seconds = (*(float(part) for part in clock.split(":")), 0.0)[:3]
    return MONDAY + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def policy(*targets: SlaTarget, version: int = 1, calendar_id: str | None = None) -> PolicyConfigured:
    """A policy that takes every ticket."""
    return PolicyConfigured(
        id="standard",
        version=version,
        effective_from=LONG_AGO,
        name="Standard",
        position=1,
        targets=targets,
        calendar_id=calendar_id,
    )


def target(kind: TargetKind, minutes: float, **more: object) -> SlaTarget:
    """The same number of minutes at every priority."""
    seconds = {priority: int(minutes * 60) for priority in ("1", "2", "3", "4")}
    return SlaTarget(kind=kind, **{"seconds": seconds, "warn_at_percent": (), **more})  # type: ignore[arg-type]


def opened(priority: Priority = 2, channel: Channel = "email") -> TicketOpened:
    """A ticket's opening."""
    return TicketOpened(number=100234, customer_id="c1", channel=channel, inbox="support", priority=priority)


def message(origin: Origin = "human") -> MessageReceived:
    """A message of the customer's."""
    return MessageReceived(message_id="m", customer_id="c1", channel="email", inbox="support", provider="smtp", origin=origin)


def reply(by: str = "agent") -> ReplyRequested:
    """An answer."""
    return ReplyRequested(message_id="r", agent_id="dana", customer_id="c1", channel="email", by=by)  # type: ignore[arg-type]


def event(writer: Writer, n: int, fact: Fact, when: datetime, seen: int) -> Event[Fact]:
    """The nth fact of a writer, who had seen so many of the other's."""
    return Event(
        id=f"{writer}-{n}",
        type=fact.TYPE,
        writer=writer,
        position=Position(1, n),
        key="t1",
        time=when,
        data=fact,
        seen=Position(1, seen) if seen else NOTHING_SEEN,
    )


@dataclass
class Desk:
    """One ticket under one policy. What is said is kept in `said`."""

    policy: PolicyConfigured
    calendar: CalendarConfigured | None = None
    story: Story = field(default_factory=lambda: Story("t1"))
    said: list[Draft[Fact]] = field(default_factory=list)
    written: dict[Writer, int] = field(default_factory=lambda: {"intake": 0, "routing": 0})

    @property
    def terms(self) -> Terms:
        """The promise of the ticket."""
        calendar = self.calendar
        promise = Promise(
            self.policy.id,
            self.policy.version,
            calendar.id if calendar else None,
            calendar.version if calendar else None,
        )
        return Terms(promise, self.policy, calendar)

    def says(self, writer: Writer, when: str, *facts: Fact, seen: int | None = None) -> Desk:
        """A writer says these, having seen all of the other's, or the first `seen`."""
        other: Writer = "routing" if writer == "intake" else "intake"
        for fact in facts:
            self.written[writer] += 1
            known = self.written[other] if seen is None else seen
            self.take(event(writer, self.written[writer], fact, at(when), known))
        return self

    def take(self, fact: Event[Fact], now: datetime | None = None) -> None:
        """One event off the log."""
        self.story, drafts = hear(self.story, fact, self.terms, now or fact.time)
        self.said += drafts

    def intake(self, when: str, *facts: Fact, seen: int | None = None) -> Desk:
        """Intake says these."""
        return self.says("intake", when, *facts, seen=seen)

    def routing(self, when: str, *facts: Fact, seen: int | None = None) -> Desk:
        """Routing says these."""
        return self.says("routing", when, *facts, seen=seen)

    def ring(self, now: str, *, unconfirmed: bool = False) -> Desk:
        """The timers' turn, with all input read."""
        self.story, drafts = ring(self.story, self.terms, at(now), at(now), unconfirmed=unconfirmed)
        self.said += drafts
        return self

    @property
    def due(self) -> datetime | None:
        """When the timers are needed next."""
        return next_due(self.story)

    def told(self, since: int = 0) -> list[str]:
        """What was said, in short: `started first_response.1 09:30`."""
        return [in_short(draft) for draft in self.said[since:]]


def book(*versions: PolicyConfigured | CalendarConfigured) -> Book:
    """A book of these, each the only version of its id or following the one before."""
    policies: dict[str, tuple[PolicyConfigured, ...]] = {}
    calendars: dict[str, tuple[CalendarConfigured, ...]] = {}
    for version in versions:
        if isinstance(version, PolicyConfigured):
            policies[version.id] = (*policies.get(version.id, ()), version)
        else:
            calendars[version.id] = (*calendars.get(version.id, ()), version)
    return Book(dict(policies), dict(calendars))


def in_short(draft: Draft[Fact]) -> str:
    """One fact about a clock in a line."""
    fact = draft.data
    name = fact.TYPE.removesuffix(".v1").replace("clock.", "").replace("sla.", "")
    parts = [name, f"{fact.target}.{fact.cycle}"]  # type: ignore[attr-defined]
    if name in ("started", "resumed", "breached", "breach_retracted"):
        parts.append(_short_time(fact.deadline))  # type: ignore[attr-defined]
    elif name == "warned":
        parts.append(f"{fact.at_percent}%")  # type: ignore[attr-defined]
    elif name == "paused":
        parts.append(f"{fact.remaining_us / 60e6:g}m {fact.reason}")  # type: ignore[attr-defined]
    elif name == "cancelled":
        parts.append(fact.reason)  # type: ignore[attr-defined]
    elif name == "met":
        parts.append(f"{fact.elapsed_us / 60e6:g}m")  # type: ignore[attr-defined]
    elif name == "breach_cleared":
        parts.append(f"+{fact.over_us / 60e6:g}m")  # type: ignore[attr-defined]
    return " ".join(parts)


def _short_time(when: datetime) -> str:
    text = f"{when:%H:%M:%S}".removesuffix(":00")
    return text if when.date() == MONDAY.date() else f"{when:%a} {text}"
