"""What we say, counted and isolated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.intake.domain.confirmation import Promise, promised
from services.intake.domain.speech import Language
from services.intake.speaking import SPEECHES

NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "wait", "said"),
    [
        ("en", timedelta(minutes=1), "within \u20681\u2069 minute,"),
        ("en", timedelta(minutes=90), "within \u206890\u2069 minutes,"),
        ("en", timedelta(minutes=91), "within \u20682\u2069 hours,"),
        ("en", timedelta(hours=37), "within \u20682\u2069 days,"),
        ("en", timedelta(seconds=-5), "within \u20681\u2069 minute,"),
        ("he", timedelta(minutes=1), "דקה אחת"),
        ("he", timedelta(hours=2), "שעתיים"),
        ("he", timedelta(days=2), "יומיים"),
        ("he", timedelta(hours=11), "\u206811\u2069 שעות"),
        ("ar", timedelta(hours=2), "ساعتين"),
        ("ar", timedelta(hours=4), "\u20684\u2069 ساعات"),
        ("ar", timedelta(hours=11), "\u206811\u2069 ساعة"),
        ("ar", timedelta(days=3), "\u20683\u2069 أيام"),
        ("ar", timedelta(days=30), "\u206830\u2069 يومًا"),
        ("ar", timedelta(days=100), "\u2068100\u2069 يوم،"),
        ("ro", timedelta(hours=2), "\u20682\u2069 ore"),
        ("ro", timedelta(hours=20), "\u206820\u2069 de ore"),
        ("ro", timedelta(days=101), "\u2068101\u2069 zile"),
    ],
)
def test_a_wait_is_counted_as_the_language_counts(language: Language, wait: timedelta, said: str) -> None:
    assert said in promised(Promise(NOW + wait, NOW), SPEECHES[language])


def test_values_are_isolated_and_never_read_as_sentences() -> None:
    speech = SPEECHES["he"]
    assert "\u2068{number}\u2069" in speech.say("About your request {number}.", number="{number}")
    assert "\u2068" not in speech.plainly("About your request {number}.", number="#1")
    assert "\u2068" in speech.shortly("We will answer by {time}.", time="10:00")
    assert "\u2068" not in SPEECHES["ro"].shortly("We will answer by {time}.", time="10:00")
