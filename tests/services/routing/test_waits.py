"""Waits on a real database: whoever waits is told place and wait, and what was said is held against what came."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from services.routing.domain.estimates import Seen
from services.routing.estimating import Estimator
from services.routing.store import waits
from shared import db
from shared.events.base import Channel
from shared.events.call import CallEnded
from shared.signals import Signals
from tests.services.routing.conftest import House, open_house

pytestmark = pytest.mark.timeout(60)
NO_BROKER = "127.0.0.1:1"


def on(channel: str) -> dict[str, str]:
    """What comes on this channel."""
    return {"is": "test", "field": "channel", "op": "equals", "value": channel}


@pytest_asyncio.fixture
async def line(routing_database: str) -> AsyncIterator[House]:
    """A house without a broker in which a pass may always be made; one queue takes all but mail."""
    async with open_house(routing_database, routing_wait_seconds=1e-6, kafka=NO_BROKER) as opened:
        await opened.queue("mail", when=on("email"))
        await opened.queue("calls", position=2)
        yield opened


def estimator(house: House) -> Estimator:
    return Estimator(house.parts, house.settings, Signals(house.settings, "routing"))


async def look(house: House) -> None:
    """A pass; nobody hears what it says."""
    assert await estimator(house).once() == 0


async def wait_of(house: House, ticket_id: str, role: str = "rina") -> dict[str, Any]:
    return await house.done(role, "GET", f"/v1/tickets/{ticket_id}/wait")


async def scores(house: House, queue_id: str = "calls") -> dict[str, dict[str, Any]]:
    """By estimator."""
    shown = await house.done("operations", "GET", f"/v1/queues/{queue_id}/waits")
    return {one["estimator"]: one["score"] for one in shown["estimators"]}


async def seen(house: House, queue_id: str = "calls") -> Seen:
    [row] = await house.rows("SELECT CAST(seen AS text) AS seen FROM routing.line WHERE queue_id = :id", id=queue_id)
    return msgspec.json.decode(row.seen, type=Seen)


async def seconds_pass(house: House, seconds: float) -> None:
    """The database's clock decides; so those who wait came earlier, and were told so."""
    await house.rows("UPDATE routing.wait SET since = since - make_interval(secs => :s) WHERE ended_at IS NULL", s=seconds)
    await house.rows(
        "UPDATE routing.ticket SET entered_at = entered_at - make_interval(secs => :s),"
        " file_again_at = file_again_at - make_interval(secs => :s),"
        " state = convert_to(jsonb_set(CAST(convert_from(state, 'UTF8') AS jsonb), '{visit,entered_at}',"
        " to_jsonb(entered_at - make_interval(secs => :s)))::text, 'UTF8') WHERE queue_id IS NOT NULL",
        s=seconds,
    )


async def test_who_waits_on_a_live_channel_is_told_and_who_wrote_a_mail_may_ask(line: House) -> None:
    first, second = await line.open("a", channel="phone"), await line.open("b", channel="chat")
    mail = await line.open("c")
    await seconds_pass(line, 90)
    await look(line)
    rows = await line.rows("SELECT ticket_id, queue_id, place, heard FROM routing.wait ORDER BY place")
    assert [tuple(row) for row in rows] == [(first, "calls", 1, False), (second, "calls", 2, False)]
    shown = await wait_of(line, second, "operations")
    assert (shown["queue_id"], shown["position"]) == ("calls", 2)
    assert (shown["used"]["estimator"], shown["servers"]) == ("head_of_line", 0)
    assert 0 <= shown["used"]["wait_seconds"] < 30
    silent = {one["estimator"]: one["cannot_say"] for one in shown["estimates"]}
    assert silent == {
        "head_of_line": None,
        "last_started": "nothing_started",
        "queue_length": "nobody_serves",
        "weighted_last_ten": "nothing_started",
        "running_mean": "nothing_started",
        "handling_ahead": "nobody_serves",
    }
    [told] = shown["told"]
    assert (told["position"], told["ended_at"], len(told["estimates"])) == (2, None, 6)
    of_mail = await wait_of(line, mail)
    assert (of_mail["queue_id"], of_mail["position"], of_mail["told"]) == ("mail", 1, [])


async def test_an_agent_asks_of_their_own_tickets_only(line: House) -> None:
    await line.agent()
    waits_alone, own = await line.open("a", channel="chat"), await line.open("b", channel="chat")
    await line.done("dana", "POST", f"/v1/tickets/{own}/take")
    assert (await line.ask("noa", "GET", f"/v1/tickets/{waits_alone}/wait")).status_code == 403
    assert (await line.ask("rina", "GET", "/v1/tickets/nothing/wait")).status_code == 404
    shown = await wait_of(line, own, "dana")
    assert (shown["queue_id"], shown["position"], shown["estimates"]) == (None, None, [])


