"""The checker finds histories broken by hand: what goes out to customers, and what agents were told they did."""

from dataclasses import replace

from shared.events.base import derived_id
from shared.events.message import DeliveryUncertain, MessageDelivered, MessageFailed, ReplyRequested
from shared.events.ticket import TicketClosed, TicketPended
from shared.events.work import OfferAccepted
from tests.faults.by_hand import ref_of
from tests.faults.checker import broken
from tests.faults.history import Mail, Text
from tests.faults.promises.acts import OF_A_TICKET
from tests.faults.stories import changed, found, held, of, taken, whole


def test_a_reply_of_which_nothing_became_is_found() -> None:
    story = taken()
    story.replies_to("more", "dana", "Yes.")
    assert found(story.history()) == {"reply-arrived"}


def test_a_reply_that_is_told_failed_is_told() -> None:
    story = taken()
    item = story.replies_to("more", "dana", "Yes.")
    story.tell("intake", "more", MessageFailed(message_id=item, channel="sms", attempts=1, code="erased"))
    assert broken(story.history()) == []


def test_a_mail_that_did_not_arrive_or_says_something_else_or_nobody_wrote_is_found() -> None:
    mails = whole().mails
    stray = Mail(ref_of(derived_id("nobody")), "x@y.example", "Re:", "Who?", False)
    assert not mails[1].automatic
    for others in (
        [mails[0], *mails[2:]],
        [mails[0], replace(mails[1], text="Something else"), *mails[2:]],
        [*mails, stray],
    ):
        story = whole()
        story.mails = others
        assert found(story.history()) == {"reply-arrived"}


def test_a_delivery_that_the_table_knows_otherwise_is_found() -> None:
    tables = whole().history().tables
    assert found(held(whole(), deliveries=changed(tables.deliveries, of("texted"), state="waiting"))) == {"reply-arrived"}


def test_an_sms_that_did_not_arrive_or_came_twice_is_found() -> None:
    for times in (0, 2):
        story = whole()
        story.texts *= times
        assert found(story.history()) == {"text-arrived"}
    story = whole()
    story.texts.append(Text("+407", "Who?"))
    assert found(story.history()) == {"text-arrived"}


def test_a_confirmation_by_sms_that_did_not_arrive_or_came_twice_is_found() -> None:
    for times, broken_ones in ((1, set()), (0, {"text-arrived"}), (2, {"text-arrived"})):
        story = whole()
        story.confirms("texted")
        story.texts += [story.texts.pop()] * times
        assert found(story.history()) == broken_ones
    story = whole()
    story.confirms("texted")
    story.texts.append(Text(story.texts[-1].to, "Your ticket number is #1."))
    assert found(story.history()) == {"text-arrived"}


def test_what_comes_twice_and_is_counted_as_uncertain_is_whole() -> None:
    story = whole()
    story.texts *= 2
    story.mails.append(story.mails[1])
    for record in [r for r in story.records if isinstance(r.event.data, ReplyRequested)]:
        assert isinstance(record.event.data, ReplyRequested)
        uncertain = DeliveryUncertain(message_id=record.event.data.message_id, channel="email", attempt=1)
        story.tell("intake", record.event.key, uncertain)
    assert broken(story.history()) == []


def test_a_mail_that_came_twice_and_is_not_counted_is_found() -> None:
    story = whole()
    story.mails.append(story.mails[1])
    assert found(story.history()) == {"repeat-counted"}


def test_two_mails_under_one_message_id_are_found() -> None:
    story = whole()
    reply = story.records_of(ReplyRequested, "one")[0].event.data
    assert isinstance(reply, ReplyRequested)
    story.tell("intake", "one", DeliveryUncertain(message_id=reply.message_id, channel="email", attempt=1))
    story.mails.append(replace(story.mails[1], text="Something else"))
    assert found(story.history()) == {"repeat-counted"}


def test_replies_that_arrive_in_another_order_are_found() -> None:
    story = whole()
    story.mails[1], story.mails[2] = story.mails[2], story.mails[1]
    assert found(story.history()) == {"reply-in-order"}


def test_what_is_said_twice_is_found() -> None:
    item = derived_id("any")
    for ticket_id, fact in (
        ("one", MessageDelivered(message_id=item, channel="email", attempts=1)),
        ("one", TicketClosed(reason="requested")),
        ("one", DeliveryUncertain(message_id=item, channel="email", attempt=1)),
    ):
        story = whole()
        story.tell("intake", ticket_id, fact)
        story.tell("intake", ticket_id, fact)
        assert found(story.history()) == {"said-once"}


def test_a_mail_that_is_not_confirmed_is_found() -> None:
    story = whole()
    story.writes("k9", "more")
    story.queues("more")
    assert found(story.history()) == {"confirmed"}
    story = whole()
    del story.mails[0]
    assert found(story.history()) == {"confirmed"}


# What agents did


def test_an_act_that_was_acknowledged_and_is_not_on_the_log_is_found() -> None:
    for kind in sorted(OF_A_TICKET | {"release"}):
        story = whole()
        story.acts(kind, "dana", "late")
        assert found(story.history()) == {"act-once"}
    for kind in ("accept", "decline"):
        story = whole()
        story.acts(kind, "dana", "late", offer_id="o9")
        assert found(story.history()) == {"act-once"}


def test_an_act_that_nobody_did_is_found_and_one_of_unknown_outcome_is_none() -> None:
    story = taken()
    story.tell("routing", "more", TicketPended(agent_id="dana"))
    assert found(story.history()) == {"act-once"}
    story.acts("pend", "dana", "more", status=None)
    assert broken(story.history()) == []


def test_a_reply_answered_with_another_message_is_found() -> None:
    story = whole()
    act = next(act for act in story.truth.acts if act.kind == "reply")
    story.truth.acted(replace(act, message_id="another"))
    assert found(story.history()) == {"reply-true"}


def test_an_offer_let_pass_that_was_answered_is_found() -> None:
    story = taken()
    accepted = story.records_of(OfferAccepted, "more")[0].event.data
    assert isinstance(accepted, OfferAccepted)
    story.acts("miss", "dana", "more", offer_id=accepted.offer_id)
    assert found(story.history()) == {"offer-left-alone"}
