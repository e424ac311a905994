"""Small pages for people: what they are made of, and why one cannot be shown. Without JavaScript, nothing loaded."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable
from html import escape

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from services.intake.domain.speech import LANGUAGES, Speech, language_for, phrase
from services.intake.speaking import SPEECHES
from shared.db import DatabaseAway
from shared.http import Problem, away

STYLE = (
    "body{font:1.1rem/1.6 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem}"
    "label{display:block;margin:.8rem 0}input,textarea{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}"
    "button{font:inherit;padding:.4rem 1.5rem}.hp{position:absolute;inset-inline-start:-100vw}"
    "fieldset{border:0;padding:0;margin:1rem 0}.score{display:inline-block;text-align:center;margin:.3rem;min-width:2.2rem}"
    ".score input{width:auto;margin:auto}"
    "article{border-inline-start:.25rem solid #999;padding-inline-start:1rem;margin:1.5rem 0}article.ours{border-color:#27c}"
    ".wrong{display:block;color:#b00}header,small{color:#555}p{overflow-wrap:anywhere}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
}
LATER = phrase("Your request cannot be stored just now. Try again in a moment.")
# What a visitor is told of a field or a refusal that we have words for.
REASONS = {
    "email": phrase("Give a correct e-mail address or a telephone number, so that we can answer."),
    "phone": phrase("The telephone number is not correct."),
    "text": phrase("Write what it is about."),
    "token": phrase("The form was open too long or too short. Send it again in a moment."),
    "website": phrase("A field that nobody sees was filled in. Send it again."),
    "too-long": phrase("This is longer than can be taken. Write less."),
    "too-many-requests": phrase("Too many requests were sent. Try again in a minute."),
    "idempotency-key-reused": phrase("This form was sent already. Send it again to send this too."),
    "temporarily-unavailable": LATER,
    "overloaded": LATER,
    "unknown-link": phrase("The link is not one of ours, or was cut short. Use the whole link."),
    "no-such-link": phrase("The link is good no longer. Open the page on which it stood again."),
    "not-found": phrase("The file is not there any more."),
}


def by_browser(request: Request) -> bool:
    """Whether a person asks, who wants a page."""
    return "text/html" in request.headers.get("accept", "")


def speech_of(request: Request, otherwise: str = "en") -> Speech:
    """The language of a page: as asked for by `?lang=`, else the browser's first that we speak, else another."""
    browser = (part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(","))
    for wanted in (request.query_params.get("lang", ""), *browser):
        if wanted.partition("-")[0] in LANGUAGES:
            return SPEECHES[language_for(wanted, otherwise)]
    return SPEECHES[language_for("und", otherwise)]


async def shown(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer; or why there is none, where a person asks, in their words. Raises Problem, DatabaseAway to all others."""
    try:
        return await answer
    except (Problem, DatabaseAway) as error:
        if not by_browser(request):
            raise
        problem = error if isinstance(error, Problem) else away()
    speech = speech_of(request)
    html = page(speech.say("This page cannot be shown"), reasons(problem, speech), speech)
    return HTMLResponse(html, problem.status, {**HEADERS, **problem.headers})


def reasons(problem: Problem, speech: Speech) -> str:
    """Why, in the visitor's words; what has no words of its own is said in ours."""
    keys = [error.field.rpartition(".")[2] for error in problem.errors] or [problem.code]
    said = [speech.say(REASONS[key]) if key in REASONS else problem.detail for key in dict.fromkeys(keys)]
    return "".join(f"<p>{escape(one)}</p>" for one in said)


def kept(speech: Speech) -> str:
    """Said to a visitor whose request has no number yet."""
    said = escape(speech.say("We will answer as soon as we can. There is no need to send it again."))
    return page(speech.say("Your request was received"), f"<p>{said}</p>", speech)


def page(title: str, body: str, speech: Speech) -> str:
    """A whole page; `body` is HTML, `title` is text."""
    return (
        f'<!DOCTYPE html><html lang="{speech.language}" dir="{speech.direction}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )
