"""Which ticket: rules T1 to T4 and C1 of our channel notes as tables over facts."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from services.intake.domain.authentication import NOT_TOLD, Authentication
from services.intake.domain.contacts import Contact, Handle, InboundMessage
from services.intake.domain.decide import decide, numbered
from services.intake.domain.identity import claimed
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Named, Ref
from services.intake.domain.mail_hosts import is_shared
from services.intake.domain.plan import NewMessage, NewTicket
from services.intake.domain.tell import tell
from services.intake.domain.threads import Rules
from shared import ticket as fold
from shared.events.base import NOTHING_SEEN, Channel, Event, Fact, Position
from shared.events.message import MessageReceived, Origin
from shared.events.ticket import TicketLinked, TicketOpened, TicketResolved
from tests.unit.intake.test_decide import chat, letter

ANA, BOB = Handle("email", "ana@firm.example"), Handle("email", "bob@firm.example")
EVE, MAX = Handle("email", "eve@elsewhere.example"), Handle("email", "max@gmail.com")
OWN = Authentication("mx.firm.example", dmarc="pass", proven=True)
FORGED = Authentication("mx.firm.example", dmarc="fail")
LONG, DAYS = timedelta(days=40), timedelta(days=1)
PARCEL = KnownTicket("parcel", 100234, "c-ana", subject="My parcel")


def known(*tickets: KnownTicket, **more: object) -> Known:
    """Ana wrote about her parcel; Bob of the same firm answered once; so did Zoe of elsewhere."""
    facts: dict[str, object] = {
        "tickets": {one.ticket_id: one for one in (PARCEL, *tickets)},
        "customers": {ANA: KnownCustomer("c-ana")},
        "refs": {Ref("support", "<old@c>"): "parcel"},
        "named": {
            100234: Named("parcel", "c-ana", frozenset({"zoe@elsewhere.example"}), frozenset({"firm.example", "gmail.com"}))
        },
    }
    return Known(**{**facts, **more})  # type: ignore[arg-type]


def placed(contact: Contact, facts: Known, rules: Rules | None = None) -> str:
    """The ticket the contact comes to; `new`, or `new, follows x`, `new, related to x`."""
    plan = decide([contact], facts, rules) if rules is not None else decide([contact], facts)
    opened = next((step for step in plan.steps if isinstance(step, NewTicket)), None)
    if opened is None:
        return plan.placements[0].ticket_id
    if opened.follow_up_of is not None:
        return f"new, follows {opened.follow_up_of.ticket_id}"
    return f"new, related to {opened.related_to.ticket_id}" if opened.related_to is not None else "new"


# --- T1: what names a ticket, strongest first ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "mail", "to"),
    [
        ("our signed address over a stored Message-ID", letter("<1@c>", "<old@c>", tokens=("lamp",)), "lamp"),
        ("our signed address over a number", letter("<1@c>", tokens=("lamp",), handle=ANA, numbers=(100234,)), "lamp"),
        ("the first signed name of two", letter("<1@c>", tokens=("lamp", "parcel")), "lamp"),
        ("a signed name of no ticket, then a stored Message-ID", letter("<1@c>", "<old@c>", tokens=("gone",)), "parcel"),
        ("a stored Message-ID", letter("<1@c>", "<old@c>"), "parcel"),
        ("the newest stored Message-ID", letter("<1@c>", "<lamp@c>", "<old@c>"), "lamp"),
        ("a stored Message-ID over a number", letter("<1@c>", "<lamp@c>", handle=ANA, numbers=(100234,)), "lamp"),
        ("a Message-ID that another inbox saw", letter("<1@c>", "<sales@c>"), "new"),
        ("a Message-ID that nobody saw", letter("<1@c>", "<never@c>"), "new"),
        ("nothing", letter("<1@c>"), "new"),
    ],
)
def test_what_names_a_ticket_is_taken_in_the_order_of_its_strength(case: str, mail: InboundMessage, to: str) -> None:
    facts = known(KnownTicket("lamp", 100300, "c-ana"))
    facts.refs |= {Ref("support", "<lamp@c>"): "lamp", Ref("sales", "<sales@c>"): "lamp"}
    assert placed(mail, facts) == to, case


@pytest.mark.parametrize(
    ("case", "sender", "authentication", "to"),
    [
        ("the customer", ANA, NOT_TOLD, "parcel"),
        ("the customer, shown to be her", ANA, OWN, "parcel"),
        ("somebody in her name", ANA, FORGED, "new"),
        ("somebody in her name, as it is stored", claimed(ANA), FORGED, "new"),
        ("who wrote to the ticket before", Handle("email", "zoe@elsewhere.example"), NOT_TOLD, "parcel"),
        ("somebody in the name of who wrote to it", Handle("email", "zoe@elsewhere.example"), FORGED, "new"),
        ("who only typed in the address of who wrote to it", claimed(Handle("email", "zoe@elsewhere.example")), NOT_TOLD, "new"),
        ("a colleague of hers", BOB, OWN, "parcel"),
        ("who says to be a colleague", BOB, NOT_TOLD, "new"),
        ("who was found not to be one", BOB, FORGED, "new"),
        ("a stranger who guesses", EVE, OWN, "new"),
        ("a stranger at a host below hers", Handle("email", "eve@mail.firm.example"), OWN, "new"),
        ("a stranger at a host above hers", Handle("email", "eve@example"), OWN, "new"),
        ("a stranger at the host where she has an address too", MAX, OWN, "new"),
        ("who only typed her address in", claimed(ANA), NOT_TOLD, "new"),
        ("nobody", None, OWN, "new"),
        ("a number", Handle("phone", "+40722345678"), OWN, "new"),
    ],
)
def test_a_number_in_the_subject_counts_from_who_may_name_it(
    case: str, sender: Handle | None, authentication: Authentication, to: str
) -> None:
    assert placed(letter("<1@c>", handle=sender, numbers=(100234,), authentication=authentication), known()) == to, case


def test_of_several_numbers_the_first_that_its_sender_may_name_counts() -> None:
    facts = known(KnownTicket("lamp", 100300, "c-zoe"))
    facts.named[100300] = Named("lamp", "c-zoe")
    assert placed(letter("<1@c>", handle=ANA, numbers=(5, 100300, 100234)), facts) == "parcel"


SHARED = """
    gmail.com googlemail.com hotmail.fr outlook.com yahoo.co.jp yahoo.com live.com gmx.net web.de mail.ru yandex.ru icloud.com
    proton.me walla.co.il bezeqint.net terra.com.br ukr.net wp.pl
    """


@pytest.mark.parametrize(
    "host",
    SHARED.split(),
)
def test_strangers_have_addresses_at_these_hosts(host: str) -> None:
    assert is_shared(host)


@pytest.mark.parametrize("host", ["firm.example", "gmail.firm.example", "mail.firm.co.uk", "com", "co.uk", "mygmail.com", ""])
def test_at_these_hosts_people_are_colleagues(host: str) -> None:
    assert not is_shared(host)


# --- T2: an old mail is answered with another matter -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "mail", "silent", "closed", "to"),
    [
        ("another subject, long after", letter("<1@c>", "<old@c>", subject="Invoice"), LONG, False, "new, related to parcel"),
        ("the same, to a closed one", letter("<1@c>", "<old@c>", subject="Invoice"), LONG, True, "new, related to parcel"),
        ("another subject, soon after", letter("<1@c>", "<old@c>", subject="Invoice"), DAYS, False, "parcel"),
        ("exactly at the end of the time", letter("<1@c>", "<old@c>", subject="Invoice"), timedelta(days=30), False, "parcel"),
        ("the same subject, long after", letter("<1@c>", "<old@c>", subject="AW: My Parcel"), LONG, False, "parcel"),
        ("the same from a list", letter("<1@c>", "<old@c>", subject="Re: [firm] My parcel"), LONG, False, "parcel"),
        ("the same with marks", letter("<1@c>", "<old@c>", subject="\u200fRe: My parcel\u200e"), LONG, False, "parcel"),
        ("no subject, long after", letter("<1@c>", "<old@c>", subject="Re:"), LONG, False, "parcel"),
        ("a signed name, long after", letter("<1@c>", tokens=("parcel",), subject="Invoice"), LONG, False, "parcel"),
        (
            "a number beside it, of who may name it",
            letter("<1@c>", "<old@c>", subject="Invoice [#100234]", numbers=(100234,), handle=ANA),
            LONG,
            False,
            "parcel",
        ),
        (
            "a number beside it, of who may not",
            letter("<1@c>", "<old@c>", subject="Invoice [#100234]", numbers=(100234,), handle=EVE),
            LONG,
            False,
            "new, related to parcel",
        ),
        (
            "a machine that answers",
            letter("<1@c>", "<old@c>", subject="Out of office", origin="out_of_office"),
            LONG,
            False,
            "parcel",
        ),
    ],
)
def test_an_old_mail_answered_under_another_subject_is_another_matter(
    case: str, mail: InboundMessage, silent: timedelta, closed: bool, to: str
) -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, silent=silent, closed=closed)
    assert placed(mail, facts) == to, case


def test_a_ticket_without_a_subject_of_its_own_takes_every_answer() -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, silent=LONG, subject="")
    assert placed(letter("<1@c>", "<old@c>", subject="Invoice"), facts) == "parcel"


def test_after_how_long_it_is_another_matter_is_a_setting() -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, silent=timedelta(days=3))
    mail = letter("<1@c>", "<old@c>", subject="Invoice")
    assert placed(mail, facts) == "parcel"
    assert placed(mail, facts, Rules(another_matter_after=timedelta(days=2))) == "new, related to parcel"


def test_another_matter_is_linked_on_both_tickets_and_what_answers_it_stays_with_it() -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, silent=LONG)
    new = letter("<1@c>", "<old@c>", subject="Invoice")
    plan = numbered(decide([new, letter("<2@c>", "<1@c>", subject="Re: Invoice")], facts), [100300])
    [ticket_id] = {placement.ticket_id for placement in plan.placements}
    drafts = tell(plan)
    links = {(d.key, d.data.ticket_id, d.data.relation) for d in drafts if isinstance(d.data, TicketLinked)}
    assert links == {(ticket_id, "parcel", "related"), ("parcel", ticket_id, "related")}
    assert [d.data.follow_up_of for d in drafts if isinstance(d.data, TicketOpened)] == [None]


# --- T3: merged, closed, automatic -----------------------------------------------------------------------------------------


def chain(length: int, *, merged: bool) -> list[KnownTicket]:
    """A ticket that was merged into another, or followed by one, so many times."""
    onward = [f"t{n + 1}" for n in range(length)]
    tickets = [
        KnownTicket(f"t{n}", n, "c-ana", merged_into=to) if merged else KnownTicket(f"t{n}", n, "c-ana", True, None, to)
        for n, to in enumerate(onward)
    ]
    return [*tickets, KnownTicket(f"t{length}", length, "c-ana")]


@pytest.mark.parametrize("merged", [True, False])
@pytest.mark.parametrize("length", [1, 2, 9, 10, 11, 30])
def test_a_way_is_followed_to_its_end_however_long(length: int, merged: bool) -> None:
    assert placed(letter("<1@c>", tokens=("t0",)), known(*chain(length, merged=merged))) == f"t{length}"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_nobody_is_lost_in_a_circle(length: int) -> None:
    tickets = [KnownTicket(f"t{n}", n, "c-ana", merged_into=f"t{(n + 1) % length}") for n in range(length)]
    assert placed(letter("<1@c>", tokens=("t0",)), known(*tickets)) == "new"
    assert placed(letter("<1@c>", "<old@c>", tokens=("t0",)), known(*tickets)) == "parcel", "the next best name"


@pytest.mark.parametrize(
    ("origin", "closed", "to"),
    [
        ("human", False, "parcel"),
        ("human", True, "new, follows parcel"),
        ("bot", True, "new, follows parcel"),
        ("bulk", True, "new, follows parcel"),
        ("auto_reply", False, "parcel"),
        ("auto_reply", True, "parcel"),
        ("out_of_office", True, "parcel"),
    ],
)
def test_what_answers_a_closed_ticket_follows_it_unless_a_machine_wrote_it(origin: Origin, closed: bool, to: str) -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, closed=closed)
    assert placed(letter("<1@c>", tokens=("parcel",), handle=ANA, origin=origin), facts) == to


@pytest.mark.parametrize(
    ("case", "mail", "to"),
    [
        ("by our signed address", letter("<1@c>", tokens=("parcel",), handle=EVE), "new, related to parcel"),
        ("by a stored Message-ID", letter("<1@c>", "<old@c>", handle=EVE), "new, related to parcel"),
        (
            "a colleague by the number",
            letter("<1@c>", handle=BOB, numbers=(100234,), authentication=OWN),
            "new, related to parcel",
        ),
        ("who goes on with another one too", letter("<1@c>", "<lamp@c>", tokens=("parcel",), handle=EVE), "lamp"),
        ("a machine", letter("<1@c>", tokens=("parcel",), handle=EVE, origin="out_of_office"), "parcel"),
    ],
)
def test_whoever_is_not_its_customer_goes_on_with_no_closed_ticket(case: str, mail: InboundMessage, to: str) -> None:
    facts = known(KnownTicket("lamp", 100300, "c-eve"))
    facts.tickets["parcel"] = replace(PARCEL, closed=True)
    facts.refs[Ref("support", "<lamp@c>")] = "lamp"
    assert placed(mail, facts) == to, case


def test_what_the_customer_writes_after_a_stranger_answered_a_closed_ticket_comes_to_a_ticket_of_their_own() -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, closed=True)
    group = [letter(f"<{n}@c>", tokens=("parcel",), handle=who) for n, who in enumerate((EVE, ANA, ANA))]
    plan = decide(group, facts)
    strangers, hers = (step for step in plan.steps if isinstance(step, NewTicket))
    assert [one.ticket_id for one in plan.placements] == [strangers.ticket_id, hers.ticket_id, hers.ticket_id]
    assert (hers.customer.customer_id, hers.follow_up_of) == ("c-ana", facts.tickets["parcel"])


ASIDE = f"aside\x1fparcel\x1f{EVE.key}"
GUESTS = KnownTicket("guests", 100400, "c-eve", subject="My parcel")


def beside(ticket: KnownTicket, *others: KnownTicket) -> Known:
    """Ana's ticket is closed, and Eve answered it before."""
    facts = known(ticket, *others, customers={ANA: KnownCustomer("c-ana"), EVE: KnownCustomer("c-eve")})
    facts.tickets["parcel"] = replace(PARCEL, closed=True)
    facts.conversations[ASIDE] = ticket.ticket_id
    return facts


