"""From a raw message to an answer in the mailbox, a warning, a breach, metrics and the desk: through HTTP, SMTP and topics."""

import asyncio
import re
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from client import Desk, Intake, Metrics, ProblemError, Routing, Sla
from deploy import cli, demo_config, openapi
from deploy.demo.agents import Agent
from deploy.demo.customers import LEFT_ALONE, MAILS, Mail, Twilio, send_mail
from shared import auth, db
from shared.events.base import Event, Fact
from shared.events.message import MessageReceived, SurveyAnswered
from shared.events.ticket import TicketOpened
from shared.events.topics import TOPICS
from tests.system import READERS, ROOT, SERVICES, System, until

ANSWER = "Hello, we have sent it today."
LEFT_ALONE_POLICY = "/v1/policies/unattended"
PROMISED_SECONDS = 6


@pytest_asyncio.fixture(scope="module", autouse=True)
async def agents(system: System) -> AsyncIterator[dict[str, Agent]]:
    """Dana and Omar, who accept and answer all that is offered; and a mail that is left alone, for as long as all else takes."""
    answers = {mail.subject: mail.answer for mail in MAILS}
    people = {name: Agent(name, system.api(Routing, name), answers) for name in ("dana", "omar")}
    tasks = [asyncio.create_task(agent.work()) for agent in people.values()]
    await promise_soon(system)
    await send_mail(LEFT_ALONE, system.ports["smtp"])
    yield people
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def promise_soon(system: System) -> None:
    """What is left alone is promised an answer sooner than in the demonstration, where people watch."""
    [policy] = [body for _, path, body in demo_config.CONFIG if path == LEFT_ALONE_POLICY]
    targets = [{**target, "seconds": dict.fromkeys("1234", PROMISED_SECONDS)} for target in policy["targets"]]
    changed = {**policy, "targets": targets}
    (await system.client("sla").put(LEFT_ALONE_POLICY, json=changed, headers={"If-Match": '"1"'})).raise_for_status()


async def story_of(system: System, address: str) -> list[Event[Fact]]:
    """All events of the ticket of the one who wrote from this address, found by its number in the mailbox or by its customer."""
    rows = await system.rows(
        "SELECT t.id FROM intake.ticket t JOIN intake.handle h ON h.customer_id = t.customer_id WHERE h.value = $1", address
    )
    assert len(rows) == 1, f"{address} has {len(rows)} tickets"
    events = await system.log_of("tickets", "sla-clocks", "sla-warnings", "sla-breaches")
    return [event for event in events if event.key == str(rows[0]["id"])]


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(preferencelist=("plain",))
    return str(part.get_content()) if part is not None else ""


def answers_to(system: System, mail: Mail) -> list[EmailMessage]:
    return [message for message in system.mailbox.for_(mail.address) if mail.answer.split("\n")[0] in text_of(message)]


async def test_a_mail_in_each_language_is_confirmed_and_answered_in_it(system: System) -> None:
    for mail in MAILS:
        await send_mail(mail, system.ports["smtp"])
    for mail in MAILS:
        await until(f"{mail.language} answer", lambda mail=mail: bool(answers_to(system, mail)), 60)  # type: ignore[misc]
        events = await story_of(system, mail.address)
        opening = next(event.data for event in events if isinstance(event.data, TicketOpened))
        assert opening.language == mail.language
        assert opening.direction == ("rtl" if mail.language in ("he", "ar") else "ltr")
        confirmations = [m for m in system.mailbox.for_(mail.address) if m["Auto-Submitted"]]
        assert len(confirmations) == 1
        assert str(opening.number) in text_of(confirmations[0])
        kinds = [event.type for event in events if event.writer in ("intake", "routing")]
        assert [
            k for k in kinds if k in ("ticket.opened.v1", "ticket.queued.v1", "ticket.assigned.v1", "reply.requested.v1")
        ] == [
            "ticket.opened.v1",
            "ticket.queued.v1",
            "ticket.assigned.v1",
            "reply.requested.v1",
        ]


async def test_an_answer_to_an_answer_comes_to_the_same_ticket(system: System) -> None:
    mail = Mail(
        "en", "Ruth", "ruth@customers.example", "Broken lamp", "Hello, my new lamp does not work at all. Please help me.", ""
    )
    await send_mail(mail, system.ports["smtp"])
    await until("an answer", lambda: any(not m["Auto-Submitted"] for m in system.mailbox.for_(mail.address)), 60)
    answer = next(m for m in system.mailbox.for_(mail.address) if not m["Auto-Submitted"])
    back = EmailMessage()
    back["From"], back["To"] = f"Ruth <{mail.address}>", mail.to
    back["Subject"], back["In-Reply-To"] = "Re: Broken lamp", str(answer["Message-ID"])
    back["Message-ID"] = "<second@customers.example>"
    back.set_content("Thank you, but it still does not work.")

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", system.ports["smtp"], timeout=15) as client:
            client.send_message(back)

    await asyncio.to_thread(send)
    events = await story_of(system, mail.address)
    assert len([event for event in events if isinstance(event.data, MessageReceived)]) == 2


