"""Four processes of intake at once: who writes for the first time by all of them together has one ticket, with every message."""

import asyncio
import re
import smtplib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from deploy.local.ports import HOST
from shared.events.message import ConfirmationSent, MessageReceived
from shared.events.people import CustomerCreated
from shared.events.ticket import TicketOpened
from simulator import twilio
from simulator.places import NO_ACCOUNT
from tests.infra import server_ports
from tests.system import System, running_system, until

PROCESSES = 4
AT_ONCE = 100
PUBLIC = "https://intake.example"
INBOXES: dict[str, dict[str, str]] = {
    "support": {"channel": "email", "address": "support@patchbay.example"},
    "sms": {"channel": "sms", "address": "+40312295500", "region": "RO"},
    "chat": {"channel": "chat", "address": "chat"},
}


@dataclass(frozen=True)
class Door:
    """One of the processes."""

    url: str
    smtp_port: int

    async def taken(self, channel: str) -> int:
        """How many contacts it has committed itself, as it counts them."""
        async with httpx.AsyncClient(trust_env=False) as http:
            page = (await http.get(f"{self.url}/metrics")).text
        found = re.findall(rf'^patchbay_intake_contacts_total\{{channel="{channel}",.*\}} ([\d.]+)$', page, re.MULTILINE)
        return round(sum(map(float, found)))


@dataclass(frozen=True)
class House:
    """The processes, and what they run on."""

    system: System
    doors: Sequence[Door]


@pytest_asyncio.fixture(scope="module")
async def house(kafka_bootstrap: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder: Path = tmp_path_factory.mktemp("several")
    start = ("intake",)
    async with running_system(
        kafka_bootstrap, module_database, folder, start, PATCHBAY_INTAKE_PUBLIC_URL=PUBLIC, PATCHBAY_DATABASE_POOL="5"
    ) as system:
        for name, config in INBOXES.items():
            (await system.client("intake").put(f"/v1/inboxes/{name}", json=config)).raise_for_status()
        ports = server_ports(2 * (PROCESSES - 1))
        pairs = list(zip(ports[::2], ports[1::2], strict=True))
        for n, (http, smtp) in enumerate(pairs, 2):
            system.start("intake", name=f"intake-{n}", PATCHBAY_INTAKE_PORT=str(http), PATCHBAY_SMTP_PORT=str(smtp))
        await asyncio.gather(*(system.ready(f"intake-{n}", http) for n, (http, _) in enumerate(pairs, 2)))
        pairs.insert(0, (system.ports["intake"], system.ports["smtp"]))
        yield House(system, [Door(f"http://{HOST}:{http}", smtp) for http, smtp in pairs])


async def one_ticket(house: House, kind: str, value: str, channel: str) -> str:
    """The one ticket of the one person with this handle, after AT_ONCE messages: in the tables and on the log."""
    people = await house.system.rows("SELECT customer_id FROM intake.handle WHERE kind = $1 AND value = $2", kind, value)
    assert len(people) == 1
    customer = people[0]["customer_id"]
    tickets = await house.system.rows("SELECT id FROM intake.ticket WHERE customer_id = $1", customer)
    assert len(tickets) == 1
    ticket = str(tickets[0]["id"])
    await until("all is told", lambda: told(house), 60)
    log = [event for event in await house.system.log_of("tickets", "customers") if event.key in (ticket, customer)]
    story = [event for event in log if event.key == ticket]
    received = [event.data for event in story if isinstance(event.data, MessageReceived)]
    assert len({one.message_id for one in received}) == len(received) == AT_ONCE
    assert sum(isinstance(event.data, TicketOpened) for event in log) == 1
    assert sum(isinstance(event.data, CustomerCreated) for event in log) == 1
    numbers = [event.position.seq for event in story if event.writer == "intake"]
    assert list(dict.fromkeys(numbers)) == list(range(1, max(numbers) + 1))
    shares = [await door.taken(channel) for door in house.doors]
    assert sum(shares) == AT_ONCE
    assert all(shares), f"not every process took part: {shares}"
    return ticket


async def told(house: House) -> bool:
    """Whether nothing of intake waits to be published any more."""
    rows = await house.system.rows("SELECT 1 FROM intake.outbox LIMIT 1")
    return not rows


async def all_at_once(house: House, post: Callable[[httpx.AsyncClient, Door, int], Awaitable[httpx.Response]]) -> None:
    """AT_ONCE requests over all processes, each on a connection of its own."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as http:
        answers = await asyncio.gather(*(post(http, house.doors[n % PROCESSES], n) for n in range(AT_ONCE)))
    assert {answer.status_code for answer in answers} <= {200, 201}, [answer.text for answer in answers][:3]


async def confirmed(house: House, ticket: str) -> bool:
    return any(event.key == ticket and isinstance(event.data, ConfirmationSent) for event in await house.system.log_of("tickets"))


async def test_generic_contacts(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.system.keys['channels']}"}

    async def post(http: httpx.AsyncClient, door: Door, n: int) -> httpx.Response:
        handle = {"kind": "provider_id", "value": "visitor-1"}
        body = {"channel": "chat", "inbox": "chat", "id": f"m-{n}", "handle": handle, "text": f"Hello {n}"}
        return await http.post(f"{door.url}/v1/contacts", json=body, headers=headers)

    await all_at_once(house, post)
    await one_ticket(house, "provider_id", "visitor-1", "chat")


async def test_text_messages_which_are_confirmed_once(house: House) -> None:
    sender = "+40721000001"

    async def post(http: httpx.AsyncClient, door: Door, n: int) -> httpx.Response:
        path = "/v1/providers/twilio/sms"
        fields = twilio.message(f"SM{uuid4().hex}", NO_ACCOUNT, sender, "+40312295500", f"Alo {n}, a venit coletul?")
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "X-Twilio-Signature": twilio.signature(PUBLIC + path, fields, house.system.twilio_token),
        }
        return await http.post(door.url + path, content=urlencode(fields), headers=headers)

    await all_at_once(house, post)
    ticket = await one_ticket(house, "phone", sender, "sms")
    await until("the confirmation", lambda: confirmed(house, ticket), 30)
    assert [to for to, _ in house.system.texts.sent] == [sender]


async def test_mails_of_a_thread_that_nobody_here_has_seen_which_is_confirmed_once(house: House) -> None:
    sender = "ruth@customers.example"
    together = threading.Barrier(AT_ONCE, timeout=60)

    def send(n: int) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = f"Ruth <{sender}>", "support@patchbay.example", "Re: Order 17"
        mail["Message-ID"] = f"<{n}@customers.example>"
        mail["In-Reply-To"] = f"<{n - 1}@customers.example>" if n % 10 else "<root@elsewhere.example>"
        mail["References"] = "<root@elsewhere.example>"
        mail.set_content(f"This is what I wanted to say about it, part {n}.")
        with smtplib.SMTP(HOST, house.doors[n % PROCESSES].smtp_port, timeout=60) as client:
            client.ehlo()
            together.wait()
            client.send_message(mail)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        await asyncio.gather(*(asyncio.get_running_loop().run_in_executor(pool, send, n) for n in range(AT_ONCE)))
    ticket = await one_ticket(house, "email", sender, "email")
    await until("the confirmation", lambda: confirmed(house, ticket), 30)
    assert len([mail for mail in house.system.mailbox.for_(sender) if mail["Auto-Submitted"]]) == 1