@pytest.mark.parametrize(
    ("case", "before", "mail", "to"),
    [
        ("by our signed address", GUESTS, letter("<1@c>", tokens=("parcel",), handle=EVE), "guests"),
        ("by a stored Message-ID", GUESTS, letter("<1@c>", "<old@c>", handle=EVE, subject="Re: My parcel"), "guests"),
        ("another guest", GUESTS, letter("<1@c>", tokens=("parcel",), handle=BOB), "new, related to parcel"),
        ("its customer", GUESTS, letter("<1@c>", tokens=("parcel",), handle=ANA), "new, follows parcel"),
        (
            "who only claims to be the guest",
            GUESTS,
            letter("<1@c>", tokens=("parcel",), handle=claimed(EVE)),
            "new, related to parcel",
        ),
        ("nobody", GUESTS, letter("<1@c>", tokens=("parcel",), handle=None), "new, related to parcel"),
        ("a machine of the guest's", GUESTS, letter("<1@c>", tokens=("parcel",), handle=EVE, origin="auto_reply"), "parcel"),
        (
            "theirs is closed",
            replace(GUESTS, closed=True),
            letter("<1@c>", tokens=("parcel",), handle=EVE),
            "new, related to parcel",
        ),
        (
            "theirs goes on as another",
            replace(GUESTS, merged_into="lamp"),
            letter("<1@c>", tokens=("parcel",), handle=EVE),
            "lamp",
        ),
        (
            "it became somebody else's",
            replace(GUESTS, customer_id="c-bob"),
            letter("<1@c>", tokens=("parcel",), handle=EVE),
            "new, related to parcel",
        ),
        (
            "long after, about something else",
            replace(GUESTS, silent=LONG),
            letter("<1@c>", "<old@c>", handle=EVE, subject="Invoice"),
            "new, related to guests",
        ),
    ],
)
def test_a_guest_who_answers_a_closed_ticket_again_goes_on_with_their_own(
    case: str, before: KnownTicket, mail: InboundMessage, to: str
) -> None:
    assert placed(mail, beside(before, KnownTicket("lamp", 100300, "c-eve"))) == to, case