async def test_a_signed_sms_is_answered_by_sms_and_an_unsigned_one_is_refused(system: System) -> None:
    intake = system.api(Intake, "")
    twilio = Twilio(system.twilio_token, system.url("intake"), intake)
    await twilio.text("+40721234567", "+40312295500", "Bună ziua, coletul meu nu a ajuns. Când îl primesc?")
    await until("the SMS is answered", lambda: any(to == "+40721234567" for to, _ in system.texts.sent), 60)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "x"}
    with pytest.raises(ProblemError) as forged:
        await intake.twilio_sms_received(b"MessageSid=SM1&From=%2B1&To=%2B2", headers)
    assert (forged.value.status, forged.value.code) == (403, "bad-signature")


async def test_an_agent_opens_a_ticket_for_somebody_who_rang_and_nothing_is_sent_to_their_number(
    system: System, agents: dict[str, Agent]
) -> None:
    number = "+40721777000"
    twilio = Twilio(system.twilio_token, system.url("intake"), system.api(Intake, ""))
    await twilio.text(number, "+40312295500", "Bună ziua, când vine curierul cu pachetul meu?")

    async def tickets(channel: str, status: str) -> list[Any]:
        """Of this person."""
        statement = (
            "SELECT t.id, t.customer_id FROM intake.ticket t JOIN intake.handle h ON h.customer_id = t.customer_id"
            " WHERE h.value = $1 AND t.channel = $2 AND t.status = $3"
        )
        return await system.rows(statement, number, channel, status)

    async def texted() -> bool:
        waiting = "SELECT FROM intake.delivery WHERE ticket_id = $1 AND due_at IS NOT NULL"
        return any([not await system.rows(waiting, ticket["id"]) for ticket in await tickets("sms", "resolved")])

    await until("the text message is answered and resolved", texted, 60)
    sent = [body for to, body in system.texts.sent if to == number]
    [text] = await tickets("sms", "resolved")
    wish = {"customer_id": text["customer_id"], "channel": "phone", "subject": "A sunat despre curier"}
    asked = await system.client("routing", "dana").post("/v1/tickets", json=wish)
    assert asked.status_code == 202, asked.text
    ticket_id = str(asked.json()["ticket_id"])

    async def owner() -> str | None:
        for name in agents:
            owned = (await system.client("routing", name).get(f"/v1/agents/{name}/tickets")).json()["items"]
            if any(ticket["ticket_id"] == ticket_id for ticket in owned):
                return name
        return None

    async def taken() -> bool:
        return await owner() is not None

    async def done() -> bool:
        return bool(await tickets("phone", "resolved"))

    await until("an agent has the ticket", taken, 60)
    await agents[await owner() or ""].resolve(ticket_id)
    await until("it is resolved", done, 30)
    events = [event for event in await system.log_of("tickets") if event.key == ticket_id]
    [opening] = [event.data for event in events if isinstance(event.data, TicketOpened)]
    assert (opening.channel, opening.inbox, opening.opened_by, opening.number > 0) == ("phone", "by_hand", "dana", True)
    assert {"ticket.queued.v1", "ticket.assigned.v1", "ticket.resolved.v1"} < {event.type for event in events}
    assert [event.type for event in events if event.type.startswith(("confirmation.", "message.", "call."))] == []
    assert await system.rows("SELECT FROM intake.delivery WHERE ticket_id = $1", ticket_id) == []
    assert [body for to, body in system.texts.sent if to == number] == sent


async def test_a_ticket_by_hand_can_be_tried_from_the_terminal(system: System) -> None:
    person = "email:walkin@customers.example"
    known = await system.client("intake", "channels").put(f"/v1/customers/{person}", json={"name": "Ilinca"})
    assert known.status_code == 200, known.text
    environment = {**system.environment, "PATCHBAY_KEY": system.keys["omar"], "PATCHBAY_SECRETS_DIR": "/nothing/is/there"}

    async def run(*arguments: str) -> Result:
        command = ["send", "by-hand", *arguments]
        return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, command, env=environment))

    asked = await run("--customer", person, "--channel", "phone", "--subject", "Rang about the parcel")
    assert asked.exit_code == 0, asked.output
    unknown = await run("--customer", "email:nobody@customers.example")
    assert (unknown.exit_code, "unknown-customer" in unknown.output) == (1, True)

    new = await run("--name", "Matei", "--phone", "+40 722 111 222", "--subject", "Lost a glove")
    assert (new.exit_code, "A customer was made" in new.output) == (0, True), new.output
    again = await run("--phone", "+40722111222", "--subject", "And the other one")
    assert (again.exit_code, "A customer was made" in again.output) == (0, False), again.output
    both = await run("--customer", person, "--name", "Matei")
    assert (both.exit_code, "not both" in both.output) == (2, True)

    async def opened() -> bool:
        of_known = "SELECT FROM intake.ticket WHERE customer_id = $1 AND channel = 'phone'"
        of_new = """
            SELECT FROM intake.ticket t JOIN intake.handle h USING (customer_id)
            WHERE (h.scope, h.value) = ('claimed', '+40722111222') AND t.inbox = 'by_hand'
            """
        return (len(await system.rows(of_known, known.json()["id"])), len(await system.rows(of_new))) == (1, 2)

    await until("the tickets are opened", opened, 30)


