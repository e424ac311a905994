"""A run against servers that fail as they are told: everything is sent again until it is acknowledged, with the same bytes."""

import asyncio
from email.message import EmailMessage
from random import Random

import pytest

from client import NoAnswer
from deploy.demo.receivers import mail_server
from deploy.local.ports import free_ports
from services.intake.channels import twilio as theirs
from simulator import twilio
from simulator.mail import MailServer, deliver
from simulator.patience import Patience
from simulator.places import Places
from simulator.plan import Traffic
from simulator.post import Post
from simulator.run import NotAcknowledged, Simulation
from simulator.truth import Truth
from tests.unit.simulator.scripted import CUT, LATER, OK, scripted

SMS = Traffic(channels=(("sms", 1),), follow_up=0, lost_answer=0, twin=0, again=0)
SOON = Patience(answer_seconds=1, first_wait_seconds=0.01, longest_wait_seconds=0.02, give_up_seconds=5)
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


def simulation(url: str, traffic: Traffic = SMS, patience: Patience = SOON) -> Simulation:
    places = Places(url, url, url, url, "127.0.0.1", 1, "token", {"channels": "k"}, agents=())
    return Simulation(places, 1, Truth(), rate_per_second=1000, traffic=traffic, patience=patience)


async def test_a_contact_is_sent_again_with_the_same_bytes_until_it_is_acknowledged() -> None:
    async with scripted(LATER, CUT, OK) as server:
        run = simulation(server.url)
        await run.run(1)
    [sending] = run.truth.sendings.values()
    assert [answer.status for answer in sending.answers] == [503, None, 200]
    assert len(server.requests) == 3
    assert len(set(server.requests)) == 1
    assert run.figures.channels["sms"].retries == 2


async def test_planned_repeats_are_sent_whatever_is_answered() -> None:
    async with scripted(OK) as server:
        repeating = Traffic(channels=SMS.channels, follow_up=0, lost_answer=1, twin=1, again=1, longest_pause_seconds=0.01)
        run = simulation(server.url, repeating)
        await run.run(1)
    assert len(server.requests) == 4
    assert len(set(server.requests)) == 1
    [sending] = run.truth.sendings.values()
    assert sorted(str(answer.status) for answer in sending.answers) == ["200", "200", "200", "None"]


async def test_what_is_refused_is_not_sent_again() -> None:
    async with scripted(FORBIDDEN) as server:
        run = simulation(server.url)
        with pytest.raises(NotAcknowledged, match="1 of 1"):
            await run.run(1)
    assert len(server.requests) == 1


async def test_whoever_gets_no_acknowledgement_gives_up_in_the_end() -> None:
    async with scripted(LATER) as server:
        run = simulation(server.url, patience=Patience(1, 0.01, 0.02, give_up_seconds=0.2))
        with pytest.raises(NotAcknowledged):
            await run.run(1)
    assert run.truth.outstanding


async def test_a_second_run_goes_on_with_the_plan() -> None:
    async with scripted(OK) as server:
        run = simulation(server.url)
        await run.run(2)
        await run.run(2)
    assert len(run.truth.sendings) == 4


def test_waits_double_up_to_the_longest_and_do_as_they_are_asked() -> None:
    patience, random = Patience(first_wait_seconds=0.2, longest_wait_seconds=5), Random(1)
    for failures, most in ((1, 0.2), (2, 0.4), (5, 3.2), (6, 5.0), (10_000, 5.0)):
        assert most / 2 <= patience.wait(failures, None, random) <= most
    assert patience.wait(1, 2.0, random) == 2.0
    assert patience.wait(1, 3_600.0, random) == 5.0


def test_what_we_sign_as_twilio_is_taken_for_signed() -> None:
    fields = twilio.call_status(twilio.call("CA1", "AC1", "+40721000000", "+40312295501", "completed"), 3, 95, 0.0)
    given = twilio.signature("http://127.0.0.1:8101/v1/x", fields, "token")
    assert theirs.is_signed("http://127.0.0.1:8101/v1/x", list(fields.items()), given, ["token"])
    assert not theirs.is_signed("http://127.0.0.1:8101/v1/x", [*fields.items(), ("More", "1")], given, ["token"])


async def test_mail_is_handed_over_as_it_is_and_a_lost_answer_is_no_answer() -> None:
    [port] = free_ports(1)
    content = b"Subject: x\r\n\r\n.one\r\n..two\r\n"
    async with mail_server(port) as mailbox:
        server = MailServer("127.0.0.1", port, 5)
        assert (await deliver(server, "a@x.example", "b@x.example", content))[0] == 250
        with pytest.raises(NoAnswer):
            await deliver(server, "a@x.example", "b@x.example", content, hang_up=True)
    assert mailbox.mails[0][1].get_content() == ".one\r\n..two\r\n"
    with pytest.raises(NoAnswer):
        await deliver(server, "a@x.example", "b@x.example", content)


async def test_a_customer_answers_a_reply_where_one_comes_and_the_confirmation_where_none_does() -> None:
    [port] = free_ports(1)
    post, address = Post(), "ana@customers.example"
    async with mail_server(port, keep=False) as mailbox:
        with post.listening(mailbox), post.expecting(address):
            await deliver(MailServer("127.0.0.1", port), "us@x.example", address, _mail("<c@x>", automatic=True))
            letter = await post.letter(address, reply=True, prefer_seconds=0.05)
            assert (letter.message_ref, letter.reply_to, letter.automatic) == ("<c@x>", "us+1@x.example", True)
            waiting = asyncio.create_task(post.letter(address, reply=True, prefer_seconds=5))
            await deliver(MailServer("127.0.0.1", port), "us@x.example", address, _mail("<r@x>", automatic=False))
            assert (await waiting).message_ref == "<r@x>"
        assert not mailbox.mails
        assert (post.confirmations, post.replies) == (1, 1)


def _mail(ref: str, *, automatic: bool) -> bytes:
    mail = EmailMessage()
    mail["Message-ID"], mail["From"], mail["Reply-To"], mail["Subject"] = ref, "us@x.example", "us+1@x.example", "Re: x"
    if automatic:
        mail["Auto-Submitted"] = "auto-replied"
    mail.set_content("text")
    return mail.as_bytes().replace(b"\n", b"\r\n")
