"""Which customer, which ticket: whole groups of contacts, in any order, with any repeats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.intake.domain.calls import Call
from services.intake.domain.contacts import Contact, Handle, InboundCall, InboundMessage, RequestName
from services.intake.domain.decide import decide, message_id_of, numbered
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Name, Received, Ref
from services.intake.domain.plan import NewCustomer, NewMessage, NewTicket, Plan
from services.intake.domain.tell import tell
from services.intake.domain.threads import conversation_of
from shared.events.message import ConfirmationSkipped
from shared.events.ticket import TicketLinked, TicketOpened

VISITOR = Handle("visitor", "v-1")
WRITER = Handle("email", "dan@customers.example")


def chat(key: str = "m-1", handle: Handle | None = VISITOR, **more: object) -> InboundMessage:
    plain = InboundMessage(
        provider="generic", dedup_key=key, content_hash=key, channel="chat", inbox="web", handle=handle, text=f"text {key}"
    )
    return replace(plain, **more)


def letter(ref: str, *answers: str, handle: Handle | None = WRITER, **more: object) -> InboundMessage:
    plain = InboundMessage(
        provider="smtp",
        dedup_key=ref,
        content_hash=ref,
        channel="email",
        inbox="support",
        handle=handle,
        text=f"text {ref}",
        message_ref=ref,
        reply_refs=answers,
    )
    return replace(plain, **more)


def ring(sid: str, word: str, phase: str = "ringing", **more: object) -> InboundCall:
    plain = InboundCall(
        provider="twilio",
        call_ref=sid,
        dedup_key=f"{sid}:{word}",
        content_hash=word,
        inbox="phone",
        handle=Handle("phone", "+40722345678"),
        phase=phase,  # type: ignore[arg-type]
    )
    return replace(plain, **more)


def tickets_of(plan: Plan) -> set[str]:
    return {placement.ticket_id for placement in plan.placements}


def messages_of(plan: Plan) -> list[NewMessage]:
    return [step for step in plan.steps if isinstance(step, NewMessage)]


def known_ticket(contact: Contact, *, closed: bool = False, ticket_id: str = "old") -> Known:
    known = Known(
        customers={contact.handle: KnownCustomer("c-1")} if contact.handle else {},
        tickets={ticket_id: KnownTicket(ticket_id, 100001, "c-1", closed=closed)},
    )
    conversation = conversation_of(contact)
    if conversation:
        known.conversations[conversation] = ticket_id
    return known


def test_two_first_messages_of_one_sender_in_one_group_are_one_customer_and_one_ticket() -> None:
    plan = decide([chat("m-1"), chat("m-2")], Known())
    assert len(tickets_of(plan)) == 1
    assert [type(step) for step in plan.steps] == [NewCustomer, NewTicket, NewMessage, NewMessage]
    assert [placement.opened for placement in plan.placements] == [True, False]


def test_two_letters_of_one_sender_are_two_tickets_of_one_customer() -> None:
    plan = decide([letter("<1@c>"), letter("<2@c>")], Known())
    assert len(tickets_of(plan)) == 2
    assert len({placement.customer_id for placement in plan.placements}) == 1


def test_a_repeat_of_the_same_message_is_one_message_with_the_same_answer() -> None:
    plan = decide([chat(), chat()], Known())
    first, second = plan.placements
    assert len(messages_of(plan)) == 1
    assert second == replace(first, repeated=True)


def test_another_content_under_the_same_name_keeps_the_first_and_is_told() -> None:
    plan = decide([chat(), chat(content_hash="other")], Known())
    assert plan.placements[1].conflict
    assert len(messages_of(plan)) == 1


def test_another_letter_under_a_message_id_that_was_used_is_kept_beside_the_first() -> None:
    first = letter("<1@c>", conflict_key="sha256:1")
    other = letter("<1@c>", content_hash="other", conflict_key="sha256:2")
    plan = decide([first, other, other], Known())
    assert [message.message_id for message in messages_of(plan)] == [message_id_of("smtp", k) for k in ("<1@c>", "sha256:2")]
    assert plan.placements[2] == replace(plan.placements[1], repeated=True)


def test_an_idempotency_key_used_for_another_request_stores_nothing() -> None:
    one = chat("a", request=RequestName("k/key", b"1"))
    other = chat("b", request=RequestName("k/key", b"2"))
    plan = decide([one, other], Known())
    assert plan.placements[1].reused
    assert len(messages_of(plan)) == 1


def test_a_stored_message_answers_a_repeat_with_its_number() -> None:
    known = Known(received={message_id_of("generic", "m-1"): Received("msg", "t", 100007, "c", "m-1", True)})
    plan = decide([chat()], known)
    assert plan.steps == []
    assert (plan.placements[0].number, plan.placements[0].opened, plan.placements[0].repeated) == (100007, True, True)


def test_an_open_conversation_goes_on() -> None:
    plan = decide([chat()], known_ticket(chat()))
    assert (plan.placements[0].ticket_id, plan.placements[0].number) == ("old", 100001)


def test_after_closing_both_messages_of_a_group_go_to_one_follow_up_linked_both_ways() -> None:
    plan = numbered(decide([chat("m-1"), chat("m-2")], known_ticket(chat(), closed=True)), [100002])
    assert len(tickets_of(plan)) == 1
    drafts = tell(plan)
    links = [(draft.key, draft.data) for draft in drafts if isinstance(draft.data, TicketLinked)]
    new = plan.placements[0].ticket_id
    assert {(key, link.ticket_id, link.relation) for key, link in links} == {
        (new, "old", "follow_up_of"),
        ("old", new, "followed_up_by"),
    }
    assert [d.data.follow_up_of for d in drafts if isinstance(d.data, TicketOpened)] == ["old"]


def test_a_merged_ticket_is_followed_to_where_it_goes_on_also_in_a_circle() -> None:
    known = Known(
        tickets={
            "a": KnownTicket("a", 1, "c", closed=True, merged_into="b"),
            "b": KnownTicket("b", 2, "c"),
            "x": KnownTicket("x", 3, "c", closed=True, merged_into="y"),
            "y": KnownTicket("y", 4, "c", closed=True, merged_into="x"),
        }
    )
    plan = decide([letter("<1@c>", tokens=("a",)), letter("<2@c>", tokens=("x",))], known)
    assert plan.placements[0].ticket_id == "b"
    assert plan.placements[1].opened


def test_a_signed_address_is_stronger_than_a_header() -> None:
    known = Known(tickets={"a": KnownTicket("a", 1, "c"), "b": KnownTicket("b", 2, "c")}, refs={Ref("support", "<0@c>"): "b"})
    plan = decide([letter("<1@c>", "<0@c>", tokens=("a",)), letter("<2@c>", "<0@c>")], known)
    assert [placement.ticket_id for placement in plan.placements] == ["a", "b"]


def test_a_message_id_seen_by_another_inbox_proves_nothing() -> None:
    known = Known(tickets={"b": KnownTicket("b", 2, "c")}, refs={Ref("sales", "<0@c>"): "b"})
    assert decide([letter("<1@c>", "<0@c>")], known).placements[0].opened


def test_an_automatic_answer_to_a_closed_ticket_stays_on_it() -> None:
    known = Known(tickets={"a": KnownTicket("a", 1, "c", closed=True)})
    plan = decide([letter("<1@c>", tokens=("a",), origin="out_of_office")], known)
    assert plan.placements[0].ticket_id == "a"


def test_whoever_is_not_the_tickets_customer_is_no_participant() -> None:
    known = known_ticket(letter("<0@c>"))
    known.refs[Ref("support", "<0@c>")] = "old"
    plan = decide([letter("<1@c>", "<0@c>"), letter("<2@c>", "<0@c>", handle=Handle("email", "else@x.example"))], known)
    assert [message.participant for message in messages_of(plan)] == [True, False]


def test_nobody_is_made_a_customer_twice_and_the_nameless_each_once() -> None:
    plan = decide([chat("a", None), chat("b", None), chat("c"), ring("CA1", "init", handle=None)], Known())
    assert len({placement.customer_id for placement in plan.placements}) == 4
    assert len(tickets_of(plan)) == 4


def test_the_words_of_one_call_are_on_one_ticket_and_begin_it_once() -> None:
    words = [
        ring("CA1", "2", "answered"),
        ring("CA1", "init"),
        ring("CA1", "2", "answered"),
        ring("CA1", "3", "ended", outcome="busy"),
    ]
    plan = numbered(decide(words, Known()), [1])
    types = [draft.data.TYPE for draft in tell(plan)]
    assert types.count("call.received.v1") == types.count("call.answered.v1") == types.count("call.ended.v1") == 1
    assert types.index("call.received.v1") < types.index("call.answered.v1")
    assert len(tickets_of(plan)) == 1


@pytest.mark.parametrize(
    ("case", "survivors_agent", "word", "told_on"),
    [
        ("an agent of the ticket that goes on answers", "dana", {"phase": "answered"}, {"call.answered.v1": "into"}),
        (
            "an agent of the ticket that goes on talked",
            "dana",
            {"phase": "ended", "outcome": "completed", "duration_us": 9_000_000},
            {"call.answered.v1": "into", "call.ended.v1": "into"},
        ),
        (
            "the caller waited in vain",
            None,
            {"phase": "ended", "outcome": "no_answer"},
            {"call.ended.v1": "own"},
        ),
    ],
)
def test_a_call_whose_ticket_was_merged_is_told_where_an_agent_talks(
    case: str, survivors_agent: str | None, word: dict[str, object], told_on: dict[str, str]
) -> None:
    call = Call(call_id="k", call_ref="CA1", provider="twilio", ticket_id="own", customer_id="c")
    tickets = {
        "own": KnownTicket("own", 1, "c", merged_into="into"),
        "into": KnownTicket("into", 2, "c", agent_id=survivors_agent),
    }
    plan = decide([ring("CA1", "1", **word)], Known(tickets=tickets, calls={Name("twilio", "CA1"): call}))  # type: ignore[arg-type]
    assert {draft.data.TYPE: draft.key for draft in tell(plan)} == told_on, case
    assert (plan.placements[0].ticket_id, plan.placements[0].number) == ("own", 1)


def test_a_call_ends_where_it_was_said_to_be_answered() -> None:
    call = Call(
        call_id="k",
        call_ref="CA1",
        provider="twilio",
        ticket_id="own",
        customer_id="c",
        phase="answered",
        agent_id="omar",
        talked_on="own",
    )
    tickets = {"own": KnownTicket("own", 1, "c", merged_into="into"), "into": KnownTicket("into", 2, "c", agent_id="dana")}
    end = ring("CA1", "9", "ended", outcome="completed", duration_us=9_000_000)
    plan = decide([end], Known(tickets=tickets, calls={Name("twilio", "CA1"): call}))
    assert [draft.key for draft in tell(plan)] == ["own"]


def test_why_no_confirmation_is_sent_is_told_for_letters_only() -> None:
    plan = numbered(
        decide([letter("<1@c>", origin="bulk"), letter("<2@c>", handle=None), letter("<3@c>"), chat()], Known()), [1, 2, 3, 4]
    )
    reasons = [draft.data.reason for draft in tell(plan) if isinstance(draft.data, ConfirmationSkipped)]
    assert reasons == ["automatic_mail", "no_address", "channel_confirms_itself"]


def test_a_long_chain_of_answers_in_a_group_does_not_overflow_and_is_one_ticket() -> None:
    chain = [letter("<0@c>"), *(letter(f"<{n}@c>", f"<{n - 1}@c>") for n in range(1, 500))]
    assert len(tickets_of(decide(list(reversed(chain)), Known()))) == 1


senders = st.sampled_from([Handle("visitor", f"v-{n}") for n in range(4)])
groups = st.lists(st.tuples(senders, st.integers(0, 9)), min_size=1, max_size=40)


@given(groups, st.data())
def test_every_message_is_once_on_its_senders_one_ticket_in_whatever_order_and_grouping(
    sent: list[tuple[Handle, int]], data: st.DataObject
) -> None:
    contacts: list[Contact] = [chat(f"{handle.value}-{n}", handle) for handle, n in sent]
    shuffled = data.draw(st.permutations(contacts))
    for order in (contacts, list(shuffled)):
        plan = decide(order, Known())
        stored = messages_of(plan)
        assert len({m.message_id for m in stored}) == len(stored) == len({(c.dedup_key) for c in order})
        tickets = {contact.handle: placement.ticket_id for contact, placement in zip(order, plan.placements, strict=True)}
        assert all(p.ticket_id == tickets[c.handle] for c, p in zip(order, plan.placements, strict=True))
        assert len(set(tickets.values())) == len(tickets) == len(plan.opened())
        ids = {contact.dedup_key: placement.item_id for contact, placement in zip(order, plan.placements, strict=True)}
        assert len(set(ids.values())) == len(ids)


@given(st.permutations(list(range(8))), st.lists(st.integers(0, 7), max_size=7))
def test_letters_that_answer_each_other_are_one_ticket_in_whatever_order_they_are_read(
    order: list[int], parents: list[int]
) -> None:
    thread = [letter("<0@c>"), *(letter(f"<{n}@c>", f"<{min(p, n - 1)}@c>") for n, p in enumerate(parents, start=1))]
    plan = decide([thread[n] for n in order if n < len(thread)], Known())
    assert len(tickets_of(plan)) == 1
    assert len(messages_of(plan)) == len(thread)


@given(groups)
def test_deciding_changes_nothing_of_what_is_known(sent: list[tuple[Handle, int]]) -> None:
    known = known_ticket(chat())
    before = known.copy()
    decide([chat(f"{handle.value}-{n}", handle) for handle, n in sent], known)
    assert known == before