async def test_the_same_request_twice_is_one_message_with_the_same_answer(system: System) -> None:
    first = await system.contact("twice")
    second = await system.contact("twice")
    assert first.status_code == second.status_code == 201, first.text
    assert first.json()["ticket_id"] == second.json()["ticket_id"]
    assert first.json()["message_id"] == second.json()["message_id"]
    other = await system.contact("twice", text="Something else entirely.")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    events = await system.log_of("tickets")
    assert len([e for e in events if e.key == first.json()["ticket_id"] and isinstance(e.data, MessageReceived)]) == 1


async def test_the_metrics_count_what_happened(system: System) -> None:
    openings = len([e for e in await system.log_of("tickets") if isinstance(e.data, TicketOpened)])

    async def counted() -> bool:
        told = await system.api(Metrics, "operations").get_metric("ticket_volume", period="total")
        return told["points"][0]["value"] == openings

    await until("the volume is counted", counted)


async def test_who_was_helped_is_asked_how_it_was_answers_by_the_link_and_sees_what_was_written(system: System) -> None:
    admin, anybody = system.api(Intake), system.api(Intake, "")
    made = await admin.put_survey("care", {"position": 1, "kind": "csat", "queue_ids": ["support"], "delay_seconds": 0})
    mail = Mail("he", "Noga", "noga@customers.example", "מנורה", "שלום, המנורה שהזמנתי הגיעה שבורה. מה עושים?", "")
    await send_mail(mail, system.ports["smtp"])

    def link(kind: str) -> str | None:
        texts = [text_of(message) for message in system.mailbox.for_(mail.address)]
        found = [match[0] for text in texts if (match := re.search(rf"http://[^\s\u2069]+/{kind}/[a-z2-7]+", text))]
        return found[0] if found else None

    await until("the question", lambda: link("survey") is not None, 60)
    await admin.delete_survey("care", made["version"])
    question, status = ((link(kind) or "").rpartition("/")[2] for kind in ("survey", "status"))
    page = await anybody.show_survey(question)
    assert '<html lang="he" dir="rtl">' in page.content.decode()
    assert (await anybody.answer_survey(question, {"score": 5, "answers": 0, "comment": "תודה"})).status == 303

    async def answered() -> bool:
        told = [event.data for event in await story_of(system, mail.address) if isinstance(event.data, SurveyAnswered)]
        return [(answer.score, answer.kind) for answer in told] == [(5, "csat")]

    await until("the answer is on the log", answered, 30)
    messages = (await anybody.ticket_status(status)).get("messages") or []
    assert [message["ours"] for message in messages] == [False, True]
    assert messages[0]["text"] == mail.text


async def test_what_happened_is_read_at_the_desk_until_the_customer_is_erased(system: System) -> None:
    mail = Mail("he", "Tamar", "tamar@customers.example", "שעון", "שלום, השעון שקיבלתי הפסיק לתקתק אחרי יומיים. אפשר להחליף?", "")
    await send_mail(mail, system.ports["smtp"])
    await until("an answer", lambda: any(not m["Auto-Submitted"] for m in system.mailbox.for_(mail.address)), 60)
    desk, supervisor = system.api(Desk, "dana"), system.api(Desk, "supervisor")

    async def found() -> bool:
        return [hit["ticket"]["customer_name"] for hit in (await desk.search_tickets("שעון תקתק tamar")).items] == ["Tamar"]

    await until("the mail is found by its words", found, 30)
    [hit] = (await desk.search_tickets("שעון תקתק tamar")).items
    snippet, ticket_id, customer_id = hit["snippet"], hit["ticket"]["ticket_id"], hit["ticket"]["customer_id"]
    assert snippet is not None
    assert (snippet["direction"], hit["ticket"]["subject"]) == ("rtl", "שעון")

    async def resolved() -> bool:
        return (await desk.get_ticket(ticket_id))["status"] == "resolved"

    await until("it is resolved at the desk", resolved, 30)
    told = [item["type"] for item in (await desk.get_timeline(ticket_id)).items]
    assert [
        kind for kind in told if kind in ("ticket.opened.v1", "ticket.assigned.v1", "reply.requested.v1", "ticket.resolved.v1")
    ] == ["ticket.opened.v1", "ticket.assigned.v1", "reply.requested.v1", "ticket.resolved.v1"]
    card = await supervisor.get_customer(customer_id)
    assert (card["name"], [handle["value"] for handle in card["handles"]]) == ("Tamar", [mail.address])
    assert ticket_id in [item["ticket_id"] for item in (await desk.list_tickets(customer_id=[customer_id], sort="opened")).items]
    await system.api(Intake).erase_customer(customer_id)

    async def gone() -> bool:
        return not (await desk.search_tickets("תקתק")).items

    await until("nothing of it is found", gone, 30)
    with pytest.raises(ProblemError) as erased:
        await supervisor.get_customer(customer_id)
    assert erased.value.code == "customer-erased"


