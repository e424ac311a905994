"""What may be written into the outbox."""

from datetime import UTC, datetime

import pytest

from shared.events.base import Draft
from shared.events.config import CalendarConfigured
from shared.kafka import MAX_RECORD_BYTES
from shared.outbox import EVENT_BYTES, EventTooLarge
from tests.services.shared.conftest import Plumbing


def calendar(holidays: int) -> Draft[CalendarConfigured]:
    """A calendar whose event has ten bytes for each of its holidays."""
    codes = tuple(f"X{number:06}" for number in range(holidays))
    fact = CalendarConfigured(
        id="office", version=1, effective_from=datetime(2026, 1, 1, tzinfo=UTC), zone="UTC", weekly=((),) * 7, holidays_of=codes
    )
    return Draft(key="calendar:office", data=fact, cause="calendar:office:1")


async def test_an_event_that_no_broker_would_take_is_refused_before_it_stops_the_relay(plumbing: Plumbing) -> None:
    with pytest.raises(EventTooLarge, match=str(EVENT_BYTES)):
        await plumbing.publish("routing", calendar(EVENT_BYTES // 10))
    assert await plumbing.rows("SELECT count(*) FROM routing.outbox") == [(0,)]


async def test_an_event_just_below_the_limit_fits_into_a_record(plumbing: Plumbing) -> None:
    await plumbing.publish("routing", calendar((EVENT_BYTES - 1000) // 10))
    [(size,)] = await plumbing.rows("SELECT length(value) FROM routing.outbox")
    assert EVENT_BYTES - 2000 < int(str(size)) <= EVENT_BYTES < MAX_RECORD_BYTES - 10_000
