"""The words of a question after a resolution: as a mail with a link, as a text message to be answered by a number. Pure."""

from __future__ import annotations

from services.intake.domain.confirmation import Written
from services.intake.domain.speech import Speech, phrase
from shared.events.config import SurveyKind

QUESTIONS: dict[SurveyKind, str] = {
    "csat": phrase("How satisfied are you with the way we handled your request?"),
    "nps": phrase("How likely are you to recommend us to friends or colleagues?"),
    "ces": phrase("How easy was it to get your request solved?"),
}
SCALES: dict[SurveyKind, str] = {
    "csat": phrase("{low} means not at all satisfied, {high} means very satisfied."),
    "nps": phrase("{low} means not at all likely, {high} means extremely likely."),
    "ces": phrase("{low} means very hard, {high} means very easy."),
}
SHORT_QUESTIONS: dict[SurveyKind, str] = {
    "csat": phrase("{number}: How satisfied are you with us? Reply with a number from {low} (not at all) to {high} (very)."),
    "nps": phrase("{number}: How likely are you to recommend us? Reply with a number from {low} (not at all) to {high} (very)."),
    "ces": phrase("{number}: How easy was it to get help? Reply with a number from {low} (very hard) to {high} (very easy)."),
}


def ask(number: int, kind: SurveyKind, scale: tuple[int, int], link: str, days: int, speech: Speech) -> Written:
    """The question as a mail; the link is good for so many days."""
    lines = (
        speech.say("Hello, your request {number} was resolved.", number=f"#{number}"),
        question(kind, speech) + "\n" + scale_text(kind, scale, speech),
        speech.plainly("You can answer here: {link}", link=link),
        speech.count("The link can be used for {n} day.", "The link can be used for {n} days.", days),
    )
    return Written(speech.plainly("How did we do? {number}", number=f"#{number}"), "\n\n".join(lines), link)


def ask_shortly(number: int, kind: SurveyKind, scale: tuple[int, int], speech: Speech) -> str:
    """The question as a text message: one part in English and Romanian (160 letters of the GSM alphabet), two of 67 letters in
    Hebrew and Arabic.
    """
    low, high = scale
    return speech.shortly(SHORT_QUESTIONS[kind], number=f"#{number}", low=low, high=high)


def question(kind: SurveyKind, speech: Speech) -> str:
    """What is asked."""
    return speech.say(QUESTIONS[kind])


def scale_text(kind: SurveyKind, scale: tuple[int, int], speech: Speech) -> str:
    """What the ends of the scale mean."""
    low, high = scale
    return speech.say(SCALES[kind], low=low, high=high)
