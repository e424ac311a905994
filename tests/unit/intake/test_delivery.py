"""Attempts to send: what becomes of each, and what is said of it."""

from dataclasses import replace
from datetime import UTC, datetime

from services.intake.domain.delivery import Delivery, Unknown, drafts, interrupted, judge
from shared.events.base import event_id
from shared.events.message import DeliveryUncertain

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECOND_ATTEMPT = Delivery("m1", "t1", "reply", "email", "en", attempts=2, interrupted=True)


def test_an_interrupted_attempt_and_an_uncertain_one_after_it_are_two_facts() -> None:
    found = drafts(SECOND_ATTEMPT, interrupted(SECOND_ATTEMPT))
    found += drafts(SECOND_ATTEMPT, judge(SECOND_ATTEMPT, Unknown("broke-off"), NOW).facts)
    assert [draft.data for draft in found] == [
        DeliveryUncertain(message_id="m1", channel="email", attempt=1),
        DeliveryUncertain(message_id="m1", channel="email", attempt=2),
    ]
    assert len({event_id(draft.cause, draft.data.TYPE, draft.key) for draft in found}) == 2


def test_an_attempt_says_the_same_under_the_same_identity_however_often_it_is_told() -> None:
    one, again = (drafts(SECOND_ATTEMPT, judge(SECOND_ATTEMPT, Unknown("broke-off"), NOW).facts) for _ in range(2))
    third = replace(SECOND_ATTEMPT, attempts=3)
    assert [draft.cause for draft in one] == [draft.cause for draft in again]
    assert [draft.cause for draft in one] != [draft.cause for draft in drafts(third, judge(third, Unknown("x"), NOW).facts)]
