"""Questions after a resolution: which is asked, what speaks against it, what answers it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from services.intake.domain import survey_texts
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.known import Known, KnownTicket
from services.intake.domain.plan import Scored
from services.intake.domain.scores import score_in
from services.intake.domain.speech import LANGUAGES, Language
from services.intake.domain.surveys import CORRECTABLE, LATE, Circumstances, Planned, Question, objection, plan
from services.intake.domain.tell import tell
from services.intake.speaking import SPEECHES
from shared.events.base import Channel, Event, Fact, Position
from shared.events.config import SurveyConfigured
from shared.events.message import MessageReceived, SurveyAnswered
from shared.events.ticket import SpamMarked, TicketMergedInto, TicketOpened, TicketReopened, TicketResolved
from shared.ticket import Ticket, apply

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HANDLE = Handle("phone", "+40700000001")
SURVEY = SurveyConfigured(
    id="care",
    version=1,
    effective_from=NOW - timedelta(days=1),
    position=1,
    kind="csat",
    scale_min=1,
    scale_max=5,
    delay_seconds=600,
)


def event(fact: Fact, seq: int, writer: str = "intake", seen: int = 0) -> Event[Fact]:
    return Event(
        id=f"{writer}{seq}",
        type=fact.TYPE,
        writer=writer,  # type: ignore[arg-type]
        position=Position(1, seq),
        key="t",
        time=NOW,
        data=fact,
        seen=Position(1, seen),
    )


def received(seq: int) -> Event[Fact]:
    fact = MessageReceived(message_id=f"m{seq}", customer_id="c", channel="sms", inbox="text", provider="twilio")
    return event(fact, seq)


def story(channel: Channel = "sms") -> Ticket:
    opened = TicketOpened(number=100001, customer_id="c", channel=channel, inbox="text", language="ro")
    return apply(apply(Ticket(), event(opened, 1)), received(2))


RESOLVED: Event[TicketResolved] = event(TicketResolved(agent_id="dana", queue_id="care"), 1, "routing", 2)  # type: ignore[assignment]


def planned(**changes: object) -> Planned:
    found = plan([replace(SURVEY, **changes)], RESOLVED, apply(story(), RESOLVED))
    assert found is not None
    return found


def test_the_first_that_fits_is_planned_for_after_its_delay() -> None:
    other = replace(SURVEY, id="other", position=0, queue_ids=("sales",))
    later = replace(SURVEY, id="later", position=0, effective_from=NOW + timedelta(seconds=1))
    last = replace(SURVEY, id="last", position=9)
    found = plan([last, later, other, SURVEY], RESOLVED, story())
    assert found is not None
    assert (found.config_id, found.ask_at, found.agent_id, found.channel) == ("care", NOW + timedelta(minutes=10), "dana", "sms")


@pytest.mark.parametrize("channel", ["phone", "in_person", "video", "review"])
def test_where_nothing_is_written_nothing_is_asked(channel: Channel) -> None:
    assert plan([SURVEY], RESOLVED, story(channel)) is None


def test_after_a_form_it_is_asked_by_mail_and_each_resolution_has_a_question_of_its_own() -> None:
    again = dataclasses.replace(RESOLVED, id="another")
    one, two = plan([SURVEY], RESOLVED, story("form")), plan([SURVEY], again, story("form"))
    assert one is not None
    assert two is not None
    assert one.channel == "email"
    assert one.survey_id != two.survey_id


def test_it_is_asked_when_nothing_speaks_against_it() -> None:
    assert objection(planned(), apply(story(), RESOLVED), Circumstances(), NOW + timedelta(minutes=10)) is None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ((received(3),), "reopened"),
        ((event(TicketReopened(), 2, "routing"),), "reopened"),
        ((event(SpamMarked(by="agent"), 2, "routing"),), "spam"),
        ((event(TicketMergedInto(into_ticket_id="other"), 3),), "merged"),
    ],
)
def test_what_became_of_the_ticket_may_speak_against_it(more: tuple[Event[Fact], ...], reason: str) -> None:
    ticket = apply(story(), RESOLVED)
    for one in more:
        ticket = apply(ticket, one)
    assert objection(planned(), ticket, Circumstances(), NOW) == reason


def test_another_resolution_has_its_own_question() -> None:
    later = replace(planned(), resolved_at=NOW - timedelta(hours=1))
    assert objection(later, apply(story(), RESOLVED), Circumstances(), NOW) == "reopened"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Circumstances(refused=True), "refused"),
        (Circumstances(written_by_people=False), "only-machines"),
        (Circumstances(asked_lately=True), "asked-lately"),
    ],
)
def test_what_is_known_of_the_customer_may_speak_against_it(known: Circumstances, reason: str) -> None:
    assert objection(planned(), apply(story(), RESOLVED), known, NOW) == reason


def test_a_question_that_could_not_be_asked_for_long_is_not_asked() -> None:
    late = planned().ask_at + LATE
    resolved = apply(story(), RESOLVED)
    assert objection(planned(), resolved, Circumstances(), late) is None
    assert objection(planned(), resolved, Circumstances(), late + timedelta(seconds=1)) == "too-late"


QUESTION = Question("s", "t", 100001, "c", "csat", 1, 5, "ro", "sms", "text", open_until=NOW + timedelta(days=7))


def test_an_answer_counts_while_the_question_is_open_and_may_be_corrected_for_a_while() -> None:
    week = NOW + timedelta(days=7)
    assert (QUESTION.open_at(NOW), QUESTION.open_at(week)) == (True, False)
    answered = replace(QUESTION.answered(4), first_answer_at=NOW)
    assert (answered.open_at(NOW), answered.open_at(NOW + CORRECTABLE)) == (True, False)
    assert not replace(answered, first_answer_at=week).open_at(week), "and never after the question is closed"
    assert not replace(QUESTION, open_until=None).open_at(NOW), "nor of one that was never asked"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("5", 5), (" 5 ", 5), ("5!", 5), ("(5)", 5), ("5.", 5), ("٥", 5), ("۵", 5), ("10", 10), ("١٠", 10), ("5️⃣", 5),
        ("\u200f٤\u200f", 4), ("0", 0), ("4\n", 4), ("４", 4),
    ],
)  # fmt: skip
def test_a_bare_number_is_a_score_in_whichever_digits(text: str, score: int) -> None:
    assert score_in(text) == score


@pytest.mark.parametrize(
    "text", ["", "five", "1 0", "4/5", "-1", "+4", "5%", "5.5", "100", "5 5", "5 👍", "5 stars", "5 " * 20, "½", "²"]
)
def test_anything_else_is_none(text: str) -> None:
    assert score_in(text) is None


def sms(text: str, key: str = "SM1") -> InboundMessage:
    return InboundMessage(
        provider="twilio",
        dedup_key=key,
        content_hash=text,
        channel="sms",
        inbox="text",
        handle=HANDLE,
        text=text,
        score=score_in(text),
    )


def known(question: Question | None = QUESTION) -> Known:
    questions = {(HANDLE, "sms", "text"): question} if question is not None else {}
    return Known(questions=questions, tickets={"t": KnownTicket("t", 100001, "c")})  # type: ignore[arg-type]


def test_a_number_answers_the_question_that_waits_and_is_no_message() -> None:
    decided = decide([sms("٤")], known())
    assert [type(step) for step in decided.steps] == [Scored]
    [draft] = tell(decided)
    assert isinstance(draft.data, SurveyAnswered)
    assert (draft.key, draft.person, draft.data.score, draft.data.survey_id) == ("t", "c", 4, "s")
    assert (decided.placements[0].ticket_id, decided.placements[0].number) == ("t", 100001)


def test_the_same_message_again_is_the_same_answer_and_another_corrects_it() -> None:
    decided = decide([sms("4"), sms("4"), sms("2", "SM2")], known())
    assert [step.score for step in decided.steps if isinstance(step, Scored)] == [4, 2]
    assert [placement.repeated for placement in decided.placements] == [False, True, False]
    assert len({draft.cause for draft in tell(decided)}) == 2


@pytest.mark.parametrize(("text", "question"), [("4", None), ("7", QUESTION), ("4 of 5", QUESTION), ("thanks", QUESTION)])
def test_what_is_no_answer_is_a_message(text: str, question: Question | None) -> None:
    decided = decide([sms(text)], known(question))
    assert not [step for step in decided.steps if isinstance(step, Scored)]
    assert decided.placements[0].opened


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_question_is_asked_in_each_language_with_its_numbers_in_order(language: Language) -> None:
    speech = SPEECHES[language]
    written = survey_texts.ask(100234, "nps", (0, 10), "https://p.example/survey/x", 7, speech)
    for part in ("#100234", "0", "10", "7"):
        assert f"\u2068{part}\u2069" in written.text
    assert f" {written.link}\n" in written.text, "what stands beside a link becomes a part of it"
    assert written.link == "https://p.example/survey/x"
    for kind in survey_texts.QUESTIONS:
        short = survey_texts.ask_shortly(100234, kind, (0, 10), speech)
        assert len(short) <= (160 if short.isascii() else 134)