@pytest.mark.parametrize(
    ("before", "named"),
    [(replace(GUESTS, closed=True), True), (replace(GUESTS, customer_id="c-bob"), False), (replace(GUESTS, spam=True), False)],
)
def test_only_one_open_ticket_at_a_time_is_the_guests_beside_a_closed_one(before: KnownTicket, named: bool) -> None:
    [opened] = decide([letter("<1@c>", tokens=("parcel",), handle=EVE)], beside(before)).opened()
    assert opened.conversation == (ASIDE if named else None)


def test_two_first_answers_of_one_guest_in_one_group_are_one_ticket_and_the_customers_another() -> None:
    facts = known()
    facts.tickets["parcel"] = replace(PARCEL, closed=True)
    plan = decide([letter(f"<{n}@c>", tokens=("parcel",), handle=who) for n, who in enumerate((EVE, BOB, EVE, ANA, EVE))], facts)
    eves, bobs, again, anas, after_hers = (one.ticket_id for one in plan.placements)
    assert (len({eves, anas, bobs}), len(plan.opened())) == (3, 3)
    assert eves == again == after_hers


def test_a_guests_own_ticket_is_found_beside_what_took_the_closed_ones_place() -> None:
    facts = beside(
        GUESTS, KnownTicket("next", 100500, "c-ana", closed=True, followed_up_by="last"), KnownTicket("last", 100600, "c-ana")
    )
    facts.tickets["parcel"] = replace(PARCEL, closed=True, followed_up_by="next")
    facts.conversations = {f"aside\x1fnext\x1f{EVE.key}": "guests"}
    assert placed(letter("<1@c>", tokens=("parcel",), handle=EVE), facts) == "guests"
    assert placed(letter("<1@c>", tokens=("last",), handle=EVE), facts) == "last", "what is open is answered where it is"
    assert placed(letter("<1@c>", tokens=("parcel",), handle=ANA), facts) == "last"


