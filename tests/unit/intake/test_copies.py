"""Who else has a mail, and who of them is nobody: our own addresses, the ways to us, the writer."""

import pytest

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.domain.authentication import Authentication
from services.intake.domain.contacts import COPIES_CAP, Copy, Handle, InboundMessage, SpamVerdict
from services.intake.domain.decide import decide, numbered
from services.intake.domain.inboxes import Inbox, Inboxes
from services.intake.domain.known import Known, KnownCustomer
from services.intake.domain.plan import NewCustomer, NewMessage, Plan
from services.intake.domain.tell import tell
from services.intake.domain.tokens import Signer
from shared.events.message import MessageReceived
from shared.events.people import CustomerCreated, CustomerHandleAdded, CustomerPersonal, CustomerProfileChanged
from tests.unit.intake.test_decide import letter

SIGNER = Signer(b"secret")
SUPPORT, SALES = Inbox("support", "email", "support@firm.example"), Inbox("sales", "email", "Sales@Firm.example")
OURS = Inboxes.of([SUPPORT, SALES])
TOKEN = SIGNER.reply_address("6f1d2a52-3b57-5e0e-9f0e-7d6a5c1b9a10", SUPPORT.address)
BOB, EVE = Handle("email", "bob@customers.example"), Handle("email", "eve@other.example")


def read(*headers: str, sender: str = "Dan <dan@customers.example>") -> InboundMessage:
    raw = "\n".join([f"From: {sender}", "Message-ID: <1@c>", *headers]) + "\n\nHello there\n"
    found = email.parse(raw.encode(), Envelope("dan@customers.example", (SUPPORT.address,)), SUPPORT, SIGNER, inboxes=OURS)
    assert isinstance(found, InboundMessage)
    return found


@pytest.mark.parametrize(
    ("case", "headers", "copies"),
    [
        ("nobody but us", ("To: support@firm.example",), ()),
        ("a colleague in Cc", ("To: support@firm.example", "Cc: Bob Pop <Bob@Customers.example>"), (Copy(BOB, "Bob Pop"),)),
        ("one beside us in To", ("To: bob@customers.example, support@firm.example",), (Copy(BOB),)),
        ("one in To, and we have a blind copy", ("To: bob@customers.example",), (Copy(BOB),)),
        (
            "several, each once",
            ("To: Bob <bob@customers.example>", f"Cc: {EVE.value}, {BOB.value}"),
            (Copy(BOB, "Bob"), Copy(EVE)),
        ),
        ("our inboxes, and what is behind a plus", (f"To: {TOKEN}", "Cc: sales@firm.example, support+x@firm.example"), ()),
        ("the writer", ("To: support@firm.example", "Cc: DAN@customers.example"), ()),
        ("an address that passes on to us", ("To: help@old.example", "X-Forwarded-To: help@old.example"), ()),
        ("the same with a plus", ("To: help+1@old.example", "Delivered-To: help@old.example"), ()),
        ("a group of ours", ("To: help@firm.example", "List-Id: <help.firm.example>", "Cc: eve@other.example"), (Copy(EVE),)),
        ("another line in a name", ("Cc: =?utf-8?q?Bob=0D=0ABcc=3A_x?= <bob@customers.example>",), (Copy(BOB, "Bob Bcc: x"),)),
        ("what is no address", ("Cc: undisclosed-recipients:;, bob, @other.example",), ()),
        ("of a newsletter", ("To: bob@customers.example", "Precedence: bulk"), ()),
        ("of a machine", ("To: bob@customers.example", "Auto-Submitted: auto-generated"), ()),
    ],
)
def test_who_has_a_copy_and_who_is_a_way_to_us(case: str, headers: tuple[str, ...], copies: tuple[Copy, ...]) -> None:
    assert read(*headers).copies == copies, case


def test_of_many_the_first_count() -> None:
    many = read("Cc: " + ", ".join(f"p{n}@other.example" for n in range(10_000)))
    assert [copy.handle.value for copy in many.copies] == [f"p{n}@other.example" for n in range(COPIES_CAP)]


def test_a_form_of_our_site_copies_nobody() -> None:
    assert read("Reply-To: eve@other.example", "Cc: bob@customers.example", sender="support@firm.example").copies == ()


def said(plan: Plan) -> list[object]:
    return [draft.data for draft in tell(numbered(plan, range(1, 1 + len(plan.opened()))))]


