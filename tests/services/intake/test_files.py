"""Files and HTML of mails over HTTP: for whom they are, as what they are served, links that end."""

import re
from email.message import EmailMessage

import pytest
from httpx import Response

from services.intake.channels.mime import PARTS_CAP
from services.intake.domain.inboxes import Inbox
from services.intake.mail import MailTaker
from services.intake.store.parked import Arrival
from shared.events.base import TEXT_LIMIT_BYTES
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import TicketAssigned
from tests.services.intake.test_mail import SUPPORT, deliver, mail
from tests.services.intake.world import PUBLIC, World, mail_port
from tests.unit.intake.test_files_of_mail import PDF


def letter() -> EmailMessage:
    message = mail()
    message.add_alternative(
        '<p dir="rtl">see <img src="cid:logo@c"><img src="https://spy.example/1.gif"></p><script>x()</script>', subtype="html"
    )
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo@c>")  # type: ignore[union-attr,index]
    message.add_attachment(PDF, "application", "pdf", filename='חשבון "7".pdf')
    message.add_attachment(b"MZ", "application", "octet-stream", filename="run.exe")
    return message


async def came(world: World) -> MessageReceived:
    async with mail_port(world) as port:
        await deliver(port, letter())
    [received] = await world.events(MessageReceived)
    await world.say(received.key, TicketAssigned(agent_id="dana", how="accepted"))
    return received.data


async def test_files_are_named_by_what_they_are_and_marked(world: World) -> None:
    message = await came(world)
    told = [(file.media_type, file.inline, file.dangerous) for file in message.attachments]
    assert told == [("image/png", True, False), ("application/pdf", False, False), ("application/octet-stream", False, True)]


async def test_a_file_is_a_download_by_a_signed_link_that_ends(world: World) -> None:
    message = await came(world)
    path = f"/v1/attachments/{message.attachments[1].id}"
    assert (await world.http.post(f"{path}/link", headers=await world.key("agent:eli"))).status_code == 403
    link = await world.http.post(f"{path}/link", headers=await world.key("agent:dana"))
    assert link.status_code == 200, link.text
    url = link.json()["url"]
    got = await world.http.get(url)
    assert (got.content, got.headers["content-type"]) == (PDF, "application/pdf")
    named = "attachment; filename=\"_____ _7_.pdf\"; filename*=UTF-8''%D7%97%D7%A9%D7%91%D7%95%D7%9F%20%227%22.pdf"
    assert got.headers["content-disposition"] == named
    assert (got.headers["x-content-type-options"], got.headers["content-security-policy"]) == ("nosniff", "sandbox")
    assert "set-cookie" not in got.headers
    at = PUBLIC + "/files/"
    changed = url[:-1] + ("a" if url[-1] != "a" else "b")
    ended = at + world.signer.file_token(message.attachments[1].id, 1)
    for wrong in (changed, ended, at + "x", at + world.signer.status_token(message.attachments[1].id)):
        assert (await world.http.get(wrong)).status_code == 404


async def test_who_has_the_ticket_gets_also_the_parts_of_a_mail_that_were_not_read(world: World) -> None:
    message = mail()
    for n in range(PARTS_CAP + 5):
        message.add_attachment(b"%d" % n, "text", "csv", filename=f"table-{n}.csv")
    async with mail_port(world) as port:
        await deliver(port, message)
    [received] = await world.events(MessageReceived)
    await world.say(received.key, TicketAssigned(agent_id="dana", how="accepted"))
    *_, whole = received.data.attachments
    assert (received.data.parts_left_out, len(received.data.attachments), whole.dangerous) == (True, PARTS_CAP, True)
    link = await world.http.post(f"/v1/attachments/{whole.id}/link", headers=await world.key("agent:dana"))
    got = await world.http.get(link.json()["url"])
    assert (got.headers["content-type"], len(got.content)) == ("message/rfc822", whole.size_bytes)
    assert f"table-{PARTS_CAP + 4}.csv".encode() in got.content


async def test_the_html_of_a_mail_is_safe_and_shows_its_own_pictures_only(world: World) -> None:
    message = await came(world)
    path = f"/v1/messages/{message.message_id}/html"
    assert (await world.http.get(path, headers=await world.key("agent:eli"))).status_code == 403
    assert (await world.http.get(path)).status_code == 401
    got = await world.http.get(path, headers=await world.key("agent:dana"))
    assert "default-src 'none'" in got.headers["content-security-policy"]
    assert '<p dir="rtl">see ' in got.text
    assert "script" not in got.text
    assert "spy.example" not in got.text
    [picture] = re.findall(r'src="([^"]+)"', got.text)
    assert (await world.http.get(picture)).content == b"\x89PNG"


LONG = "\n".join(f"Line {n}: die Feigen sind grün, ميناء" for n in range(1_000))
OLDER = "\n".join(f"> The answer before, line {n} of it" for n in range(1_000))
ATTRIBUTION = "On 5 Jan 2026 at 10:12, Ann <a@b.example> wrote:"


