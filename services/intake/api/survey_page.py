"""The page on which a question after a resolution is answered, for whoever has its link.

Looking at the page records nothing: mail scanners and previews follow links. The button does, and works without JavaScript.
"""

from __future__ import annotations

from datetime import datetime
from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from services.intake.api import pages
from services.intake.api.edge import Intake, Parts, body_of
from services.intake.channels import form_data
from services.intake.channels.clean import clean_text
from services.intake.domain import survey_texts
from services.intake.domain.speech import Speech, language_for
from services.intake.domain.surveys import COMMENT_CAP, CORRECTABLE, Question
from services.intake.domain.tell import answer
from services.intake.speaking import SPEECHES
from services.intake.store import surveys
from shared import db
from shared.clock import clock
from shared.events.message import SurveyPersonal
from shared.http import Problem

router = APIRouter()
BODY_BYTES = 64 * 1024  # a comment of emoji, percent-encoded, is 24 KB
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            form_data.URLENCODED: {
                "schema": {
                    "type": "object",
                    "required": ["score", "answers"],
                    "properties": {
                        "score": {"type": "integer"},
                        "answers": {"type": "integer", "description": "how many answers there were when the page was shown"},
                        "comment": {"type": "string", "maxLength": COMMENT_CAP},
                    },
                }
            }
        },
    }
}


@router.get("/survey/{token}", response_class=HTMLResponse)
async def show_survey(token: str, request: Request, intake: Parts) -> Response:
    """The question, or what was answered. Records nothing."""
    return await pages.shown(request, _shown(intake, token))


async def _shown(intake: Intake, token: str) -> HTMLResponse:
    async with db.transaction(intake.parts.engine) as conn:
        question = await surveys.question(conn, _named(intake, token))
        now = await clock(conn)
    if question is None:
        raise _unknown()
    return _page(intake, question, now)


@router.post("/survey/{token}", response_class=HTMLResponse, openapi_extra=_FORM, responses={303: {}})
async def answer_survey(token: str, request: Request, intake: Parts) -> Response:
    """Answer the question, or correct the answer soon after. The same page sent again changes nothing."""
    return await pages.shown(request, _answered(request, intake, token))


async def _answered(request: Request, intake: Intake, token: str) -> Response:
    survey_id = _named(intake, token)
    raw = await body_of(request, BODY_BYTES)
    try:
        sent = form_data.last_of(form_data.fields(raw, request.headers.get("content-type", "")))
    except ValueError:
        raise Problem(422, "invalid-request", "Send the form of the page.") from None
    said = {name: clean_text(field.text()).strip() for name, field in sent.items()}
    score, showed = _number(said.get("score", "")), _number(said.get("answers", ""))

    async def record() -> HTMLResponse | None:
        return await _record(intake, survey_id, score, showed, said.get("comment", "")[:COMMENT_CAP])

    refused = await db.retrying(record)
    if refused is not None:
        return refused
    intake.parts.outbox.wake.set()
    return Response(status_code=303, headers={**pages.HEADERS, "Location": f"/survey/{token}"})


async def _record(intake: Intake, survey_id: str, score: int | None, showed: int | None, comment: str) -> HTMLResponse | None:
    """The page to show instead, where the score cannot be taken; None when it was taken, now or before."""
    async with db.transaction(intake.parts.engine) as conn:
        question = await surveys.locked(conn, survey_id)
        now = await clock(conn)
        if question is None:
            raise _unknown()
        if score is None or not question.takes(score) or showed is None:
            return _page(intake, question, now, refused=True)
        if showed != question.answers or not question.open_at(now):
            return None  # a repeat of what was taken, or too late: the page says which
        answered = question.answered(score)
        personal = SurveyPersonal(comment=comment) if comment else None
        draft = answer(answered, score, question.channel, f"{survey_id}:{answered.answers}", personal)
        await surveys.answered(conn, [answered], now)
        await intake.parts.outbox.publish(conn, [draft], now)
    return None


def _named(intake: Intake, token: str) -> str:
    survey_id = intake.signer.survey_of(token)
    if survey_id is None:
        raise _unknown()
    return survey_id


def _unknown() -> Problem:
    return Problem(404, "unknown-link", "This link is not one of ours, or was cut short. Use the whole link.")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def _page(intake: Intake, question: Question, now: datetime, *, refused: bool = False) -> HTMLResponse:
    inbox = intake.inboxes.current.by_id.get(question.inbox)
    speech = SPEECHES[language_for(question.language, inbox.language if inbox else "en")]
    about = f"<p>{escape(speech.say('About your request {number}.', number=f'#{question.number}'))}</p>"
    thanks = ""
    if question.score is not None:
        said = speech.say("Thank you. Your answer is {score}.", score=question.score)
        thanks = f"<p><strong>{escape(said)}</strong></p>"
    if not question.open_at(now):
        closed = "" if thanks else f"<p>{escape(speech.say('This question can no longer be answered.'))}</p>"
        body = about + thanks + closed
    else:
        body = about + thanks + _form(question, speech, refused=refused)
    html = pages.page(survey_texts.question(question.kind, speech), body, speech)
    return HTMLResponse(html, 422 if refused else 200, pages.HEADERS)


def _form(question: Question, speech: Speech, *, refused: bool) -> str:
    scale = question.scale_min, question.scale_max
    scores = "".join(
        f'<label class="score"><input type="radio" name="score" value="{score}" required'
        f"{' checked' if score == question.score else ''}>{score}</label>"
        for score in range(question.scale_min, question.scale_max + 1)
    )
    wrong = f'<p role="alert">{escape(speech.say("Choose one of the numbers."))}</p>' if refused else ""
    again = ""
    if question.answers:
        minutes = int(CORRECTABLE.total_seconds() // 60)
        until = speech.count(
            "You can change it within {n} minute of your first answer.",
            "You can change it within {n} minutes of your first answer.",
            minutes,
        )
        again = f"<p>{escape(until)}</p>"
    return (
        f'{again}{wrong}<form method="post"><fieldset>'
        f"<legend>{escape(survey_texts.scale_text(question.kind, scale, speech))}</legend>{scores}</fieldset>"
        f"<label>{escape(speech.say('Do you want to add something? (optional)'))}"
        f'<textarea name="comment" rows="4" maxlength="{COMMENT_CAP}" dir="auto"></textarea></label>'
        f'<input type="hidden" name="answers" value="{question.answers}">'
        f"<button>{escape(speech.say('Send'))}</button></form>"
    )
