"""What providers say about messages that went out: in any order, any number of times, each piece of news once."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.contacts import DeliveryWord, SentWord
from services.intake.domain.decide import decide
from services.intake.domain.hearing import word_id_of
from services.intake.domain.known import Known, KnownTicket
from services.intake.domain.plan import Plan, SentTold
from services.intake.domain.tell import tell
from services.intake.domain.words import Sent, Told, hear, recalled, still_news
from shared.events.base import Fact
from shared.events.message import MessageBounced, MessageComplained, MessageDelivered, MessageFailed, MessageRead

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SENT = Sent("m-1", "t-1", "c-1", "email", 1, "SM1")


def word(key: str, kind: SentWord, **more: object) -> DeliveryWord:
    return msgspec.structs.replace(DeliveryWord("mailgun", key, kind, message_id="m-1"), **more)


def known() -> Known:
    return Known(tickets={"t-1": KnownTicket("t-1", 100001, "c-1")}, sent={"m-1": SENT, "SM1": SENT})


def said(plan: Plan) -> list[type[Fact]]:
    return [type(draft.data) for draft in tell(plan)]


def test_a_word_is_said_on_the_ticket_of_its_message_and_answered_with_its_number() -> None:
    plan = decide([word("1", "delivered", provider_time=AT)], known())
    [draft] = tell(plan)
    assert draft.key == "t-1"
    assert draft.data == MessageDelivered(
        message_id="m-1", channel="email", attempts=1, provider_ref="SM1", provider_time=AT, final=True
    )
    assert (plan.placements[0].item_id, plan.placements[0].number, plan.placements[0].repeated) == ("m-1", 100001, False)


def test_the_same_word_is_told_once_in_a_group_and_over_groups() -> None:
    plan = decide([word("1", "delivered"), word("1", "delivered")], known())
    assert said(plan) == [MessageDelivered]
    assert [placement.repeated for placement in plan.placements] == [False, True]
    heard = known()
    heard.words.add(word_id_of(word("1", "delivered")))
    assert decide([word("1", "delivered")], heard).steps == []


def test_two_words_under_both_names_of_a_message_are_about_one() -> None:
    by_ref = word("2", "delivered", message_id=None, provider_ref="SM1")
    assert said(decide([word("1", "delivered"), by_ref], known())) == [MessageDelivered]
    assert said(decide([by_ref, word("1", "delivered")], known())) == [MessageDelivered]


def test_what_somebody_has_to_do_about_is_said_where_a_merged_ticket_goes_on_too() -> None:
    facts = known()
    facts.tickets = {
        "t-1": KnownTicket("t-1", 100001, "c-1", merged_into="t-2"),
        "t-2": KnownTicket("t-2", 100002, "c-1", closed=True, merged_into="t-3"),
        "t-3": KnownTicket("t-3", 100003, "c-1", closed=True, followed_up_by="t-4"),
        "t-4": KnownTicket("t-4", 100004, "c-1"),
    }
    words = [word("d", "delivered"), word("r", "read"), word("b", "bounced"), word("c", "complained")]
    plan = decide(words, facts)
    drafts = [(draft.key, type(draft.data)) for draft in tell(plan)]
    both = [(key, kind) for kind in (MessageBounced, MessageComplained) for key in ("t-1", "t-3")]
    assert drafts == [("t-1", MessageDelivered), ("t-1", MessageRead), *both]
    assert {placement.number for placement in plan.placements} == {100001}


def test_a_word_about_what_never_went_out_is_not_taken() -> None:
    plan = decide([word("1", "delivered", message_id="m-2")], known())
    assert plan.steps == []
    assert plan.placements[0].unknown


def test_whatever_the_order_nothing_is_said_twice_and_a_late_word_takes_nothing_back() -> None:
    words = [word("d", "delivered"), word("r", "read"), word("b", "bounced"), word("c", "complained")]
    for order in permutations(words):
        kinds = said(decide(order, known()))
        assert len(kinds) == len(set(kinds))
        assert {MessageRead, MessageBounced, MessageComplained} <= set(kinds)
        if MessageDelivered in kinds:
            assert kinds.index(MessageDelivered) < min(kinds.index(MessageRead), kinds.index(MessageBounced))


def test_a_soft_bounce_is_followed_by_a_hard_one_or_by_a_later_delivery_and_never_by_an_earlier_one() -> None:
    soft = word("s", "bounced", hard=False, provider_time=AT)
    assert said(decide([soft, word("h", "bounced", provider_time=AT)], known())) == [MessageBounced, MessageBounced]
    assert said(decide([word("h", "bounced", provider_time=AT), soft], known())) == [MessageBounced]
    late, early = AT + timedelta(seconds=1), AT - timedelta(seconds=1)
    assert said(decide([soft, word("d", "delivered", provider_time=late)], known())) == [MessageBounced, MessageDelivered]
    assert said(decide([soft, word("d", "delivered", provider_time=early)], known())) == [MessageBounced]
    assert said(decide([word("f", "failed"), word("d", "delivered", provider_time=late)], known())) == [MessageFailed]


def test_that_it_was_taken_over_is_no_news_of_what_has_arrived() -> None:
    taken = (MessageDelivered(message_id="m-1", channel="email", attempts=1),)
    assert still_news(Told(), taken) == taken
    assert still_news(hear(SENT, word("1", "delivered"))[0], taken) == ()


@given(st.lists(st.sampled_from(["delivered", "bounced", "failed", "read", "complained"]), max_size=8), st.booleans())
def test_what_is_read_back_from_the_log_makes_the_same_words_no_news(kinds: list[SentWord], hard: bool) -> None:
    words = [word(str(n), kind, hard=hard) for n, kind in enumerate(kinds)]
    plan = decide(words, known())
    told = Told()
    for step in plan.steps:
        assert isinstance(step, SentTold)
        if step.fact is not None:
            told = recalled(told, step.fact)
    again = known()
    again.sent = {"m-1": msgspec.structs.replace(SENT, told=told)}
    assert said(decide(words, again)) == []
