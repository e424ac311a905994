"""Which promise a ticket gets: policies in their order, and the calendars they count by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeVar

import msgspec

from services.sla.domain.clocks import Counting
from shared import business_time
from shared.business_time import WrongCalendar
from shared.conditions import Fields, WrongCondition, matches
from shared.conditions import check as check_condition
from shared.events.base import Priority
from shared.events.config import CalendarConfigured, ConfigRemoved, PolicyConfigured, SlaTarget, TargetKind
from shared.events.ticket import TicketOpened

WATCHED: tuple[TargetKind, ...] = ("first_response", "next_response", "resolution")
FIELDS = frozenset(
    {
        "channel",
        "inbox",
        "language",
        "priority",
        "vip",
        "plan",
        "customer_tier",
        "topic",
        "product",
        "tags",
        "partner_id",
        "follow_up_of",
        "opened_by",
    }
)
Version = TypeVar("Version", bound=PolicyConfigured | CalendarConfigured | ConfigRemoved)

PRIORITIES = ("1", "2", "3", "4")
LONGEST_SECONDS = 10 * 366 * 24 * 3600
MOST_WARNINGS = 10


class WrongPolicy(ValueError):
    """A policy that cannot be promised: `path` says where, e.g. `targets[0].seconds.2`, `reason` what is wrong."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Promise(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which versions a ticket was promised by, from its opening on."""

    policy_id: str
    policy_version: int
    calendar_id: str | None = None
    calendar_version: int | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """A promise with all that is needed to count it."""

    promise: Promise
    policy: PolicyConfigured
    calendar: CalendarConfigured | None
    counted: tuple[tuple[SlaTarget, Counting], ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Each target with how it is counted, put together once and not with every fact."""
        counted = tuple((target, Counting(self.hours(target), target.warn_at_percent)) for target in self.policy.targets)
        object.__setattr__(self, "counted", counted)

    def target(self, kind: TargetKind) -> SlaTarget | None:
        """What the policy says of this kind."""
        return next((target for target in self.policy.targets if target.kind == kind), None)

    def hours(self, target: SlaTarget) -> CalendarConfigured | None:
        """The calendar that this target counts by, None for every hour of every day."""
        return self.calendar if target.hours == "business" else None


@dataclass(frozen=True, slots=True)
class Book:
    """Every version of every policy and calendar, oldest first; a removal is a version too."""

    policies: Mapping[str, tuple[PolicyConfigured | ConfigRemoved, ...]] = field(default_factory=dict)
    calendars: Mapping[str, tuple[CalendarConfigured | ConfigRemoved, ...]] = field(default_factory=dict)
    _known: dict[Promise, Terms] = field(default_factory=dict, init=False, compare=False, repr=False)

    def choose(self, opened: TicketOpened, at: datetime) -> Promise | None:
        """The promise for a ticket opened at `at`: of the policies in force, the first by position whose condition holds."""
        in_force = (_in_force(versions, at) for versions in self.policies.values())
        fields = fields_of(opened)
        for policy in sorted((p for p in in_force if isinstance(p, PolicyConfigured)), key=lambda p: (p.position, p.id)):
            if policy.scope == "customer" and matches(policy.when, fields):
                calendar = _in_force(self.calendars.get(policy.calendar_id or "", ()), at)
                if isinstance(calendar, CalendarConfigured):
                    return Promise(policy.id, policy.version, calendar.id, calendar.version)
                return Promise(policy.id, policy.version)
        return None

    def last(
        self, kind: Literal["calendar", "policy"], identity: str
    ) -> PolicyConfigured | CalendarConfigured | ConfigRemoved | None:
        """The newest version, be it a removal; None when there never was one."""
        versions: Sequence[PolicyConfigured | CalendarConfigured | ConfigRemoved]
        versions = self.calendars.get(identity, ()) if kind == "calendar" else self.policies.get(identity, ())
        return versions[-1] if versions else None

    def newest_policies(self) -> list[PolicyConfigured]:
        """The newest version of each policy that was not removed."""
        newest = (versions[-1] for versions in self.policies.values())
        return [policy for policy in newest if isinstance(policy, PolicyConfigured)]

    def newest_calendars(self) -> list[CalendarConfigured]:
        """The newest version of each calendar that was not removed."""
        newest = (versions[-1] for versions in self.calendars.values())
        return [calendar for calendar in newest if isinstance(calendar, CalendarConfigured)]

    def terms(self, promise: Promise) -> Terms:
        """The versions that a promise names. Raises LookupError when the book does not hold them."""
        known = self._known.get(promise)
        if known is None:
            known = self._known[promise] = self._terms(promise)
        return known

    def _terms(self, promise: Promise) -> Terms:
        policy = _numbered(self.policies.get(promise.policy_id, ()), promise.policy_version)
        calendar = _numbered(self.calendars.get(promise.calendar_id or "", ()), promise.calendar_version)
        if not isinstance(policy, PolicyConfigured):
            raise LookupError(f"policy {promise.policy_id} has no version {promise.policy_version}")
        if promise.calendar_id is not None and not isinstance(calendar, CalendarConfigured):
            raise LookupError(f"calendar {promise.calendar_id} has no version {promise.calendar_version}")
        return Terms(promise, policy, calendar if isinstance(calendar, CalendarConfigured) else None)


def fields_of(opened: TicketOpened) -> Fields:
    """What conditions may look at: the dimensions decided at the opening."""
    return {name: getattr(opened, name) for name in FIELDS}


def seconds_at(target: SlaTarget, priority: Priority) -> int | None:
    """How many seconds are promised at this priority; None when nothing is."""
    return target.seconds.get(str(priority))


def check_policy(policy: PolicyConfigured, calendars: Mapping[str, CalendarConfigured]) -> None:
    """Refuse a policy that cannot be kept count of. `calendars` are those in force. Raises WrongPolicy."""
    try:
        check_condition(policy.when, FIELDS)
    except WrongCondition as error:
        raise WrongPolicy(error.path, error.reason) from None
    if policy.scope != "customer":
        raise WrongPolicy("scope", "only promises to customers are watched; leave it out or write 'customer'")
    if policy.apply_to_open:
        raise WrongPolicy("apply_to_open", "a policy applies to the tickets opened after it; leave it out or write false")
    if not policy.targets:
        raise WrongPolicy("targets", "a policy promises something; give at least one target")
    for index, target in enumerate(policy.targets):
        _check_target(f"targets[{index}]", target)
        if any(other.kind == target.kind for other in policy.targets[:index]):
            raise WrongPolicy(f"targets[{index}].kind", f"'{target.kind}' is there twice; give each kind once")
    _check_calendar(policy, calendars)


def _check_target(path: str, target: SlaTarget) -> None:
    if target.kind not in WATCHED:
        raise WrongPolicy(f"{path}.kind", f"'{target.kind}' is not watched yet; use {', '.join(WATCHED)}")
    if not target.seconds:
        raise WrongPolicy(f"{path}.seconds", "give the seconds for at least one priority, such as {'2': 3600}")
    for priority, seconds in target.seconds.items():
        if priority not in PRIORITIES:
            raise WrongPolicy(f"{path}.seconds.{priority}", f"priorities are {', '.join(PRIORITIES)}")
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise WrongPolicy(f"{path}.seconds.{priority}", "must be from one second to ten years")
    if len(target.warn_at_percent) > MOST_WARNINGS or len(set(target.warn_at_percent)) < len(target.warn_at_percent):
        raise WrongPolicy(f"{path}.warn_at_percent", f"give each share once, and at most {MOST_WARNINGS}")
    for index, percent in enumerate(target.warn_at_percent):
        if not 1 <= percent <= 99:
            raise WrongPolicy(f"{path}.warn_at_percent[{index}]", "must be from 1 to 99")


def _check_calendar(policy: PolicyConfigured, calendars: Mapping[str, CalendarConfigured]) -> None:
    if policy.calendar_id is None:
        return
    calendar = calendars.get(policy.calendar_id)
    if calendar is None:
        raise WrongPolicy("calendar_id", f"there is no calendar '{policy.calendar_id}'; configure it first, or leave it out")
    longest = max((s for target in policy.targets if target.hours == "business" for s in target.seconds.values()), default=0)
    try:
        business_time.deadline(calendar, max(policy.effective_from, calendar.effective_from), timedelta(seconds=longest))
    except WrongCalendar as error:
        raise WrongPolicy("calendar_id", f"calendar '{calendar.id}' is not open long enough: {error.reason}") from None


def _in_force(versions: Sequence[Version], at: datetime) -> Version | None:
    return next((version for version in reversed(versions) if version.effective_from <= at), None)


def _numbered(versions: Sequence[Version], number: int | None) -> Version | None:
    return next((version for version in versions if version.version == number), None)
