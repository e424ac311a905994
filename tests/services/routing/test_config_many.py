"""The configuration where a hundred thousand wait."""

from __future__ import annotations

import pytest

from tests.services.routing.conftest import House
from tests.services.routing.test_configuring import send

pytestmark = [pytest.mark.proof, pytest.mark.timeout(300)]
WAITING, AT_ONCE = 100_000, 5_000
QUEUES = 40
COPIES = """
    INSERT INTO routing.ticket SELECT (jsonb_populate_record(t, jsonb_build_object('ticket_id', t.ticket_id || '-' || n,
        'state', '\\x' || encode(convert_to(replace(convert_from(t.state, 'UTF8'), t.ticket_id, t.ticket_id || '-' || n), 'UTF8'),
            'hex')))).*
    FROM routing.ticket t CROSS JOIN generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n
    WHERE t.ticket_id = :id
"""


async def test_a_queue_in_which_many_wait_is_removed_without_standing_still(house: House) -> None:
    other = {"is": "test", "field": "language", "op": "equals", "value": "xx"}
    others = [{"id": f"other-{n}", "name": {"en": "o"}, "position": n, "when": other} for n in range(QUEUES)]
    last = {"id": "last", "name": {"en": "l"}, "position": 99}
    full = {"id": "full", "name": {"en": "f"}, "position": 50}
    made = await send(house, {"queues": [*others, full, last]}, If_Match='"0"')
    assert made.status_code == 200, made.text
    ticket_id = await house.open()
    for first in range(0, WAITING, AT_ONCE):
        await house.rows(COPIES, id=ticket_id, first=first, last=first + AT_ONCE - 1)
    gone = await send(house, {"version": 1, "queues": [*others, last]})
    assert gone.status_code == 200, gone.text
    await house.ticker.once()
    [row] = await house.rows("SELECT count(*) AS n FROM routing.ticket WHERE queue_id = 'last'")
    assert row.n == 1000
    refused = await send(house, {"version": 2, "queues": others})
    assert refused.status_code == 409, refused.text
