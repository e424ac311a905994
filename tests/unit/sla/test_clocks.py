"""What becomes of promises: stories of tickets, and what is said about their clocks."""

from __future__ import annotations

import pytest

from shared.events.call import CallAnswered, CallReceived
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketClosed,
    TicketMergedInto,
    TicketPended,
    TicketPutOnHold,
    TicketReopened,
    TicketResolved,
    TicketUnmerged,
    TicketWithdrawn,
)
from tests.unit.sla.cases import ASKED, DAY, FIRST, HOUR, QUICK, WHOLE, Case, absorbed, told_of
from tests.unit.sla.desk import message, opened, reply, target

CASES = [
    # first response
    Case("a reply in time keeps the promise", (HOUR,), (ASKED, ("R", "09:20", reply())), (FIRST, "met first_response.1 20m")),
    Case("a reply at the deadline keeps it", (HOUR,), (ASKED, ("R", "10:00", reply())), (FIRST, "met first_response.1 60m")),
    Case(
        "a reply the moment after breaks it",
        (HOUR,),
        (ASKED, ("R", "10:00:00.000001", reply())),
        (FIRST, "breached first_response.1 10:00", "breach_cleared first_response.1 +1.66667e-08m"),
    ),
    Case(
        "the timers break it when nobody replies, once",
        (HOUR,),
        (ASKED, ("T", "10:00"), ("T", "10:01"), ("R", "10:30", reply())),
        (FIRST, "breached first_response.1 10:00", "breach_cleared first_response.1 +30m"),
    ),
    Case("the timers break nothing early", (HOUR,), (ASKED, ("T", "09:59:59.999999")), (FIRST,)),
    Case("a bot's reply is no response", (HOUR,), (ASKED, ("R", "09:20", reply("bot"))), (FIRST,)),
    Case("a machine's mail asks nothing", (HOUR,), (("I", "09:00", opened(), message("out_of_office")),), ()),
    Case(
        "a ticket opened outward promises from the customer's first message",
        (HOUR,),
        (("I", "09:00", opened()), ("R", "09:01", reply()), ("I", "09:30", message()), ("R", "09:40", reply())),
        ("started first_response.1 10:30", "met first_response.1 10m"),
    ),
    Case(
        "talk with an agent is a response",
        (HOUR,),
        (
            (
                "I",
                "09:00",
                opened(channel="phone"),
                CallReceived(call_id="k", customer_id="c1", inbox="line", provider="t", provider_ref="CA"),
            ),
            ("I", "09:00:30", CallAnswered(call_id="k", agent_id=None)),
            ("I", "09:01", CallAnswered(call_id="k", agent_id="dana")),
        ),
        (FIRST, "met first_response.1 1m"),
    ),
    Case(
        "a second message does not move the deadline",
        (HOUR,),
        (ASKED, ("I", "09:40", message()), ("T", "10:00")),
        (FIRST, "breached first_response.1 10:00"),
    ),
    Case(
        "what waits for the customer does not run",
        (HOUR,),
        (
            ASKED,
            ("R", "09:30", TicketPended()),
            ("T", "12:00"),
            ("I", "13:00", message()),
            ("T", "13:29"),
            ("R", "13:30", reply()),
        ),
        (FIRST, "paused first_response.1 30m pending", "resumed first_response.1 13:30", "met first_response.1 60m"),
    ),
    Case(
        "what waits for a third party runs, unless the policy says otherwise",
        (HOUR,),
        (ASKED, ("R", "09:30", TicketPutOnHold()), ("T", "10:00")),
        (FIRST, "breached first_response.1 10:00"),
    ),
    Case(
        "on hold stops the clock where the policy says so",
        (target("first_response", 60, pause_on=("on_hold",)),),
        (ASKED, ("R", "09:30", TicketPutOnHold()), ("T", "11:00"), ("R", "11:00", TicketReopened()), ("T", "11:30")),
        (
            FIRST,
            "paused first_response.1 30m on_hold",
            "resumed first_response.1 11:30",
            "breached first_response.1 11:30",
        ),
    ),
    Case(
        "resolved without a word stops the clock, closed ends it",
        (HOUR,),
        (ASKED, ("R", "09:15", TicketResolved()), ("T", "12:00"), ("I", "13:00", TicketClosed(reason="resolved_long_ago"))),
        (FIRST, "paused first_response.1 45m resolved", "cancelled first_response.1 closed"),
    ),
    Case(
        "reopened after a bot's resolution, the response has what was left",
        (HOUR,),
        (ASKED, ("R", "09:05", TicketResolved(by="bot")), ("I", "14:00", message()), ("R", "14:10", reply())),
        (
            FIRST,
            "paused first_response.1 55m resolved",
            "resumed first_response.1 14:55",
            "met first_response.1 15m",
        ),
    ),
    Case(
        "reopened after a bot's resolution, the response starts anew where the policy says so",
        (target("first_response", 60, on_reopen="restart"),),
        (ASKED, ("R", "09:05", TicketResolved(by="bot")), ("I", "14:00", message()), ("R", "14:10", reply())),
        (
            FIRST,
            "paused first_response.1 55m resolved",
            "cancelled first_response.1 answered_elsewhere",
            "started first_response.2 15:00",
            "met first_response.2 10m",
        ),
    ),
    # resolution
    Case(
        "resolved in time",
        (DAY,),
        (ASKED, ("R", "11:00", TicketResolved())),
        (WHOLE, "met resolution.1 120m"),
    ),
    Case(
        "a resolution that had not seen the last message resolves nothing",
        (DAY,),
        (ASKED, ("I", "10:00", message()), ("R", "11:00", reply()), ("T", "17:00")),
        (WHOLE, "breached resolution.1 17:00"),
    ),
    Case(
        "pending does not count",
        (DAY,),
        (ASKED, ("R", "10:00", TicketPended()), ("I", "12:00", message()), ("R", "13:00", TicketResolved())),
        (WHOLE, "paused resolution.1 420m pending", "resumed resolution.1 19:00", "met resolution.1 120m"),
    ),
    Case(
        "reopened, it runs on",
        (DAY,),
        (ASKED, ("R", "10:00", TicketResolved()), ("I", "12:00", message()), ("T", "19:00")),
        (WHOLE, "met resolution.1 60m", "resumed resolution.1 19:00", "breached resolution.1 19:00"),
    ),
    Case(
        "reopened, it starts anew where the policy says so",
        (target("resolution", 480, on_reopen="restart"),),
        (ASKED, ("R", "10:00", TicketResolved()), ("I", "12:00", message()), ("R", "13:00", TicketResolved())),
        (WHOLE, "met resolution.1 60m", "started resolution.2 20:00", "met resolution.2 60m"),
    ),
    Case(
        "a promise that was broken is not promised again by reopening",
        (DAY,),
        (ASKED, ("T", "17:00"), ("R", "18:00", TicketResolved()), ("I", "18:30", message()), ("R", "19:00", TicketResolved())),
        (WHOLE, "breached resolution.1 17:00", "breach_cleared resolution.1 +60m"),
    ),
    Case(
        "closed unresolved ends it",
        (DAY,),
        (ASKED, ("I", "10:00", TicketClosed(reason="requested"))),
        (WHOLE, "cancelled resolution.1 closed"),
    ),
    Case(
        "closed long after it was resolved changes nothing",
        (DAY,),
        (ASKED, ("R", "10:00", TicketResolved()), ("I", "Tue 10:00", TicketClosed(reason="resolved_long_ago"))),
        (WHOLE, "met resolution.1 60m"),
    ),
    # next response
    Case(
        "each later question has its own clock",
        (HOUR, QUICK),
        (
            ASKED,
            ("R", "09:10", reply()),
            ("I", "09:30", message()),
            ("I", "09:40", message()),
            ("R", "09:50", reply()),
            ("I", "11:00", message()),
            ("T", "11:30"),
        ),
        (
            FIRST,
            "met first_response.1 10m",
            "started next_response.1 10:00",
            "met next_response.1 20m",
            "started next_response.2 11:30",
            "breached next_response.2 11:30",
        ),
    ),
    Case(
        "a question that the resolution covers is answered elsewhere",
        (QUICK,),
        (ASKED, ("R", "09:10", reply()), ("I", "09:30", message()), ("R", "09:40", TicketResolved())),
        ("started next_response.1 10:00", "cancelled next_response.1 answered_elsewhere"),
    ),
    # gone
    *(
        Case(f"{reason} ends all promises", (HOUR, DAY), (ASKED, ("I", "09:10", fact)), (WHOLE, FIRST, *cancelled))
        for reason, fact, cancelled in (
            ("spam", SpamMarked(by="rule"), ("cancelled resolution.1 spam", "cancelled first_response.1 spam")),
            (
                "merged",
                TicketMergedInto(into_ticket_id="t2"),
                ("cancelled resolution.1 merged", "cancelled first_response.1 merged"),
            ),
            (
                "withdrawn",
                TicketWithdrawn(reason="cancelled"),
                ("cancelled resolution.1 withdrawn", "cancelled first_response.1 withdrawn"),
            ),
        )
    ),
    Case(
        "what is no spam after all is promised anew",
        (HOUR,),
        (ASKED, ("I", "09:10", SpamMarked(by="rule")), ("R", "11:00", SpamUnmarked(by="agent")), ("R", "11:30", reply())),
        (FIRST, "cancelled first_response.1 spam", "started first_response.2 12:00", "met first_response.2 30m"),
    ),
    Case(
        "an older promise that comes in with a merge is kept",
        (HOUR,),
        (ASKED, ("I", "09:10", absorbed("08:30")), ("T", "09:40")),
        (FIRST, "resumed first_response.1 09:30", "breached first_response.1 09:30"),
    ),
    Case(
        "a promise that came in with a merge is kept by the reply that had crossed it",
        (HOUR,),
        (("I", "09:00", opened(), absorbed("08:30")), ("I", "09:10", absorbed("08:30", "09:05")), ("T", "12:00")),
        ("started first_response.1 09:30", "met first_response.1 40m"),
    ),
    Case(
        "what is unmerged is promised anew",
        (DAY,),
        (ASKED, ("I", "09:10", TicketMergedInto(into_ticket_id="t2")), ("I", "10:00", TicketUnmerged(from_ticket_id="t2"))),
        (WHOLE, "cancelled resolution.1 merged", "started resolution.2 18:00"),
    ),
    Case(
        "what is broken stays broken when it turns out as spam",
        (HOUR,),
        (ASKED, ("T", "10:00"), ("R", "10:30", SpamMarked(by="agent"))),
        (FIRST, "breached first_response.1 10:00", "cancelled first_response.1 spam"),
    ),
    # business hours
    Case(
        "only open hours count",
        (HOUR,),
        (("I", "Fri 16:30", opened(), message()), ("T", "Sun 12:00")),
        ("started first_response.1 Mon 09:30",),
        office=True,
    ),
    Case(
        "exact to the second over night",
        (HOUR,),
        (("I", "16:59:31", opened(), message()), ("T", "Tue 09:59:31")),
        ("started first_response.1 Tue 09:59:31", "breached first_response.1 Tue 09:59:31"),
        office=True,
    ),
    Case(
        "calendar time counts day and night beside a calendar",
        (target("first_response", 60, hours="calendar"),),
        (("I", "Sat 03:00", opened(), message()),),
        ("started first_response.1 Sat 04:00",),
        office=True,
    ),
    Case(
        "what was asked and answered while closed took no time",
        (HOUR,),
        (("I", "Sat 03:00", opened(), message()), ("R", "Sat 15:00", reply())),
        ("started first_response.1 Mon 10:00", "met first_response.1 0m"),
        office=True,
    ),
    Case(
        "a pause across the night gives back only open hours",
        (DAY,),
        (ASKED, ("R", "16:00", TicketPended()), ("I", "Tue 10:00", message()), ("R", "Tue 10:30", TicketResolved())),
        (WHOLE, "paused resolution.1 60m pending", "resumed resolution.1 Tue 11:00", "met resolution.1 450m"),
        office=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_story_says_of_its_clocks(case: Case) -> None:
    assert told_of(case) == list(case.told)