async def test_what_was_said_is_held_against_what_came(line: House) -> None:
    first, second, third = [await line.open(name, channel="phone") for name in ("a", "b", "c")]
    await seconds_pass(line, 100)
    await look(line)
    await line.agent("dana")
    await line.done("dana", "POST", f"/v1/tickets/{second}/take")
    await line.hear(third, CallEnded(call_id="c-3", outcome="abandoned"))
    await look(line)
    [told] = (await wait_of(line, second))["told"]
    assert (told["outcome"], round(told["waited_seconds"], -1)) == ("assigned", 100)
    [left] = (await wait_of(line, third))["told"]
    assert left["outcome"] == "abandoned"
    [waits_on] = (await wait_of(line, first))["told"]
    assert waits_on["outcome"] is None
    head = (await scores(line))["head_of_line"]
    assert (head["scored"], head["not_answered"], head["cannot_say"], head["share_near"]) == (1, 1, 0, 1.0)
    assert head["mean_absolute_error_seconds"] < 30
    silent = (await scores(line))["weighted_last_ten"]
    assert (silent["scored"], silent["cannot_say"], silent["share_cannot_say"]) == (0, 2, 1.0)
    after = await seen(line)
    assert (after.ended, len(after.recent), round(after.abandoned, 2)) == (2, 1, 0.5)
    await look(line)
    assert (await scores(line))["head_of_line"]["scored"] == 1


async def test_days_that_are_none_are_refused_and_others_have_no_scores(line: House) -> None:
    path = "/v1/queues/calls/waits"
    shown = await line.done("operations", "GET", f"{path}?first_day=2020-01-01&last_day=2020-01-31")
    assert {one["score"]["scored"] for one in shown["estimators"]} == {0}
    for query in ("first_day=2020-02-01&last_day=2020-01-31", "first_day=2018-01-01&last_day=2020-01-31"):
        refused = await line.ask("operations", "GET", f"{path}?{query}")
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "query.first_day")
    assert (await line.ask("operations", "GET", f"{path}?last_day=0001-01-01")).status_code == 200
    assert (await line.ask("operations", "GET", "/v1/queues/nothing/waits")).json()["code"] == "queue-not-found"


async def test_a_ticket_that_goes_elsewhere_waits_anew_and_its_former_wait_shows_none(line: House) -> None:
    await line.queue("second", position=3)
    await line.agent("dana")
    ticket_id = await line.open("a", channel="chat")
    await look(line)
    await line.done("rina", "POST", f"/v1/tickets/{ticket_id}/transfer", {"to": "queue", "id": "second"})
    await look(line)
    shown = await wait_of(line, ticket_id)
    assert [(one["queue_id"], one["outcome"]) for one in shown["told"]] == [("second", None), ("calls", "transferred")]
    assert (await scores(line))["head_of_line"]["cannot_say"] == 1
    await line.done("dana", "POST", f"/v1/tickets/{ticket_id}/take")
    await look(line)
    again = await wait_of(line, ticket_id)
    assert [(one["queue_id"], one["outcome"]) for one in again["told"]] == [("second", "assigned"), ("calls", "transferred")]


async def test_work_on_a_ticket_counts_when_its_wrap_up_is_over_too(line: House) -> None:
    await line.queue("wrapped", position=1, wrap_up_seconds=600, when=on("chat"))
    await line.agent("dana", capacity_units=30)
    plain, wrapped = await line.open("a", channel="phone"), await line.open("b", channel="chat")
    await look(line)
    for ticket_id in (plain, wrapped):
        await line.done("dana", "POST", f"/v1/tickets/{ticket_id}/take")
    await look(line)
    for ticket_id in (plain, wrapped):
        await line.done("dana", "POST", f"/v1/tickets/{ticket_id}/resolve", {})
    await look(line)
    assert ((await seen(line)).handled, (await seen(line, "wrapped")).handled) == (1, 0)
    await line.done("dana", "POST", f"/v1/tickets/{wrapped}/wrap-up", {"code": "done"})
    await look(line)
    assert ((await seen(line)).handled, (await seen(line, "wrapped")).handled) == (1, 1)
    assert (await seen(line)).handle_seconds > 0