def test_who_is_copied_for_the_first_time_is_a_customer_who_has_shown_nothing_and_is_named_by_id() -> None:
    plan = decide([letter("<1@c>", copies=(Copy(BOB, "Bob Pop"), Copy(EVE)))], Known())
    bob, eve = (step for step in plan.steps if isinstance(step, NewCustomer) and step.copy is not None)
    drafts = [draft for draft in tell(numbered(plan, [1])) if draft.key == bob.customer_id]
    assert [draft.data for draft in drafts] == [
        CustomerCreated(channel="email", language="und"),
        CustomerHandleAdded(handle_id=bob.handle_id, kind="email", verified_by="not"),
    ]
    assert [draft.personal for draft in drafts] == [CustomerPersonal(name="Bob Pop"), CustomerPersonal(handles=(BOB.value,))]
    [received] = [fact for fact in said(plan) if isinstance(fact, MessageReceived)]
    assert received.cc_customer_ids == (bob.customer_id, eve.customer_id)
    assert len({bob.customer_id, eve.customer_id, received.customer_id}) == 3


def test_who_is_known_is_who_they_are_and_the_writer_has_no_copy_under_another_address() -> None:
    writer = KnownCustomer("dan")
    known = Known(customers={BOB: KnownCustomer("bob"), EVE: writer, Handle("email", "dan@customers.example"): writer})
    plan = decide([letter("<1@c>", copies=(Copy(BOB), Copy(EVE))), letter("<2@c>", copies=(Copy(BOB),))], known)
    assert [step.cc for step in plan.steps if isinstance(step, NewMessage)] == [("bob",), ("bob",)]
    assert not any(isinstance(step, NewCustomer) for step in plan.steps)


def test_two_mails_of_a_group_copy_one_person_and_an_answer_of_theirs_is_on_the_ticket() -> None:
    first, second = letter("<1@c>", copies=(Copy(BOB),)), letter("<2@c>", "<1@c>", handle=BOB)
    plan = decide([first, letter("<3@c>", copies=(Copy(BOB),)), second], Known())
    new = [step.customer_id for step in plan.steps if isinstance(step, NewCustomer)]
    assert len(new) == 2
    answer = next(step for step in plan.steps if isinstance(step, NewMessage) and step.contact is second)
    assert (answer.ticket_id, answer.customer_id, answer.participant) == (plan.placements[0].ticket_id, new[1], False)


def test_whom_spam_copies_nobody_is_told() -> None:
    plan = decide([letter("<1@c>", copies=(Copy(BOB),), spam=SpamVerdict("provider"))], Known())
    assert len([step for step in plan.steps if isinstance(step, NewCustomer)]) == 1
    assert [step.cc for step in plan.steps if isinstance(step, NewMessage)] == [()]


def test_whom_a_mail_copies_that_is_not_its_senders_is_nobody() -> None:
    refuted = letter("<1@c>", copies=(Copy(BOB),), authentication=Authentication("mx", dmarc="fail"))
    plan = decide([refuted], Known(customers={BOB: KnownCustomer("bob")}))
    assert [step.cc for step in plan.steps if isinstance(step, NewMessage)] == [()]
    assert not any(isinstance(step, NewCustomer) and step.copy is not None for step in plan.steps)


def test_to_which_address_of_theirs_a_copy_went_is_kept_by_its_id() -> None:
    known = Known(customers={BOB: KnownCustomer("bob", handle_id="bobs")})
    plan = decide([letter("<1@c>", copies=(Copy(BOB), Copy(EVE))), letter("<2@c>", copies=(Copy(EVE),))], known)
    [eve] = [step.handle_id for step in plan.steps if isinstance(step, NewCustomer) and step.copy is not None]
    received = [fact for fact in said(plan) if isinstance(fact, MessageReceived)]
    assert [fact.cc_handle_ids for fact in received] == [("bobs", eve), (eve,)]


def test_who_had_a_copy_and_writes_has_their_own_language_and_name_from_then_on() -> None:
    copied = letter("<1@c>", copies=(Copy(BOB, "the liar"),), language="en")
    first = letter("<2@c>", handle=BOB, language="ro", name="Bob Pop")
    plan = decide([copied, letter("<0@c>", handle=BOB), first, letter("<3@c>", handle=BOB, language="he")], Known())
    [bob] = [step.customer_id for step in plan.steps if isinstance(step, NewCustomer) and step.copy is not None]
    drafts = [draft for draft in tell(numbered(plan, [1, 2, 3, 4])) if isinstance(draft.data, CustomerProfileChanged)]
    assert [(draft.key, draft.person, draft.data) for draft in drafts] == [(bob, bob, CustomerProfileChanged(language="ro"))]
    assert [draft.personal for draft in drafts] == [CustomerPersonal(name="Bob Pop", handles=(BOB.value,))]


def test_what_a_machine_or_spam_says_of_a_language_is_nobodys() -> None:
    known = Known(customers={BOB: KnownCustomer("bob")})
    machine = letter("<1@c>", handle=BOB, language="ro", origin="auto_reply")
    spam = letter("<2@c>", handle=BOB, language="ro", spam=SpamVerdict("provider"))
    assert not any(isinstance(fact, CustomerProfileChanged) for fact in said(decide([machine, spam], known)))
