"""Attempts to send: what becomes of each, and what is said of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.intake.domain.delivery import (
    BACK_OFF_SECONDS,
    CAPS,
    Accepted,
    Automatic,
    Delivery,
    NotNow,
    Outcome,
    Refused,
    Unknown,
    drafts,
    interrupted,
    judge,
)
from shared.events.base import event_id
from shared.events.message import DeliveryUncertain

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = Delivery("m1", "t1", "reply", "email", "en", attempts=1)
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


# Minutes, and how much automatic mail goes out in them on one ticket, and to one person in all: what Zammad lets out.
WINDOWS = ((10, 10, 30), (30, 15, 60), (60, 25, 120), (180, 50, 240), (600, 100, 360))


def test_the_windows_of_automatic_mail_are_these() -> None:
    assert [(cap.span, cap.on_ticket, cap.in_all) for cap in CAPS] == [
        (timedelta(minutes=minutes), on_ticket, in_all) for minutes, on_ticket, in_all in WINDOWS
    ]


@pytest.mark.parametrize("place", range(len(WINDOWS)), ids=[f"{minutes} minutes" for minutes, _, _ in WINDOWS])
@pytest.mark.parametrize("what", ["on_ticket", "in_all"])
def test_in_each_window_so_many_go_out_and_not_one_more_until_the_first_is_older_than_it(place: int, what: str) -> None:
    most = WINDOWS[place][1 if what == "on_ticket" else 2]

    def capped(before: int, since: int = place) -> bool:
        """Whether one more is kept back, when so many went out within this window and the longer ones."""
        counts = [before if at >= since else 0 for at in range(len(WINDOWS))]
        return Automatic(in_all=counts).capped if what == "in_all" else Automatic(on_ticket=counts).capped

    assert [capped(most - 1), capped(most), capped(most + 1)] == [False, True, True]
    assert not capped(most, since=place + 1), "all of them are older than the window"


COPIES = Delivery("m1", "t1", "reply", "email", "en", attempts=2, copies_left=("c-1", "c-2"))
LAST = len(BACK_OFF_SECONDS) + 1


@pytest.mark.parametrize(
    ("case", "delivery", "outcome", "state", "left", "told"),
    [
        ("all is taken", FIRST, Accepted("ref"), "delivered", (), ((), ())),
        ("a copy is refused", FIRST, Accepted("ref", ("c-1",)), "delivered", (), (("c-1",), ())),
        ("a copy is put off", FIRST, Accepted("ref", ("c-1",), ("c-2",)), "waiting", ("c-2",), (("c-1",), ("c-2",))),
        (
            "and was for the last time",
            replace(FIRST, attempts=LAST),
            Accepted("r", (), ("c-2",)),
            "delivered",
            (),
            (("c-2",), ()),
        ),
        ("both are put off again", COPIES, Accepted(None, (), ("c-1", "c-2")), "waiting", ("c-1", "c-2"), None),
        ("one is taken", COPIES, Accepted("r", (), ("c-2",)), "waiting", ("c-2",), ((), ("c-2",))),
        ("one is refused", COPIES, Accepted(None, ("c-1",), ("c-2",)), "waiting", ("c-2",), (("c-1",), ("c-2",))),
        ("both are taken", COPIES, Accepted("r"), "delivered", (), ((), ())),
        ("the server is away", COPIES, NotNow("away"), "waiting", ("c-1", "c-2"), None),
        ("for the last time", replace(COPIES, attempts=LAST), NotNow("away"), "delivered", (), (("c-1", "c-2"), ())),
        ("the mail is refused", COPIES, Refused("smtp-554"), "delivered", (), (("c-1", "c-2"), ())),
    ],
)
def test_the_customer_has_it_and_copies_that_were_put_off_are_tried_as_long_as_a_mail_would_be(
    case: str, delivery: Delivery, outcome: Outcome, state: str, left: tuple[str, ...], told: tuple[object, object] | None
) -> None:
    verdict = judge(delivery, outcome, NOW)
    assert (verdict.state, verdict.copies_left, verdict.due_at is None) == (state, left, state == "delivered"), case
    said = [(fact.refused_cc_customer_ids, fact.awaited_cc_customer_ids) for fact in verdict.facts]  # type: ignore[attr-defined]
    assert said == ([told] if told is not None else []), case


def test_a_copy_whose_fate_is_unknown_goes_again_alone_and_makes_the_message_not_uncertain() -> None:
    verdict = judge(COPIES, Unknown("broke-off"), NOW)
    assert (verdict.state, verdict.copies_left) == ("waiting", ("c-1", "c-2"))
    assert (verdict.facts, interrupted(COPIES)) == ((), ())
