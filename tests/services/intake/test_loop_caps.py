"""How much automatic mail a person got before: counted for each window of the caps, on the ticket and in all."""

from __future__ import annotations

from services.intake.store import deliveries
from shared import db
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.world import World, mail_port

# For each ticket and window one that went out a moment within it, and one that is just too old for it.
EARLIER = """
    INSERT INTO intake.delivery (message_id, ticket_id, customer_id, kind, channel, language, state, attempts, created_at,
                                 ended_at)
    SELECT concat_ws(' ', d.ticket_id, minutes, within), d.ticket_id, d.customer_id, 'confirmation', 'email', 'en',
           'delivered', 1,
           d.created_at - make_interval(mins => minutes) + CASE WHEN within THEN interval '1 microsecond' ELSE interval '0' END,
           d.created_at
    FROM intake.delivery d, unnest(ARRAY[10, 30, 60, 180, 600]) AS minutes, unnest(ARRAY[true, false]) AS within
    """
ONE_INSTANT = "UPDATE intake.delivery SET due_at = clock_timestamp(), created_at = (SELECT min(created_at) FROM intake.delivery)"


async def test_each_window_counts_what_went_out_within_it_on_the_ticket_and_to_the_person_and_nothing_older(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    async with mail_port(world) as smtp:
        await deliver(smtp, mail())
        await deliver(smtp, mail(text="And this is about something else.", Message_ID="<2@customers.example>"))
    await world.execute(ONE_INSTANT)
    await world.execute(EARLIER)
    async with db.transaction(world.parts.engine) as conn:
        first, second = sorted(await deliveries.claim(conn, 10, 60.0), key=lambda claimed: claimed.number)
    on_ticket = [1, 3, 5, 7, 9]  # of each smaller window two, of its own the one within
    assert [list(claimed.automatic.on_ticket) for claimed in (first, second)] == [on_ticket, on_ticket]
    assert list(first.automatic.in_all) == [2 * n for n in on_ticket]
    assert list(second.automatic.in_all) == [2 * n + 1 for n in on_ticket], "the one on its way before it counts too"