def test_a_follow_up_that_became_somebody_elses_takes_the_place_of_no_ticket() -> None:
    bobs = KnownTicket("lamp", 100300, "c-bob")
    facts = known(bobs)
    facts.tickets["parcel"] = replace(PARCEL, closed=True, followed_up_by="lamp")
    assert placed(letter("<1@c>", tokens=("parcel",), handle=ANA), facts) == "new, follows parcel"
    facts.tickets["lamp"] = replace(bobs, customer_id="c-ana")
    assert placed(letter("<1@c>", tokens=("parcel",), handle=ANA), facts) == "lamp"


def said(seq: int, fact: Fact, writer: str = "intake", seen: Position = NOTHING_SEEN) -> Event[Fact]:
    at = datetime(2026, 1, 15, 10, seq, tzinfo=UTC)
    return Event(f"{writer}{seq}", fact.TYPE, writer, Position(1, seq), "t", at, fact, seen)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("origin", "status", "waits", "interactions"),
    [("human", "open", True, 1), *((o, "resolved", False, 0) for o in ("auto_reply", "out_of_office", "bulk", "bot"))],
)
def test_only_a_person_reopens_waits_and_counts(origin: Origin, status: str, waits: bool, interactions: int) -> None:
    opened = TicketOpened(number=1, customer_id="c", channel="email", inbox="in")
    wrote = MessageReceived(message_id="m", customer_id="c", channel="email", inbox="in", provider="smtp", origin=origin)
    story = fold.Ticket()
    for event in (said(1, opened), said(1, TicketResolved(agent_id="dana"), "routing", Position(1, 1)), said(2, wrote)):
        story = fold.apply(story, event)
    assert (story.status, story.waiting_since is not None, story.intake.messages) == (status, waits, interactions)


