"""Out of what others wrote, and providers said, an erased person's address goes however it is encoded; the rest stays."""

from __future__ import annotations

import base64
import json

from tests.services.intake.test_copies import ANA, received, written
from tests.services.intake.test_erasure import erase, traces, uploaded
from tests.services.intake.test_mail import deliver, mail
from tests.services.intake.world import World

QUOTED = f"I said so to Ana Popescu <{ANA}> already.\n\nOn 5 Jan 2026 at 10:12, Ana Popescu <{ANA}> wrote:\n> Green figs.\n"
ESCAPED = ANA.replace("@", "\\u0040")


async def answer(world: World, port: int, name: str, cte: str, **headers: str) -> None:
    """Dan writes again on the ticket, and nobody has a copy."""
    message = mail("Re: My parcel", Message_ID=name, In_Reply_To="<first@customers.example>", **headers)
    message.set_content(f"{'so ' * 20}{QUOTED}", cte=cte)
    await deliver(port, message)


async def columns(world: World, *words: str) -> set[str]:
    return {trace.column for trace in await traces(world, *words)}


async def test_it_goes_out_of_encoded_mails_with_and_without_a_copy_and_out_of_what_providers_said(database: str) -> None:
    async with written(database) as (world, _, port):
        [first] = await received(world)
        [ana] = first.cc_customer_ids
        await answer(world, port, "<2@c>", "base64")
        await answer(world, port, "<3@c>", "quoted-printable")
        await answer(world, port, "<4@c>", "base64", Cc=f"=?utf-8?q?Ana_Popescu?= <{ANA}>")
        assert len({event.customer_id for event in await received(world)}) == 1
        said = json.dumps({"event": "bounce", "to": ["dan@customers.example", "ANA"]}).replace("ANA", ESCAPED)
        await world.execute(
            "INSERT INTO intake.word (id, customer_id, media_type, body, received_at)"
            " VALUES ('w', :dan, 'application/json', convert_to(:said, 'UTF8'), now())",
            dan=first.customer_id,
            said=said,
        )
        assert await columns(world, ANA) >= {"intake.message.body", "intake.handle.value"}
        assert await erase(world, ana) == [ana]
        assert await columns(world, ANA, f"Ana Popescu <{ANA}") == set()
        assert await world.count("word", f"position(convert_to('{ESCAPED.split('.')[0]}', 'UTF8') IN body) > 0") == 0
        assert await world.count("word", "position(convert_to('dan@customers.example', 'UTF8') IN body) > 0") == 1
        assert "intake.message.body" in await columns(world, "Green figs.")
        assert await world.count("message", "body IS NOT NULL") == 4


async def test_what_nobody_could_read_goes_where_it_names_them_however_it_is_encoded(database: str) -> None:
    async with written(database) as (world, _, _):
        [ana] = (await received(world))[0].cc_customer_ids
        coded = base64.encodebytes(QUOTED.encode())
        park = world.intake.park
        await park("mailgun", "not understood", "application/json", json.dumps({"to": ANA}).replace("@", "\\u0040").encode())
        await park("smtp", "not understood", "message/rfc822", b"Content-Transfer-Encoding: base64\n\n" + coded)
        form = b"email=a:1%0Ab:2%0A%0A" + ANA.encode().replace(b".", b"%2E")
        await park("sendgrid", "not understood", "application/x-www-form-urlencoded", form)
        await park("smtp", "not understood", "message/rfc822", b"Subject: Green figs\n\nfor eve@customers.example")
        await uploaded(world, b"a: b\nContent-Transfer-Encoding: base64\n\n" + coded)
        await uploaded(world, b"Green figs")
        assert (await world.count("parked_contact"), await world.count("file")) == (4, 2)
        await erase(world, ana)
        assert (await world.count("parked_contact"), await world.count("file")) == (1, 1)
        assert await columns(world, "Green figs") == {"intake.parked_contact.body", "intake.file.content"}