async def die_in_a_pass(line: House) -> None:
    """Make a pass, beside which another process makes none, and lose the connection in it."""
    async with db.transaction(line.parts.engine) as conn:
        assert await waits.claim(conn, 1e-6) is not None
        await look(line)
        assert await line.rows("SELECT 1 FROM routing.wait") == []
        pid = (await db.fetch(conn, "SELECT pg_backend_pid()"))[0][0]
        [ended] = await line.rows("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)
        assert ended[0]


async def test_of_several_processes_one_makes_the_pass_and_another_goes_on_when_it_dies(line: House) -> None:
    await line.open("a", channel="chat")
    with pytest.raises(db.DatabaseAway):
        await die_in_a_pass(line)
    await look(line)
    assert len(await line.rows("SELECT 1 FROM routing.wait")) == 1


async def test_a_pass_is_made_no_sooner_than_it_is_time_and_in_spite_of_a_clock_that_went_back(line: House) -> None:
    async with db.transaction(line.parts.engine) as conn:
        assert await waits.claim(conn, 60) is not None
        assert await waits.claim(conn, 60) is None
    await line.rows("UPDATE routing.wait_pass SET at = now() + interval '1 hour'")
    async with db.transaction(line.parts.engine) as conn:
        assert await waits.claim(conn, 60) is not None


async def test_no_more_are_told_than_there_is_room_for_and_they_are_the_first(routing_database: str) -> None:
    async with open_house(routing_database, routing_wait_seconds=1e-6, routing_wait_tickets=2, kafka=NO_BROKER) as house:
        await house.queue("calls")
        channels: tuple[Channel, ...] = ("phone", "chat", "email", "chat")
        tickets = [await house.open(channel + str(n), channel=channel) for n, channel in enumerate(channels)]
        await look(house)
        rows = await house.rows("SELECT ticket_id, place FROM routing.wait ORDER BY place")
        assert [tuple(row) for row in rows] == [(tickets[0], 1), (tickets[1], 2)]
        assert (await wait_of(house, tickets[1]))["position"] == 2
        far = await wait_of(house, tickets[3])
        assert (far["queue_id"], far["position"], far["used"]) == ("calls", None, None)


async def test_who_is_offered_to_somebody_still_stands_in_line(line: House) -> None:
    first = await line.open("a", channel="chat")
    await line.agent("dana", capacity_units=3)
    await line.offered("dana")
    second = await line.open("b", channel="chat")
    assert [(await wait_of(line, one))["position"] for one in (first, second)] == [1, 2]


async def test_who_could_take_how_many_is_counted_by_channel_skills_and_partner(line: House) -> None:
    await line.queue("skilled", position=1, required_skills={"billing": 2}, when=on("chat"))
    await line.agent("dana", capacity_units=10, skills={"billing": 2}, channel_limits={"chat": 2})
    await line.agent("noa", capacity_units=7, skills={"billing": 9})
    await line.agent("unskilled", skills={"billing": 1})
    await line.agent("away", available=False, skills={"billing": 9})
    await line.agent("theirs", skills={"billing": 9}, partner_id="p")
    ticket_id = await line.open("a", channel="chat")
    shown = await wait_of(line, ticket_id)
    assert (shown["servers"], shown["free"]) == (4, 4)
    await line.done("dana", "POST", f"/v1/tickets/{ticket_id}/take")
    waits_on = await line.open("b", channel="chat")
    shown = await wait_of(line, waits_on)
    assert (shown["servers"], shown["free"]) == (4, 3)


async def test_a_queue_shows_its_length_oldest_wait_estimate_and_service_level_now(line: House) -> None:
    headers = {"If-Match": '"1"'}
    promised = {"service_level_seconds": 20, "service_level_percent": 80}
    body = {"name": {"en": "c"}, "position": 2, **promised, "estimator": "last_started"}
    assert (await line.ask("admin", "PUT", "/v1/queues/calls", body, headers)).status_code == 200
    await line.queue("theirs", position=9, partner_id="p")
    in_time = await line.open("a", channel="phone")
    await line.agent("dana", capacity_units=30, channel_limits={"phone": 9})
    await line.done("dana", "POST", f"/v1/tickets/{in_time}/take")
    late, left = await line.open("b", channel="phone"), await line.open("c", channel="phone")
    await seconds_pass(line, 60)
    await line.done("dana", "POST", f"/v1/tickets/{late}/take")
    await line.hear(left, CallEnded(call_id="c-3", outcome="abandoned"))
    await line.open("d", channel="phone")
    await look(line)
    items = (await line.done("operations", "GET", "/v1/queues"))["items"]
    now = {item["id"]: item["now"] for item in items}
    assert (now["calls"]["waiting"], now["calls"]["estimator"]) == (1, "last_started")
    assert now["calls"]["estimated_wait_seconds"] == pytest.approx(60, abs=10)
    assert now["calls"]["service_level"] == {
        "share": 0.3333,
        "target_percent": 80,
        "within_seconds": 20,
        "over_seconds": 1800,
        "answered": 2,
        "answered_in_time": 1,
        "abandoned": 1,
        "abandoned_late": 1,
    }
    assert (now["calls"]["available_agents"], now["theirs"]["available_agents"]) == (1, 0)
    assert (now["mail"]["waiting"], now["mail"]["service_level"], now["mail"]["estimated_wait_seconds"]) == (0, None, 0.0)
