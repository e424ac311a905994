"""Mail that comes by two ways: rule D3 of our channel notes as a table. The same is one message, nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.intake.domain.contacts import Handle, InboundFile, InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.fingerprints import marked, original
from services.intake.domain.known import Coming, Known, Received
from services.intake.domain.plan import CameAgain, NewMessage
from services.intake.domain.tell import tell
from shared.events.message import MessageReceived

KEY = b"k" * 32
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
ANA = Handle("email", "ana@b.example")
TEXT = "Așteptăm de o săptămână coletul."
FILE = InboundFile(part=1, name="a.pdf", media_type="application/pdf", size_bytes=1, sha256="a" * 64)
names = iter(range(10**9))


def mail(way: str = "smtp", ref: str | None = None, text: str = TEXT, **more: object) -> InboundMessage:
    """A mail; without Message-ID it has a name that nothing else has."""
    plain = InboundMessage(
        provider="smtp",
        dedup_key=ref or f"sha256:{next(names)}",
        content_hash=f"{way}{text}",
        conflict_key=f"sha256:{way}{text}" if ref else None,
        channel="email",
        inbox="support",
        handle=ANA,
        subject="Coletul meu",
        text=text,
        message_ref=ref,
        names="smtp",
        way=way,
    )
    message = marked(replace(plain, **more), KEY)
    assert isinstance(message, InboundMessage)
    return message


def posted(ref: str | None = None) -> InboundMessage:
    """The same through a connector of one's own, which may give it an id."""
    return mail("", ref, provider="generic", names=None)


@pytest.mark.parametrize(
    ("case", "contacts", "messages"),
    [
        ("without Message-ID by two ways", [mail(), mail("imap")], 1),
        ("… by three", [mail(), mail("imap"), mail("postmark")], 1),
        ("… with one on the one way only", [mail(ref="<1@b>"), mail("imap")], 1),
        ("… the other way round", [mail(), mail("imap", "<1@b>")], 1),
        ("… through a connector", [mail(ref="<1@b>"), posted()], 1),
        ("… through one that calls it by its Message-ID", [mail(ref="<1@b>"), posted(ref="<1@b>")], 1),
        ("… lines broken elsewhere", [mail(), mail("imap", text=TEXT.replace(" ", "\n  "))], 1),
        ("… at the same time", [mail(provider_time=NOON), mail("imap", provider_time=NOON)], 1),
        ("… with the same file", [mail(files=(FILE,)), mail("imap", files=(FILE,))], 1),
        ("a Message-ID, letters with another mark below", [mail(ref="<1@b>"), mail("ses", "<1@b>", TEXT.replace("ș", "ş"))], 1),
        ("a Message-ID, accents lost", [mail(ref="<1@b>"), mail("ses", "<1@b>", "Asteptam de o saptamana coletul.")], 2),
        ("a Message-ID, letters lost", [mail(ref="<1@b>"), mail("ses", "<1@b>", "A?tept?m de o s?pt?m?n? coletul.")], 1),
        ("… all of them", [mail(ref="<1@b>", text="לא, תודה"), mail("ses", "<1@b>", "??, ????")], 1),
        ("… and the readable one comes last", [mail("ses", "<1@b>", "A?tept?m"), mail(ref="<1@b>", text="Așteptăm")], 2),
        # what is said twice
        ("twice by one way", [mail(), mail()], 2),
        ("two Message-IDs", [mail(ref="<1@b>"), mail("imap", "<2@b>")], 2),
        ("two times", [mail(provider_time=NOON), mail("imap", provider_time=NOON + timedelta(seconds=90))], 2),
        ("twice, by both ways each", [mail(), mail("imap"), mail("imap"), mail()], 2),
        # what is not the same
        ("other words", [mail(), mail("imap", text="Altceva.")], 2),
        ("other words of the same shape", [mail(text="כן, תודה"), mail("imap", text="לא, תודה")], 2),
        ("… under one Message-ID", [mail(ref="<1@b>", text="כן, תודה"), mail("ses", "<1@b>", "לא, תודה")], 2),
        ("another subject", [mail(), mail("imap", subject="Altul")], 2),
        ("somebody else", [mail(), mail("imap", handle=Handle("email", "dan@b.example"))], 2),
        ("one who only claims the address", [mail(), mail("imap", handle=replace(ANA, scope="claimed"))], 2),
        ("nobody", [mail(handle=None), mail("imap", handle=None)], 2),
        ("another file", [mail(files=(FILE,)), mail("imap", files=(replace(FILE, sha256="b" * 64),))], 2),
        ("nothing said", [mail(text="", subject=""), mail("imap", text="", subject="")], 2),
        ("ids of a connector's own", [posted(ref="m-1"), mail()], 2),
        ("text messages", [mail(channel="sms", text="ok"), mail("imap", channel="sms", text="ok")], 2),
    ],
)
def test_the_same_mail_by_another_way_is_one_message_and_nothing_else_is(
    case: str, contacts: list[InboundMessage], messages: int
) -> None:
    plan = decide(contacts, Known())
    stored = [step for step in plan.steps if isinstance(step, NewMessage)]
    assert len(stored) == messages, case
    again = decide([*contacts, *contacts], Known())
    assert sum(isinstance(step, NewMessage) for step in again.steps) == messages, "what is repeated under its name is known by it"
    for placement in plan.placements:
        assert placement.item_id in {step.message_id for step in stored}
        assert placement.repeated or not placement.conflict


