"""What the demonstration takes for the story, and what it does not."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from rich.console import Console

from deploy.demo.checks import RECEIVED, Expected, Figure, figure_of, is_answer, is_confirmation, not_moved
from deploy.demo.story import Story
from services.intake.channels.outgoing_mail import Outgoing, compose
from services.intake.domain import confirmation
from services.intake.domain.speech import LANGUAGES, Language
from services.intake.speaking import SPEECHES
from shared.events.codec import decode
from shared.events.docs import EXAMPLES

EXPECTED = Expected(opened=8, answered=6, resolved=7, broken=1)
BEFORE = {
    "ticket_volume": Figure(10.0, 10),
    "first_response_time": Figure(),
    "time_to_resolution": Figure(5.0, 4),
    "sla_compliance": Figure(0.5, 2, 4),
    "backlog": Figure(6.0, 6),
}
AFTER = {
    "ticket_volume": Figure(18.0, 18),
    "first_response_time": Figure(1.5, 6),
    "time_to_resolution": Figure(4.0, 11),
    "sla_compliance": Figure(0.7, 14, 17),
    "backlog": Figure(1.0, 1),
}


def mail(number: int, language: Language, **changes: str | None) -> EmailMessage:
    """A confirmation as intake sends it."""
    speech = SPEECHES[language]
    written = confirmation.write(number, "https://patchbay.example/status/x", speech)
    support = "support@patchbay.example"
    sent = compose(
        Outgoing(
            message_ref="<1@patchbay.example>",
            sender=support,
            recipient="noa@customers.example",
            reply_to=support,
            subject=written.subject,
            text=written.text,
            language=speech.language,
            direction=speech.direction,
            at=datetime(2026, 3, 1, tzinfo=UTC),
            loop_mark="mark",
            automatic="replied",
        )
    )
    message = message_from_bytes(sent, policy=default)
    for name, value in changes.items():
        del message[name]
        if value is not None:
            message[name] = value
    return message


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_confirmation_is_known_by_its_language_and_number(language: Language) -> None:
    assert set(RECEIVED) == set(LANGUAGES)
    assert is_confirmation(mail(100234, language), language, [100233, 100234])
    assert not is_confirmation(mail(100234, language), language, [])
    assert not is_confirmation(mail(1002345, language), language, [100234])
    for other in set(LANGUAGES) - {language}:
        assert not is_confirmation(mail(100234, other), language, [100234])
        assert not is_confirmation(mail(100234, other, **{"Content-Language": language}), language, [100234])


@pytest.mark.parametrize("changes", [{"Auto-Submitted": None}, {"Content-Language": None}, {"Subject": "We received it"}])
def test_a_confirmation_without_one_of_its_marks_is_none(changes: dict[str, str | None]) -> None:
    assert not is_confirmation(mail(100234, "en", **changes), "en", [100234])


def test_an_answer_is_no_machines_mail() -> None:
    text = confirmation.write(1, "x", SPEECHES["en"]).text
    assert is_answer(mail(1, "en", **{"Auto-Submitted": None}), text)
    assert not is_answer(mail(1, "en"), text)
    assert not is_answer(mail(1, "en", **{"Auto-Submitted": None}), "We have sent it")


def test_figures_that_moved_as_told_are_enough() -> None:
    assert not_moved(BEFORE, AFTER, EXPECTED) == []


@pytest.mark.parametrize(
    ("metric", "figure", "missing"),
    [
        ("ticket_volume", Figure(17.0, 17), "ticket_volume: 7 instead of at least 8"),
        ("first_response_time", Figure(1.5, 5), "first_response_time: 5 instead of at least 6"),
        ("time_to_resolution", Figure(4.0, 10), "time_to_resolution: 6 instead of at least 7"),
        ("sla_compliance", Figure(0.5, 7, 10), "sla_compliance (kept): 5 instead of at least 6"),
        ("sla_compliance", Figure(0.9, 14, 16), "sla_compliance (broken): 0 instead of at least 1"),
        ("backlog", Figure(0.0, 0), "backlog: 0 instead of at least 1"),
        ("first_response_time", Figure(None, 6), "first_response_time: no value"),
    ],
)
def test_each_figure_that_did_not_move_is_named(metric: str, figure: Figure, missing: str) -> None:
    assert not_moved(BEFORE, {**AFTER, metric: figure}, EXPECTED) == [missing]


def test_nothing_to_divide_by_is_not_zero() -> None:
    empty = figure_of({"points": [{"value": None, "count": 0, "out_of": 0}]})
    assert (empty, empty.text, figure_of({"points": []})) == (Figure(), "–", Figure())
    assert figure_of({"points": [{"value": 0.0, "count": 0, "out_of": None}]}).text == "0"


@pytest.mark.parametrize(("event_type", "topic"), [("sla.warned", "sla-warnings"), ("sla.breached", "sla-breaches")])
def test_what_is_said_on_another_topic_is_not_what_was_waited_for(event_type: str, topic: str) -> None:
    event = decode((EXAMPLES / f"{event_type}.v1.json").read_bytes())
    story = Story(Console(), events=[("tickets", event), ("sla-clocks", event)])
    assert story.said(event.key, event_type, topic) == []
    story.events.append((topic, event))
    assert story.said(event.key, event_type, topic) == [event]
