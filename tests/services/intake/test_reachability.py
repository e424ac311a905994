"""Who cannot be written to on a channel, on none of their handles, is told of, once, and again when they can."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from services.intake import consents, reaching
from services.intake.recalling import OF_CUSTOMERS
from services.intake.store import reachable
from shared import db
from shared.clock import clock
from shared.events.message import MessageFailed, MessageReceived
from shared.events.people import CustomerReachabilityChanged
from tests.services.intake.test_customers import call, got, posted, put
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.test_recalled_merges import lose, recall
from tests.services.intake.test_returned_mail import answered, report
from tests.services.intake.test_twilio import sms
from tests.services.intake.world import World, mail_port, mail_server, process
from tests.waiting import until

ONE, OTHER = "+40721234567", "+40721999999"
DAN = "dan@customers.example"
Said = tuple[str, str, bool, str | None]


async def said(world: World) -> list[Said]:
    """What was told: of whom, on which channel, whether they can be written to, why not."""
    told = await world.events(CustomerReachabilityChanged)
    return [(event.key, event.data.channel, event.data.reachable, event.data.reason) for event in told]


async def customer(world: World) -> str:
    return str((await got(world, f"phone:{ONE}"))["id"])


async def stop(world: World, sid: str, word: str = "STOP", number: str = ONE) -> None:
    assert (await sms(world, MessageSid=sid, Body=word, From=number)).status_code == 200


async def test_stop_and_start_are_told_once_each(world: World) -> None:
    await sms(world)
    who = await customer(world)
    for sid, word in (("SM2", "STOP"), ("SM2", "STOP"), ("SM3", "STOP"), ("SM4", "START"), ("SM5", "START")):
        await stop(world, sid, word)
    assert await said(world) == [(who, "sms", False, "opted-out"), (who, "sms", True, None)]
    assert await world.count("customer", "unreachable <> '{}'") == 0


async def test_stop_and_start_of_one_form_of_a_number_are_those_of_the_other_too(world: World) -> None:
    longer, shorter = "+5511987654321", "+551187654321"
    await sms(world, From=longer)
    await stop(world, "SM2", number=longer)
    await sms(world, MessageSid="SM3", From=shorter, Body="Is it on its way?")
    [who] = {event.data.customer_id for event in await world.events(MessageReceived)}
    assert await world.count("handle", "refuses = '{sms}'") == 2
    await stop(world, "SM4", "START", number=shorter)
    assert await world.count("handle", "refuses = '{sms}'") == 0
    await consents.withdraw(world.parts.engine, world.parts.outbox, longer, "sms", "21610")
    assert await world.count("handle", "refuses = '{sms}'") == 2
    assert await said(world) == [(who, "sms", False, "opted-out"), (who, "sms", True, None), (who, "sms", False, "opted-out")]


async def test_of_two_numbers_both_must_refuse_and_another_one_is_a_way_again_until_it_is_gone(world: World) -> None:
    made = await put(world, f"phone:{ONE}", handles=[{"kind": "phone", "value": OTHER}])
    who = str(made["id"])
    await stop(world, "SM1")
    assert await said(world) == []
    await stop(world, "SM2", number=OTHER)
    assert await said(world) == [(who, "sms", False, "opted-out")]
    third = {"kind": "phone", "value": "+40721888888"}
    shown = await put(world, f"phone:{ONE}", if_match=f'"{made["version"]}"', handles=[third])
    assert (await said(world))[1:] == [(who, "sms", True, None)]
    [handle_id] = [one["id"] for one in shown["handles"] if one["value"] == third["value"]]  # type: ignore[attr-defined]
    gone = await world.http.delete(f"/v1/customers/{who}/handles/{handle_id}", headers=await world.key("supervisor"))
    assert gone.status_code == 204
    assert (await said(world))[2:] == [(who, "sms", False, "opted-out")]


async def test_mail_that_comes_back_is_told_and_mail_from_there_takes_it_back(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        async with mail_port(world) as smtp:
            received, _, ref = await answered(world, server, smtp)
            who = received.data.customer_id
            await report(smtp, ref, "delayed", "4.4.1", name="<soft@mx>")
            assert await said(world) == []
            await report(smtp, ref)
            assert await said(world) == [(who, "email", False, "address-returned")]
            await world.reply(received.key, who, "two", "email", 2)
            await world.sender.send_due()
            assert [event.data.code for event in await world.events(MessageFailed)] == ["address-returned"]
            await deliver(smtp, mail("Out of office", From=DAN, Message_ID="<auto@c>", Auto_Submitted="auto-replied"))
            assert len(await said(world)) == 1, "a machine answered"
            await deliver(smtp, mail("I am here", Message_ID="<again@c>"))
        assert (await said(world))[1:] == [(who, "email", True, None)]


async def test_a_number_that_refuses_at_its_provider_is_told(world: World) -> None:
    await sms(world)
    who = await customer(world)
    for _ in range(2):
        await consents.withdraw(world.parts.engine, world.parts.outbox, ONE, "sms", "21610")
    assert await said(world) == [(who, "sms", False, "opted-out")]


async def test_who_is_merged_and_parted_is_reckoned_with_what_is_theirs(world: World) -> None:
    await sms(world)
    one = await customer(world)
    await stop(world, "SM2")
    into = (await posted(world, "sms", "phone", OTHER))["customer_id"]
    await call(world, f"{one}/merge", into_customer_id=into)
    assert (await said(world))[1:] == [(one, "sms", True, None)], "nothing of theirs is left under that id"
    await stop(world, "SM3", number=OTHER)
    assert (await said(world))[2:] == [(into, "sms", False, "opted-out")]
    await stop(world, "SM4", "START", number=OTHER)
    await call(world, f"{one}/unmerge")
    assert (await said(world))[3:] == [(into, "sms", True, None), (one, "sms", False, "opted-out")]


async def test_who_claims_an_address_is_reckoned_with_its_owner(database: str) -> None:
    async with mail_server() as (server, port), process(database, intake_mail_port=port) as world:
        await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        claimer = (await posted(world, "form", "email", DAN))["customer_id"]
        async with mail_port(world) as smtp:
            await deliver(smtp, mail())
            received = (await world.events(MessageReceived))[-1]
            owner = received.data.customer_id
            assert owner != claimer
            await world.reply(received.key, owner, "It is on its way.", "email", 1)
            while await world.sender.send_due():
                continue
            await report(smtp, str(server.mails[-1]["Message-ID"]))
        assert sorted(await said(world)) == sorted((who, "email", False, "address-returned") for who in (owner, claimer))


async def test_of_whom_nothing_is_known_nothing_is_asked_or_told(world: World) -> None:
    for n in range(3):
        await sms(world, MessageSid=f"SM{n}")
    await posted(world, "email", "email", "eve@other.example")
    assert await said(world) == []
    assert await world.count("customer", "reckoned_at IS NOT NULL") == 0


async def test_of_two_handles_that_are_lost_at_once_the_second_sees_the_first(world: World) -> None:
    made = await put(world, f"phone:{ONE}", handles=[{"kind": "phone", "value": OTHER}])
    who = str(made["id"])

    async def refuse(number: str, held: asyncio.Event, go_on: asyncio.Event) -> None:
        async with db.transaction(world.parts.engine) as conn:
            await conn.execute(sa.text("UPDATE intake.handle SET refuses = '{sms}' WHERE value = :value"), {"value": number})
            await reaching.look_at(conn, world.parts.outbox, [who], await clock(conn))
            held.set()
            await go_on.wait()

    held, go_on = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(refuse(ONE, held, go_on))
    await held.wait()
    second = asyncio.create_task(refuse(OTHER, asyncio.Event(), go_on))
    await until("the second waits", world.somebody_waits)
    go_on.set()
    await asyncio.gather(first, second)
    assert await said(world) == [(who, "sms", False, "opted-out")]


async def test_what_crossed_the_telling_is_seen_when_it_is_looked_at_once_more(world: World) -> None:
    await sms(world)
    who = await customer(world)
    await stop(world, "SM2")
    await world.execute("UPDATE intake.handle SET refuses = '{}'")  # what a transaction did that nobody saw
    await world.ticker().reach_again()
    assert len(await said(world)) == 1, "it may still be going on"
    await world.execute("UPDATE intake.customer SET reckoned_at = reckoned_at - interval '1 hour'")
    await world.ticker().reach_again()
    assert (await said(world))[1:] == [(who, "sms", True, None)]
    await world.execute("UPDATE intake.customer SET reckoned_at = reckoned_at - interval '1 hour'")
    await world.ticker().reach_again()
    assert await world.count("customer", "reckoned_at IS NOT NULL") == 0
    assert len(await said(world)) == 2


@pytest.mark.parametrize("words", [("STOP",), ("STOP", "START"), ("STOP", "START", "STOP")])
async def test_after_a_restore_it_stands_as_it_was_told(world: World, words: tuple[str, ...]) -> None:
    await sms(world)
    for n, word in enumerate(words):
        await stop(world, f"SM{n + 2}", word)
    told, log = await said(world), await world.log()
    await lose(world)
    customers = [event for event in log if isinstance(event.data, OF_CUSTOMERS)]
    await recall(world, [customers], [])
    assert await world.count("customer", "unreachable = '{sms}'") == len(words) % 2
    async with db.transaction(world.parts.engine) as conn:
        await reaching.look_at(conn, world.parts.outbox, await reachable.marked(conn, "", 10), await clock(conn))
    assert await said(world) == told, "and nothing new is to be told"