def test_a_copy_is_answered_as_what_it_copies_and_says_nothing() -> None:
    first, copy = mail(), mail("imap", "<1@b>")
    plan = decide([first, copy], Known())
    answer, again = plan.placements
    assert (again.ticket_id, again.item_id, again.opened, again.repeated) == (answer.ticket_id, answer.item_id, True, True)
    [step] = [step for step in plan.steps if isinstance(step, CameAgain)]
    assert step.message_id == answer.item_id != step.name_id
    assert sum(isinstance(draft.data, MessageReceived) for draft in tell(plan)) == 1


def test_what_answers_the_copy_comes_to_the_ticket() -> None:
    answer = mail("imap", "<2@b>", "Mulțumesc!", reply_refs=("<1@b>",))
    plan = decide([mail(), mail("imap", "<1@b>"), answer], Known())
    assert len({placement.ticket_id for placement in plan.placements}) == 1


def test_a_copy_whose_name_is_known_is_one_whenever_it_comes_and_other_words_under_it_are_not_lost() -> None:
    copy = mail("imap", "<1@b>")
    plan = decide([mail(), copy], Known())
    [step] = [step for step in plan.steps if isinstance(step, CameAgain)]
    known = Known(received={step.name_id: Received(step.message_id, "t", 1, "c", copy.content_hash, True)})
    assert decide([copy], known).placements[0].item_id == step.message_id
    assert not decide([mail("imap", "<1@b>", "Altceva cu totul.")], known).placements[0].repeated


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_fingerprint_is_a_secret_and_the_same_only_for_the_same(one: str, other: str) -> None:
    first, second = mail(text=one).fingerprint, mail("imap", text=other).fingerprint
    assert first is not None
    assert second is not None
    if " ".join(one.split()) == " ".join(other.split()):
        assert (first.words, first.shape) == (second.words, second.shape)
    if first.words == second.words and one.isascii() and other.isascii():
        assert one.split() == other.split()
    foreign = marked(mail(text=one), b"j" * 32)
    assert isinstance(foreign, InboundMessage)
    assert foreign.fingerprint is not None
    assert foreign.fingerprint.words != first.words


def test_of_two_that_say_the_same_the_first_is_the_original_unless_it_came_so_itself() -> None:
    copy = mail("imap")
    assert copy.fingerprint is not None

    def coming(name: str, way: str) -> Coming:
        return Coming(Received(name, "t", 1, "c", "", True), mark.words, mark.kept, way, None, None)

    mark = copy.fingerprint
    assert _id(original(copy, [coming("a", "smtp"), coming("b", "smtp")])) == "a"
    assert _id(original(copy, [coming("a", "smtp"), coming("a", "imap"), coming("b", "smtp")])) == "b"
    assert original(copy, [coming("a", "imap")]) is None
    assert original(replace(copy, fingerprint=None), [coming("a", "smtp")]) is None


def _id(message: Received | None) -> str | None:
    return message.message_id if message is not None else None
