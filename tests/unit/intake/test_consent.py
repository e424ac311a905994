"""Words that stop and start messages."""

import pytest

from services.intake.domain.consent import consent_in


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop!",
        " Stop. ",
        "StopAll",
        "UNSUBSCRIBE",
        "cancel",
        "End",
        "quit",
        "הסר",
        "הָסֵר",
        "إيقاف",
        "الغاء",
        "Oprește",
        "DEZABONARE",
    ],
)
def test_a_word_that_stops_stops_however_it_is_written(text: str) -> None:
    assert consent_in(text) is False


@pytest.mark.parametrize("text", ["START", "unstop", "Yes", "התחל", "ابدا", "pornire"])
def test_a_word_that_starts_starts(text: str) -> None:
    assert consent_in(text) is True


@pytest.mark.parametrize("text", ["", "?!", "please stop the delivery", "STOP " * 20, "HELP", "cancel order 5", "עצור את ההזמנה"])
def test_a_sentence_is_a_message(text: str) -> None:
    assert consent_in(text) is None


def test_what_the_provider_made_of_it_counts_more() -> None:
    assert consent_in("Genug", "STOP") is False
    assert consent_in("Genug", "START") is True
    assert consent_in("stop", "HELP") is None
    assert consent_in("stop", "something new") is False