# --- T4: somebody else writes to a ticket ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "mail", "participant"),
    [
        ("the customer", letter("<1@c>", tokens=("parcel",), handle=ANA), True),
        ("somebody else by our signed address", letter("<1@c>", tokens=("parcel",), handle=EVE), False),
        ("somebody else by a stored Message-ID", letter("<1@c>", "<old@c>", handle=EVE), False),
        ("a colleague by the number", letter("<1@c>", handle=BOB, numbers=(100234,), authentication=OWN), False),
        (
            "somebody in the customer's name",
            letter("<1@c>", tokens=("parcel",), handle=claimed(ANA), authentication=FORGED),
            False,
        ),
    ],
)
def test_whoever_is_not_the_tickets_customer_is_flagged(case: str, mail: InboundMessage, participant: bool) -> None:
    plan = decide([mail], known())
    [message] = [step for step in plan.steps if isinstance(step, NewMessage)]
    assert (message.ticket_id, message.participant) == ("parcel", participant), case


# --- C1: conversations -----------------------------------------------------------------------------------------------------

BRAZIL_8, BRAZIL_9 = Handle("phone", "+551187654321"), Handle("phone", "+5511987654321")


def in_conversation(handle: Handle, channel: Channel = "whatsapp", inbox: str = "web", *, closed: bool = False) -> Known:
    key = f"{channel}\x1f{inbox}\x1f{handle.key}"
    tickets = {"talk": KnownTicket("talk", 7, "c-1", closed=closed)}
    return Known(tickets=tickets, customers={handle: KnownCustomer("c-1")}, conversations={key: "talk"})


