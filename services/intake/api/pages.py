"""Small pages for people: what they are made of, and the form with its refusal. Without JavaScript, nothing loaded."""

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
    "header,small{color:#555}p{overflow-wrap:anywhere}"
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
    "token": phrase("The form was open too long or too short. Load it again."),
    "too-many-requests": phrase("Too many requests were sent. Try again in a minute."),
    "idempotency-key-reused": phrase("This form was sent already. Load it again to send something else."),
    "temporarily-unavailable": LATER,
    "overloaded": LATER,
    "unknown-link": phrase("The link is not one of ours, or was cut short. Use the whole link."),
    "no-such-link": phrase("The link is good no longer. Open the page on which it stood again."),
    "not-found": phrase("The file is not there any more."),
}


def form_headers(public_origin: str) -> dict[str, str]:
    """Of a form as a page: a browser says from where it is posted, which without a referrer it would not, and may be sent on to
    the status page, whatever name of ours the form was shown under.
    """
    policy = HEADERS["Content-Security-Policy"].replace("form-action 'self'", f"form-action 'self' {public_origin}")
    return {**HEADERS, "Referrer-Policy": "same-origin", "Content-Security-Policy": policy}


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


def form_page(form_id: str, token: str, speech: Speech) -> str:
    """A form to fill in. `website` is a trap that no person sees."""
    fields = "".join(
        f'<label>{escape(label)}<input name="{name}" type="{kind}" autocomplete="{by}" maxlength="{limit}" dir="{dir_}"></label>'
        for label, name, kind, by, limit, dir_ in (
            (speech.say("Name"), "name", "text", "name", 200, "auto"),
            (speech.say("E-mail"), "email", "email", "email", 320, "ltr"),
            (speech.say("Phone"), "phone", "tel", "tel", 60, "ltr"),
            (speech.say("Subject"), "subject", "text", "off", 500, "auto"),
        )
    )
    text = escape(speech.say("How can we help?"))
    return page(
        speech.say("Contact us"),
        f'<form method="post" action="/v1/forms/{escape(form_id)}?lang={speech.language}">{fields}'
        f'<label>{text}<textarea name="text" rows="8" maxlength="20000" required dir="auto"></textarea></label>'
        '<p class="hp" aria-hidden="true"><label>Website<input name="website" tabindex="-1" autocomplete="off"></label></p>'
        f'<input type="hidden" name="token" value="{escape(token)}"><button>{escape(speech.say("Send"))}</button></form>',
        speech,
    )


def refusal(problem: Problem, speech: Speech, form_id: str) -> str:
    """Why a form was not taken."""
    back = escape(speech.say("Back to the form"))
    link = f'<p><a href="/forms/{escape(form_id)}?lang={speech.language}">{back}</a></p>'
    return page(speech.say("The form was not sent"), _reasons(problem, speech) + link, speech)


async def shown(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer; or why there is none, where a person asks, in their words. Raises Problem, DatabaseAway to all others."""
    try:
        return await answer
    except (Problem, DatabaseAway) as error:
        if not by_browser(request):
            raise
        problem = error if isinstance(error, Problem) else away()
    speech = speech_of(request)
    html = page(speech.say("This page cannot be shown"), _reasons(problem, speech), speech)
    return HTMLResponse(html, problem.status, {**HEADERS, **problem.headers})


def _reasons(problem: Problem, speech: Speech) -> str:
    """In the visitor's words; what has no words of its own is said in ours."""
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