async def text_of(world: World, message: MessageReceived, who: str = "agent:dana") -> Response:
    return await world.http.get(f"/v1/messages/{message.message_id}/text", headers=await world.key(who))


async def cut_message(world: World) -> tuple[MessageReceived, MessagePersonal]:
    """The only message that came, which dana has; it says that it is cut."""
    [received] = await world.events(MessageReceived)
    await world.say(received.key, TicketAssigned(agent_id="dana", how="accepted"))
    personal = await world.opened(received, MessagePersonal)
    assert isinstance(personal, MessagePersonal)
    assert received.data.text_cut
    assert len(personal.text.encode()) <= TEXT_LIMIT_BYTES
    return received.data, personal


async def test_who_has_a_long_mail_reads_all_of_its_text_and_of_what_it_quotes(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(text=f"{LONG}\n\n{ATTRIBUTION}\n{OLDER}\n"))
    message, personal = await cut_message(world)
    assert message.quoted_cut
    got = await text_of(world, message)
    assert got.status_code == 200, got.text
    assert got.json() == {"text": LONG, "quoted": f"{ATTRIBUTION}\n{OLDER}", "from_log": False}
    assert got.json()["text"].startswith(personal.text)
    assert got.json()["quoted"].startswith(personal.quoted)
    assert (got.headers["cache-control"], got.headers["x-content-type-options"]) == ("no-store", "nosniff")


async def test_a_short_mail_says_that_nothing_of_it_is_cut_and_reads_the_same(world: World) -> None:
    async with mail_port(world) as port:
        await deliver(port, mail(text=f"Yes.\n\n{ATTRIBUTION}\n> no\n"))
    [received] = await world.events(MessageReceived)
    assert (received.data.text_cut, received.data.quoted_cut) == (False, False)
    got = await text_of(world, received.data, "supervisor")
    assert got.json() == {"text": "Yes.", "quoted": f"{ATTRIBUTION}\n> no", "from_log": False}


async def test_the_whole_text_is_for_who_has_the_ticket_until_the_person_is_erased(world: World) -> None:
    message = await came(world)
    assert (await text_of(world, message, "agent:eli")).status_code == 403
    assert (await world.http.get(f"/v1/messages/{message.message_id}/text")).status_code == 401
    unknown = await world.http.get("/v1/messages/nothing/text", headers=await world.key("supervisor"))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found")
    assert (await text_of(world, message)).status_code == 200
    erased = await world.http.post(f"/v1/customers/{message.customer_id}/erase", headers=await world.key("admin"))
    assert erased.status_code == 200, erased.text
    assert (await text_of(world, message)).status_code == 404


@pytest.mark.parametrize("way", ["generic", "form", "form_as_json"])
async def test_long_contacts_of_every_other_way_are_read_whole(world: World, way: str) -> None:
    form = {"text": LONG, "email": "dan@customers.example"}
    if way == "generic":
        await world.inbox("web", channel="chat", address="web")
        body = {"channel": "chat", "inbox": "web", "text": LONG, "handle": {"kind": "visitor", "value": "v1"}}
        answer = await world.http.post("/v1/contacts", json=body, headers=await world.key("intake:write"))
    else:
        content = {"json": form} if way == "form_as_json" else {"data": form}
        answer = await world.http.post("/v1/forms/contact", **content)  # type: ignore[arg-type]
    assert answer.status_code == 201, answer.text
    message, _ = await cut_message(world)
    assert (await text_of(world, message)).json() == {"text": LONG, "quoted": "", "from_log": False}


async def test_a_mail_of_files_only_has_a_text_that_is_empty(world: World) -> None:
    message = mail(text="")
    message.add_attachment(PDF, "application", "pdf", filename="bill.pdf")
    async with mail_port(world) as port:
        await deliver(port, message)
    [received] = await world.events(MessageReceived)
    assert (await text_of(world, received.data, "supervisor")).json() == {"text": "", "quoted": "", "from_log": False}


async def test_what_was_read_back_from_the_log_says_so(world: World) -> None:
    message = await came(world)
    await world.execute("UPDATE intake.message SET media_type = 'text/plain', body = convert_to('Grüß Gott', 'UTF8')")
    assert (await text_of(world, message)).json() == {"text": "Grüß Gott", "quoted": "", "from_log": True}


async def test_a_mail_that_takes_too_long_to_read_is_kept(world: World) -> None:
    taker = MailTaker(world.intake.acceptor, world.signer, world.intake.inboxes, world.intake.limiter, parse_seconds=0.0)
    arrival = Arrival("smtp", b"From: a@b.example\n\nx", "a@b.example", (SUPPORT,))
    assert await taker.take(arrival, Inbox("email", "email", SUPPORT)) is None
    assert await world.count("parked_contact", "reason = 'it took too long to read'") == 1
    assert await world.log() == []
