"""Random but legal logs: what intake, routing and sla could have said of a ticket."""

from __future__ import annotations

import random
from typing import Any

from shared.events.base import Event
from shared.events.call import CallAnswered, CallEnded
from shared.events.people import AgentLoadChanged, AgentStateChanged
from shared.events.sla import ClockCancelled, ClockMet, ClockStarted, SlaBreachCleared, SlaBreached, SlaBreachRetracted, SlaWarned
from shared.events.ticket import (
    SpamMarked,
    SpamUnmarked,
    TicketClosed,
    TicketEscalated,
    TicketLabelled,
    TicketLeftQueue,
    TicketPended,
    TicketPrioritised,
    TicketPutOnHold,
    TicketReleased,
    TicketReopened,
    TicketTransferred,
)
from shared.events.work import (
    ConsultEnded,
    ConsultRequested,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
    TicketOffered,
    WrapUpCompleted,
    WrapUpStarted,
)
from tests.unit.metrics.teller import Teller, at

AGENTS = ("dana", "omar", "lena")
QUEUES = ("support", "billing")
CHANNELS = ("email", "sms", "phone", "form")


def ticket(dice: random.Random, key: str) -> list[Event[Any]]:
    """The log of one ticket: up to forty facts over some hours."""
    told = Teller(key)
    clock = dice.uniform(0, 7200)
    told.opened(
        clock, channel=dice.choice(CHANNELS), language=dice.choice(("he", "ar", "ro", "en")), priority=dice.choice((1, 2, 3, 4))
    )
    visits = 0
    for _ in range(dice.randrange(40)):
        clock += dice.expovariate(1 / 400)
        visits = _step(dice, told, clock, visits)
    return told.events


def _step(dice: random.Random, told: Teller, clock: float, visits: int) -> int:
    agent, queue = dice.choice(AGENTS), dice.choice(QUEUES)
    match dice.randrange(16):
        case 0 | 1 | 2:
            told.wrote(clock, origin=dice.choice(("human", "human", "auto_reply")), channel=dice.choice(("email", "sms")))
        case 3:
            told.queued(clock, queue, visits + 1)
            return visits + 1
        case 4 | 5:
            told.assigned(clock, agent, visits or None, queue_id=dice.choice((None, queue)), team_id=dice.choice((None, "first")))
        case 6 | 7:
            told.replied(clock, agent, by=dice.choice(("agent", "agent", "bot")), seen=_seen(dice, told))
        case 8:
            told.resolved(clock, agent, seen=_seen(dice, told))
        case 9:
            reason = dice.choice(("abandoned", "spam", "transferred", "resolved", "callback"))
            left = TicketLeftQueue(queue_id=queue, visit=max(1, visits), reason=reason, waited_us=dice.randrange(10**9))  # type: ignore[arg-type]
            told.say("routing", left, clock)
        case 10:
            _offer(dice, told, clock, agent, queue, visits)
        case 11:
            _rest(dice, told, clock, agent)
        case 12:
            _label(dice, told, clock)
        case 13 | 14:
            _move(dice, told, clock, agent)
        case _:
            _call(dice, told, clock, agent)
    return visits


def _seen(dice: random.Random, told: Teller) -> int | None:
    intake = [event for event in told.events if event.writer == "intake"]
    return dice.choice((None, None, max(1, len(intake) - 1)))


def _offer(dice: random.Random, told: Teller, clock: float, agent: str, queue: str, visits: int) -> None:
    offer = {"offer_id": f"o{clock}", "agent_id": agent, "queue_id": queue}
    offered = TicketOffered(offer_id=f"o{clock}", agent_id=agent, queue_id=queue, visit=visits, expires_at=at(clock + 30))
    told.say("routing", offered, clock)
    accepted = OfferAccepted(**offer, answered_us=dice.randrange(30_000_000))
    told.say("routing", dice.choice((accepted, OfferDeclined(**offer), OfferExpired(**offer))), clock + 5)


def _rest(dice: random.Random, told: Teller, clock: float, agent: str) -> None:
    resting = (
        TicketPended(agent_id=agent),
        TicketPutOnHold(agent_id=agent),
        TicketReopened(agent_id=agent),
        TicketReleased(agent_id=agent, reason="supervisor"),
    )
    told.say("routing", dice.choice(resting), clock, seen=_seen(dice, told))