@pytest.mark.parametrize(
    ("case", "facts", "message", "to"),
    [
        ("the same person", in_conversation(BRAZIL_9), chat(handle=BRAZIL_9, channel="whatsapp"), "talk"),
        ("the same number as WhatsApp has it", in_conversation(BRAZIL_9), chat(handle=BRAZIL_8, channel="whatsapp"), "talk"),
        ("as the network has it now", in_conversation(BRAZIL_8), chat(handle=BRAZIL_9, channel="whatsapp"), "talk"),
        ("another person", in_conversation(BRAZIL_9), chat(handle=Handle("phone", "+5511987654322")), "new"),
        ("another channel", in_conversation(BRAZIL_9, "sms"), chat(handle=BRAZIL_9, channel="whatsapp"), "new"),
        ("another inbox", in_conversation(BRAZIL_9, inbox="b"), chat(handle=BRAZIL_9, channel="whatsapp"), "new"),
        (
            "after closing",
            in_conversation(BRAZIL_9, closed=True),
            chat(handle=BRAZIL_9, channel="whatsapp"),
            "new, follows talk",
        ),
        ("a letter of the same person", in_conversation(BRAZIL_9, "email"), letter("<1@c>", handle=BRAZIL_9), "new"),
        ("an answer to a letter", in_conversation(BRAZIL_9), chat(handle=BRAZIL_9, channel="sms", tokens=("talk",)), "talk"),
    ],
)
def test_people_go_on_talking_where_they_talked_last(case: str, facts: Known, message: Contact, to: str) -> None:
    assert placed(message, facts) == to, case


def test_first_messages_from_both_forms_of_a_number_are_one_customer_and_one_conversation() -> None:
    first, second = chat("a", BRAZIL_8, channel="whatsapp"), chat("b", BRAZIL_9, channel="whatsapp")
    for group in ([first, second], [second, first]):
        plan = decide(group, Known())
        assert len({placement.ticket_id for placement in plan.placements}) == 1
        assert len({placement.customer_id for placement in plan.placements}) == 1
