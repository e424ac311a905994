"""What comes five times each and in any order is one message each, on its own ticket: mails by SMTP and by IMAP, contacts by the
API. (What providers and forms bring: test_mail_providers.py, test_twilio.py, test_forms.py.)
"""

from __future__ import annotations

import asyncio
import random
from email import policy
from email.message import EmailMessage

from shared import db
from tests.services.intake.imap_server import imap_server
from tests.services.intake.test_imap import reading, until
from tests.services.intake.test_mail import SUPPORT, deliver
from tests.services.intake.world import World, mail_port

TIMES = 5
AT_ONCE = 10  # connections


def mail(who: str, subject: str, text: str, ref: str = "", answers: tuple[str, ...] = ()) -> EmailMessage:
    """As a mail program writes it: an answer names all mails before it, the newest last."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = f"{who}@customers.example", SUPPORT, subject
    message["Date"] = "Sun, 01 Mar 2026 10:00:00 +0200"
    if ref:
        message["Message-ID"] = ref
    if answers:
        message["In-Reply-To"], message["References"] = answers[-1], " ".join(answers)
    message.set_content(text)
    return message


# Two conversations, a mail of somebody who writes again about something else, and one without a Message-ID: by their tickets.
CONVERSATIONS_OF = {
    "ana": [
        mail("ana", "Parcel", "Where is my parcel?", "<a1@c>"),
        mail("ana", "Re: Parcel", "It should have come on Monday.", "<a2@c>", ("<a1@c>",)),
        mail("ana", "Re: Parcel", "Now it is here, thank you.", "<a3@c>", ("<a1@c>", "<a2@c>")),
    ],
    "dan": [
        mail("dan", "Parcel", "Where is my parcel?", "<d1@c>"),
        mail("dan", "Re: Parcel", "And the invoice?", "<d2@c>", ("<d1@c>",)),
    ],
    "ana, another matter": [mail("ana", "Invoice", "The invoice names another street.", "<a9@c>")],
    "nameless": [mail("noa", "Lamp", "The lamp does not light.")],
}
MAILS = [one for mails in CONVERSATIONS_OF.values() for one in mails]
TICKETS = sorted(sorted(str(one["Message-ID"] or "") for one in mails) for mails in CONVERSATIONS_OF.values())


def shuffled(seed: int) -> list[EmailMessage]:
    """Each of them so many times, in an order of its own."""
    mails = MAILS * TIMES
    random.Random(seed).shuffle(mails)
    return mails


async def tickets(world: World) -> list[list[str]]:
    """The Message-IDs of the messages of each ticket."""
    async with db.transaction(world.parts.engine) as conn:
        rows = await db.fetch(conn, "SELECT ticket_id, coalesce(message_ref, '') AS ref FROM intake.message")
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["ticket_id"], []).append(row["ref"])
    return sorted(sorted(refs) for refs in found.values())


async def test_by_smtp_each_is_one_message_on_its_ticket_and_each_time_answered_with_its_number(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    mails, answers = shuffled(1), dict[bytes, set[str]]()
    async with mail_port(world) as port:
        for first in range(0, len(mails), AT_ONCE):
            some = mails[first : first + AT_ONCE]
            for one, answer in zip(some, await asyncio.gather(*(deliver(port, one) for one in some)), strict=True):
                answers.setdefault(one.as_bytes(), set()).add(answer)
    assert await tickets(world) == TICKETS
    assert [len(given) for given in answers.values()] == [1] * len(MAILS)
    assert len({answer for given in answers.values() for answer in given}) == len(TICKETS)
    assert await world.count("parked_contact") == 0


async def test_by_imap_each_is_one_message_on_its_ticket(world: World) -> None:
    await world.inbox("support", channel="email", address=SUPPORT)
    mails = [one.as_bytes() for one in shuffled(2)]
    async with imap_server() as server:
        await server.bring(*mails)
        async with reading(world, server):
            await until(lambda: all_read(world, len(mails)))
    assert await tickets(world) == TICKETS
    assert await world.count("parked_contact") == 0


async def all_read(world: World, uid: int) -> bool:
    return await world.count("mailbox", f"last_uid = {uid}") == 1


async def test_by_the_api_each_is_one_message_with_one_answer_alone_and_in_lists(world: World) -> None:
    contacts = [
        {
            "id": f"m-{n}",
            "channel": "chat",
            "inbox": "web",
            "handle": {"kind": "visitor", "value": f"v-{n % 3}"},
            "text": f"No. {n}",
        }
        for n in range(6)
    ]
    alone, listed = contacts * TIMES, contacts * TIMES
    random.Random(3).shuffle(alone)
    random.Random(4).shuffle(listed)
    lists = [listed[first : first + AT_ONCE] for first in range(0, len(listed), AT_ONCE)]
    headers = await world.key("intake:write")
    posted = [world.http.post("/v1/contacts", json=body, headers=headers) for body in (*alone, *lists)]
    answers = [answer.json() for answer in await asyncio.gather(*posted)]
    told = [*answers[: len(alone)], *(one for answer in answers[len(alone) :] for one in answer["results"])]
    names = [one["id"] for one in (*alone, *listed)]
    assert len({(name, one["message_id"], one["ticket_id"]) for name, one in zip(names, told, strict=True)}) == len(contacts)
    assert (await world.count("message"), await world.count("ticket"), await world.count("parked_contact")) == (6, 3, 0)