def _move(dice: random.Random, told: Teller, clock: float, agent: str) -> None:
    question = dice.choice(("q1", "q2"))
    moves = (
        TicketTransferred(by_agent_id=dice.choice((None, agent)), to_kind="queue", to_id="billing"),
        TicketEscalated(from_tier=1, to_tier=2, by_agent_id=dice.choice((None, agent))),
        ConsultRequested(consult_id=question, agent_id=agent, expert_id=dice.choice((None, "lena"))),
        ConsultEnded(consult_id=question, outcome=dice.choice(("answered", "expired"))),
        WrapUpStarted(agent_id=agent),
        WrapUpCompleted(agent_id=agent, wrap_up_us=dice.randrange(10**8)),
    )
    told.say("routing", dice.choice(moves), clock)


def _label(dice: random.Random, told: Teller, clock: float) -> None:
    labels = (
        TicketLabelled(topic=dice.choice(("billing", "delivery")), product=dice.choice((None, "kettle"))),
        TicketPrioritised(priority=dice.choice((1, 2, 3, 4)), previous=2),
        SpamMarked(by="agent", agent_id="dana"),
        SpamUnmarked(by="agent", agent_id="dana"),
    )
    told.say("routing", dice.choice(labels), clock)
    if dice.random() < 0.1:
        told.say("intake", TicketClosed(reason="requested"), clock)


def _call(dice: random.Random, told: Teller, clock: float, agent: str) -> None:
    call = f"call{clock}"
    told.called(clock, call)
    if dice.random() < 0.7:
        told.say("intake", CallAnswered(call_id=call, agent_id=dice.choice((None, agent))), clock + 9)
        ended = CallEnded(call_id=call, outcome="completed", talk_us=dice.randrange(10**9), hold_us=dice.randrange(10**7))
    else:
        ended = CallEnded(call_id=call, outcome="abandoned")
    told.say("intake", ended, clock + 99)


def promises(dice: random.Random, key: str) -> tuple[list[Event[Any]], list[Event[Any]], list[Event[Any]]]:
    """The facts of sla about one ticket: of clocks, of warnings, of breaches."""
    clocks, warnings, breaches = Teller(key), Teller(key), Teller(key)
    for cycle in range(1, dice.randrange(1, 4)):
        fields: dict[str, Any] = {
            "clock_id": f"{key}-{cycle}",
            "target": dice.choice(("first_response", "resolution")),
            "cycle": cycle,
            "policy_id": "gold",
            "policy_version": 1,
            "dedup_key": f"{key}-{cycle}",
            "channel": "email",
            "priority": 2,
            "agent_id": dice.choice((None, *AGENTS)),
        }
        start = dice.uniform(0, 20_000)
        due = at(start + 600)
        clocks.say("sla", ClockStarted(**fields, started_at=at(start), deadline=due, target_us=600_000_000), start)
        if dice.random() < 0.4:
            warnings.say("sla", SlaWarned(**fields, at_percent=80, deadline=due, remaining_us=120_000_000), start + 480)
            breaches.say(
                "sla",
                SlaBreached(**fields, deadline=due, target_us=600_000_000, published_late_us=dice.randrange(10**6)),
                start + 600,
            )
            if dice.random() < 0.3:
                breaches.say("sla", SlaBreachRetracted(**fields, deadline=due, cause_event_id="e"), start + 610)
            elif dice.random() < 0.5:
                cleared = SlaBreachCleared(
                    **fields, deadline=due, fulfilled_at=at(start + 900), over_us=300_000_000, elapsed_us=900_000_000
                )
                breaches.say("sla", cleared, start + 900)
        elif dice.random() < 0.8:
            clocks.say("sla", ClockMet(**fields, met_at=at(start + 99), elapsed_us=99_000_000, deadline=due), start + 99)
        elif dice.random() < 0.5:
            clocks.say("sla", ClockCancelled(**fields, reason="closed"), start + 50)
    return clocks.events, warnings.events, breaches.events


def agent(dice: random.Random, key: str) -> list[Event[Any]]:
    """An agent's changes of state and load."""
    told = Teller(key)
    state, clock = "offline", 0.0
    for _ in range(dice.randrange(12)):
        clock += dice.expovariate(1 / 900)
        if dice.random() < 0.5:
            told.say("routing", AgentLoadChanged(used_units=dice.randrange(4), capacity_units=10, tickets=1), clock)
            continue
        following = dice.choice([other for other in ("offline", "available", "break", "wrap_up", "missed") if other != state])
        told.say("routing", AgentStateChanged(state=following, previous=state), clock)  # type: ignore[arg-type]
        state = following
    return told.events