async def test_the_example_of_the_client_s_page_posts_a_contact_and_answers_it(system: System) -> None:
    page = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("\nasyncio.run(main())")[0]
    example: dict[str, Any] = {}
    exec(compile(code, "docs/client.md", "exec"), example)  # noqa: S102 - it is our own
    key = await a_team_of_one_for_chats(system, "noa")
    await example["post"](system.api(Intake, "channels"))
    working = asyncio.create_task(example["work"](Routing(system.url("routing"), key, http=system.http), "noa"))

    async def resolved() -> bool:
        if working.done():
            working.result()
        said = [event.type for event in await story_of(system, "visitor-17")]
        return {"reply.requested.v1", "ticket.resolved.v1"} <= set(said)

    try:
        await until("it is answered and resolved", resolved, 30)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def a_team_of_one_for_chats(system: System, agent: str) -> str:
    """An inbox for chats, and an agent who alone is offered what comes there. Returns the agent's key."""
    # With a webhook of which no secret is set: agents may answer, and nothing is carried anywhere.
    await system.api(Intake).put_inbox("chat", {"channel": "chat", "address": "chat", "webhook": "http://127.0.0.1:9/"})
    routing = system.api(Routing)
    await routing.put_team("chats", {"name": {"en": "Chats"}})
    chats = {"is": "test", "field": "inbox", "op": "equals", "value": "chat"}
    await routing.put_queue("chats", {"name": {"en": "Chats"}, "position": 0, "when": chats, "team_ids": ["chats"]})
    await routing.put_agent(agent, {"display_name": agent, "team_ids": ["chats"]})
    engine = db.make_engine(system.settings, "test")
    try:
        async with db.transaction(engine) as conn:
            return await auth.create_key(conn, agent, "an agent of a test", (f"agent:{agent}",))
    finally:
        await engine.dispose()


@pytest.mark.parametrize("service", [*SERVICES, *READERS])
async def test_what_a_service_serves_as_its_openapi_is_what_is_documented(system: System, service: str) -> None:
    served = (await system.client(service, "").get("/openapi.json")).json()
    assert openapi.rendered(served) == openapi.documents()[f"openapi-{service}.json"]


@pytest.mark.parametrize("service", [*SERVICES, *READERS])
async def test_a_service_consumes_the_topics_whose_table_names_it_as_reader_and_no_others(system: System, service: str) -> None:
    named = {topic.name for topic in TOPICS if service in topic.readers and topic.sequenced}  # signals are heard, not consumed

    async def consumed() -> set[str]:
        return {str(row["topic"]) for row in await system.rows(f"SELECT DISTINCT topic FROM {service}.consumer_offset")}

    async def all_named() -> bool:
        return named <= await consumed()

    await until(f"{service} holds {named}", all_named, 30)
    assert await consumed() == named


async def test_a_promise_that_is_left_alone_is_warned_about_and_broken_at_its_deadline(system: System) -> None:
    async def said(event_type: str) -> list[Event[Fact]]:
        return [event for event in await story_of(system, LEFT_ALONE.address) if event.type == event_type]

    async def breached() -> bool:
        return bool(await said("sla.breached.v1"))

    await until("the breach", breached, 60)
    opened, warned, broken = [(await said(t))[0] for t in ("ticket.opened.v1", "sla.warned.v1", "sla.breached.v1")]
    assert (broken.time - opened.time).total_seconds() == PROMISED_SECONDS
    assert (warned.time - opened.time).total_seconds() == PROMISED_SECONDS / 2
    shown = await system.api(Sla, "operations").get_ticket_sla(opened.key)
    assert [clock["breached_at"] for clock in shown["clocks"] if clock["target"] == "first_response"] == [broken.time]
