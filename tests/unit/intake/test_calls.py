"""A call's words in any order, any number of times."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.calls import Call, advance, repeated
from services.intake.domain.contacts import CallOutcome, InboundCall
from shared.events.base import Fact
from shared.events.call import CallAnswered, CallEnded

START = datetime(2026, 1, 15, 10, tzinfo=UTC)
CALL = Call(call_id="call", call_ref="CA1", provider="twilio", ticket_id="t", customer_id="c")


def word(phase: str, at: int, key: str = "", outcome: CallOutcome | None = None, duration: int = 0) -> InboundCall:
    return InboundCall(
        provider="twilio",
        call_ref="CA1",
        dedup_key=key or phase,
        content_hash="",
        inbox="phone",
        handle=None,
        phase=phase,  # type: ignore[arg-type]
        outcome=outcome,
        duration_us=duration * 1_000_000,
        provider_time=START + timedelta(seconds=at),
    )


RING, ANSWER = word("ringing", 0), word("answered", 7)
END = word("ended", 60, outcome="completed", duration=53)


def story(*words: InboundCall, agent: str | None = "dana", since: int = 0, before: str | None = None) -> list[Fact]:
    """What is told of a call whose ticket `agent` has from the word number `since` on; until then `before` has it."""
    call, told = msgspec.structs.replace(CALL, agent_before=before), []
    for n, one in enumerate(words):
        if not repeated(call, one):
            call, facts = advance(call, one, agent if n >= since else before)
            told += facts
    return told


def test_ringing_and_talk_are_measured_between_the_providers_instants() -> None:
    answered, ended = story(RING, ANSWER, END)
    assert answered == CallAnswered(call_id="call", agent_id="dana", ring_us=7_000_000, provider_time=ANSWER.provider_time)
    assert isinstance(ended, CallEnded)
    assert (ended.outcome, ended.talk_us, ended.ring_us) == ("completed", 53_000_000, 7_000_000)


def test_an_answer_that_was_never_told_is_seen_from_the_end() -> None:
    answered, ended = story(RING, END)
    assert isinstance(answered, CallAnswered)
    assert (answered.ring_us, ended) == (7_000_000, story(RING, ANSWER, END)[1])


def test_who_leaves_before_an_agent_has_abandoned_and_did_not_talk() -> None:
    ended = story(RING, ANSWER, END, agent=None)[-1]
    assert isinstance(ended, CallEnded)
    assert (ended.outcome, ended.talk_us, ended.ended_by) == ("abandoned", 0, "customer")


def test_each_end_of_the_provider_has_its_outcome() -> None:
    def outcome(said: CallOutcome | None, owned: bool) -> str:
        [ended] = story(RING, word("ended", 9, outcome=said), agent="dana" if owned else None)
        assert isinstance(ended, CallEnded)
        return ended.outcome

    assert [outcome(said, True) for said in ("busy", "failed", "no_answer", "cancelled", None)] == [
        "busy",
        "failed",
        "no_answer",
        "no_answer",
        "lost",
    ]
    assert [outcome(said, False) for said in ("no_answer", "cancelled")] == ["abandoned", "abandoned"]


def answered_by(*told: Fact) -> list[str | None]:
    return [fact.agent_id for fact in told if isinstance(fact, CallAnswered)]


def test_a_call_answered_after_an_agent_took_it_is_answered_by_that_agent() -> None:
    assert answered_by(*story(RING, ANSWER, END, since=1)) == ["dana"]


def test_a_greeting_is_nobodys_answer_and_the_agents_talk_is_told_at_the_end() -> None:
    assert answered_by(*story(RING, ANSWER, END, since=2)) == [None, "dana"]
    assert answered_by(*story(RING, ANSWER, END, before="dana")) == [None, "dana"]
    assert answered_by(*story(RING, ANSWER, before="dana")) == [None]


def test_who_waited_in_vain_was_answered_by_nobody() -> None:
    assert answered_by(*story(RING, ANSWER, END, agent=None)) == [None]
    for outcome in ("no_answer", "busy", "failed", "cancelled"):
        assert answered_by(*story(RING, ANSWER, word("ended", 60, outcome=outcome), since=2)) == [None]
    assert answered_by(*story(RING, ANSWER, word("ended", 60, outcome="completed", duration=0), since=2)) == [None]


@given(st.permutations([RING, ANSWER, END]), st.lists(st.sampled_from([RING, ANSWER, END]), max_size=6))
def test_in_whatever_order_and_however_often_a_call_is_answered_and_ended_once(
    order: list[InboundCall], again: list[InboundCall]
) -> None:
    told = [type(fact) for fact in story(*order, *again)]
    assert told == [CallAnswered, CallEnded]
