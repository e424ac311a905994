"""The simulator against a whole system for a few seconds: what it wrote down as the truth is what stands in the system."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from services.intake.domain.decide import message_id_of
from shared.events.message import ReplyRequested
from shared.events.work import OfferAccepted, OfferDeclined
from simulator.hand import Conduct
from simulator.patience import Patience
from simulator.plan import Traffic
from simulator.run import NotAcknowledged, Simulation
from simulator.truth import Sending, Truth
from tests.system import System, running_system

CONTACTS = 60
SOON = Patience(answer_seconds=5, longest_wait_seconds=0.5, give_up_seconds=20)
BUSY = Traffic(lost_answer=0.1, twin=0.1, again=0.1, overtakes=0.3, longest_pause_seconds=0.5)


@dataclass
class Ran:
    """A simulation that is over."""

    system: System
    simulation: Simulation
    truth: Truth
    written: Path


@pytest_asyncio.fixture(scope="module")
async def ran(kafka_bootstrap: str, module_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ran]:
    """A few seconds of traffic, with agents who decline now and then."""
    folder: Path = tmp_path_factory.mktemp("simulated")
    truth, written = Truth(), folder / "truth.jsonl"
    truth.write(written)
    async with running_system(kafka_bootstrap, module_database, folder, PATCHBAY_ROUTING_AGAIN_SECONDS="1") as system:
        simulation = Simulation(
            system.places(),
            seed=7,
            truth=truth,
            rate_per_second=40,
            traffic=BUSY,
            conduct=Conduct(decline=0.1, miss=0.0, repeats=0.2, hangs_up=0.1, handle_seconds=(0.0, 0.1)),
            patience=SOON,
            mailbox=system.mailbox,
        )
        async with simulation:
            await simulation.run(CONTACTS)
            assert await simulation.idle(0.7, 60.0), simulation.figures.agents
        truth.close()
        yield Ran(system, simulation, truth, written)


async def tickets_of(ran: Ran) -> dict[str, str]:
    """Where each sending stands, by its key: found by the name that its provider gave it."""
    rows = await ran.system.rows("SELECT id, ticket_id FROM intake.message")
    messages = {row["id"]: row["ticket_id"] for row in rows}
    calls = {row["ref"]: row["ticket_id"] for row in await ran.system.rows("SELECT ref, ticket_id FROM intake.call")}
    found = {}
    for sending in ran.truth.sendings.values():
        if sending.channel == "voice":
            found[sending.key] = calls[sending.key.partition(":")[0]]
        else:
            found[sending.key] = messages[message_id(sending)]
    return found


def message_id(sending: Sending) -> str:
    if sending.channel == "generic":
        answered = {answer.message_id for answer in sending.answers if answer.success}
        assert len(answered) == 1, f"{sending.key} was answered with {answered}"
        return str(answered.pop())
    provider, name = {
        "email": ("smtp", sending.key),
        "sms": ("twilio", sending.key),
        "form": ("form", f"contact:{sending.key}"),
    }[sending.channel]
    return message_id_of(provider, name)


async def test_every_contact_is_acknowledged_and_stands_in_the_system_once(ran: Ran) -> None:
    truth = ran.truth
    assert not truth.outstanding
    assert sum(sending.kind != "call_status" for sending in truth.sendings.values()) == CONTACTS
    messages = [sending for sending in truth.sendings.values() if sending.kind == "message"]
    [row] = await ran.system.rows("SELECT count(*) AS n FROM intake.message")
    assert row["n"] == len({message_id(sending) for sending in messages}) == len(messages)


async def test_a_conversation_is_on_one_ticket_and_no_two_share_one(ran: Ran) -> None:
    placed = await tickets_of(ran)
    tickets: dict[str, set[str]] = {}
    for sending in ran.truth.sendings.values():
        tickets.setdefault(sending.conversation, set()).add(placed[sending.key])
        told = {answer.ticket_id for answer in sending.answers if answer.ticket_id}
        assert told <= {placed[sending.key]}
    assert {conversation: found for conversation, found in tickets.items() if len(found) != 1} == {}
    assert len({next(iter(found)) for found in tickets.values()}) == len(tickets)


async def test_repeats_were_sent_and_answers_were_lost(ran: Ran) -> None:
    figures = ran.simulation.figures
    assert sum(one.repeats for one in figures.channels.values()) > 5
    assert any(answer.status is None for sending in ran.truth.sendings.values() for answer in sending.answers)


async def test_what_agents_were_told_they_did_stands_on_the_log(ran: Ran) -> None:
    log = [event.data for event in await ran.system.log_of("tickets")]
    acts = ran.truth.acts
    for kind, fact in (("accept", OfferAccepted), ("decline", OfferDeclined)):
        answered = {act.offer_id for act in acts if act.kind == kind and act.status == 200}
        assert answered, kind
        assert answered == {event.offer_id for event in log if isinstance(event, fact)}
    replied = {act.message_id for act in acts if act.kind == "reply" and act.status == 201}
    assert replied == {event.message_id for event in log if isinstance(event, ReplyRequested)}
    for act in acts:
        answers = {status for status in act.statuses if status is not None and status < 500}
        assert len(answers) <= 1, f"the same command was answered with {answers}"


async def test_the_truth_that_was_written_as_it_went_is_the_one_in_memory(ran: Ran) -> None:
    written = Truth.read(ran.written)
    assert written.sendings == ran.truth.sendings
    assert written.acts == ran.truth.acts


async def test_a_contact_that_is_refused_is_not_taken_for_acknowledged(ran: Ran) -> None:
    wrong = replace(ran.system.places(), twilio_token="wrong")
    texts_only = Traffic(channels=(("sms", 1),), follow_up=0.0)
    simulation = Simulation(wrong, 8, Truth(), traffic=texts_only, patience=SOON)
    with pytest.raises(NotAcknowledged):
        await simulation.run(1)
    assert simulation.figures.channels["sms"].refused == 1
