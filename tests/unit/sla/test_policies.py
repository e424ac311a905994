"""Which promise a ticket gets, and which policies are refused."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from services.sla.domain.policies import Book, WrongPolicy, check_policy
from shared.conditions import All, AnyOf, Test
from shared.events.config import CalendarConfigured, ConfigRemoved, DatedHours, OpenHours, PolicyConfigured, SlaTarget
from tests.unit.sla.desk import LONG_AGO, MONDAY, OFFICE, book, opened, policy, target

GOOD = policy(target("first_response", 60), target("resolution", 480), calendar_id="office")
CALENDARS = {"office": OFFICE}


def changed(**more: object) -> PolicyConfigured:
    return msgspec.structs.replace(GOOD, **more)


def with_target(**more: object) -> PolicyConfigured:
    return changed(targets=(GOOD.targets[0], msgspec.structs.replace(GOOD.targets[1], **more)))


def test_a_good_policy_passes() -> None:
    check_policy(GOOD, CALENDARS)


ONE_DAY = CalendarConfigured(
    id="once",
    version=1,
    effective_from=LONG_AGO,
    zone="UTC",
    weekly=((),) * 7,
    dates=(DatedHours(on=(MONDAY + timedelta(days=1)).date(), hours=(OpenHours(opens="09:00", closes="12:00"),)),),
)

WRONG = [
    ("targets", changed(targets=())),
    ("targets[1].kind", with_target(kind="first_response")),
    ("targets[1].kind", with_target(kind="periodic_update")),
    ("targets[1].seconds", with_target(seconds={})),
    ("targets[1].seconds.5", with_target(seconds={"5": 60})),
    ("targets[1].seconds.urgent", with_target(seconds={"2": 60, "urgent": 60})),
    ("targets[1].seconds.2", with_target(seconds={"2": 0})),
    ("targets[1].seconds.2", with_target(seconds={"2": 10**12})),
    ("targets[1].warn_at_percent", with_target(warn_at_percent=(80, 80))),
    ("targets[1].warn_at_percent", with_target(warn_at_percent=tuple(range(1, 12)))),
    ("targets[1].warn_at_percent[1]", with_target(warn_at_percent=(80, 100))),
    ("targets[1].warn_at_percent[0]", with_target(warn_at_percent=(0,))),
    ("when.field", changed(when=Test(field="colour", op="equals", value="red"))),
    ("when.of[1].of[0].value", changed(when=All(of=(All(), AnyOf(of=(Test(field="channel", op="in", value="email"),)))))),
    ("calendar_id", changed(calendar_id="nights")),
    ("calendar_id", changed(calendar_id="once")),
    ("scope", changed(scope="agent")),
    ("apply_to_open", changed(apply_to_open=True)),
]


@pytest.mark.parametrize(("path", "wrong"), WRONG, ids=[f"{n} {path}" for n, (path, _) in enumerate(WRONG)])
def test_a_policy_that_cannot_be_kept_count_of_is_refused_with_the_place(path: str, wrong: PolicyConfigured) -> None:
    with pytest.raises(WrongPolicy) as refused:
        check_policy(wrong, {**CALENDARS, "once": ONE_DAY})
    assert refused.value.path == path
    assert refused.value.reason


def test_a_calendar_that_is_too_short_for_business_targets_is_long_enough_for_calendar_ones() -> None:
    targets = tuple(msgspec.structs.replace(each, hours="calendar") for each in GOOD.targets)
    check_policy(changed(calendar_id="once", targets=targets), {"once": ONE_DAY})


def test_no_policy_no_promise() -> None:
    assert Book().choose(opened(), MONDAY) is None


def test_the_versions_of_the_opening_apply() -> None:
    newer = msgspec.structs.replace(GOOD, version=2, effective_from=MONDAY)
    longer = msgspec.structs.replace(OFFICE, version=2, effective_from=MONDAY + timedelta(hours=1))
    versions = book(GOOD, newer, OFFICE, longer)
    chosen = [versions.choose(opened(), MONDAY + timedelta(hours=hours)) for hours in (-1, 0, 1)]
    assert [(c.policy_version, c.calendar_version) for c in chosen if c] == [(1, 1), (2, 1), (2, 2)]


def test_a_removed_policy_takes_no_new_ticket_and_keeps_its_promises() -> None:
    before = Book({"standard": (GOOD, ConfigRemoved(version=2, effective_from=MONDAY))}, {"office": (OFFICE,)})
    promise = before.choose(opened(), MONDAY - timedelta(hours=1))
    assert promise is not None
    assert before.choose(opened(), MONDAY) is None
    assert before.terms(promise).policy == GOOD


def test_terms_that_nobody_wrote_down_are_not_made_up() -> None:
    versions = book(GOOD, OFFICE)
    promise = versions.choose(opened(), MONDAY)
    assert promise is not None
    with pytest.raises(LookupError):
        versions.terms(msgspec.structs.replace(promise, policy_version=9))
    with pytest.raises(LookupError):
        versions.terms(msgspec.structs.replace(promise, calendar_version=9))


def test_only_business_targets_count_by_the_calendar() -> None:
    mixed = changed(targets=(GOOD.targets[0], SlaTarget(kind="resolution", seconds={"2": 60}, hours="calendar")))
    versions = book(mixed, OFFICE)
    promise = versions.choose(opened(), MONDAY)
    assert promise is not None
    terms = versions.terms(promise)
    assert [terms.hours(each) for each in mixed.targets] == [OFFICE, None]
