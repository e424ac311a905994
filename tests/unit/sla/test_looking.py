"""How clocks look to people between two facts."""

from __future__ import annotations

from services.sla.domain.looking import ClockView, look
from shared.events.ticket import TicketPended
from tests.unit.sla.desk import OFFICE, Desk, at, message, opened, policy, reply, target

HOUR = policy(target("first_response", 60, warn_at_percent=(50,)), target("resolution", 240))
MINUTE = 60_000_000


def clocks_at(desk: Desk, when: str) -> dict[str, ClockView]:
    return {view.target: view for view in look(desk.story, desk.terms, at(when))}


def test_a_running_clock_shows_what_is_used_and_left_now() -> None:
    desk = Desk(HOUR).intake("09:00", opened(), message()).ring("09:30")
    clock = clocks_at(desk, "09:40")["first_response"]
    assert (clock.state, clock.elapsed_us, clock.remaining_us, clock.deadline) == (
        "running",
        40 * MINUTE,
        20 * MINUTE,
        at("10:00"),
    )
    assert (clock.kept, clock.breached_at, clock.warned_at_percent) == (None, None, [50])


def test_a_clock_past_its_deadline_shows_as_broken_before_the_breach_is_published() -> None:
    desk = Desk(HOUR).intake("09:00", opened(), message())
    clock = clocks_at(desk, "10:05")["first_response"]
    assert (clock.breached_at, clock.breach_published, clock.kept, clock.remaining_us) == (at("10:00"), False, False, -5 * MINUTE)
    assert clocks_at(desk.ring("10:05"), "10:05")["first_response"].breach_published


def test_a_paused_clock_has_no_deadline_and_keeps_what_is_left() -> None:
    desk = Desk(HOUR).intake("09:00", opened(), message()).routing("09:10", reply(), TicketPended())
    clocks = clocks_at(desk, "15:00")
    assert (clocks["resolution"].state, clocks["resolution"].reason) == ("paused", "pending")
    assert (clocks["resolution"].deadline, clocks["resolution"].remaining_us) == (None, 230 * MINUTE)
    assert (clocks["first_response"].kept, clocks["first_response"].elapsed_us) == (True, 10 * MINUTE)


def test_closed_hours_use_up_nothing() -> None:
    desk = Desk(HOUR, OFFICE).intake("16:30", opened(), message())
    evening, morning = (clocks_at(desk, when)["first_response"] for when in ("23:00", "Tue 09:10"))
    assert (evening.elapsed_us, morning.elapsed_us) == (30 * MINUTE, 40 * MINUTE)
