"""A form as a page of our own: to be filled in, and after a refusal as it was filled in, with what is wrong beside each field.
Without JavaScript, nothing loaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape

from services.intake.api import pages
from services.intake.api.pages import REASONS
from services.intake.channels.form import LIMITS
from services.intake.domain.speech import Speech, phrase
from shared.http import Problem

LABELS = {
    "name": phrase("Name"),
    "email": phrase("E-mail"),
    "phone": phrase("Phone"),
    "subject": phrase("Subject"),
    "text": phrase("How can we help?"),
}
# Of each field of one line: its type, what a browser may fill in, its length, its direction.
_LINES = (
    ("name", "text", "name", 200, "auto"),
    ("email", "email", "email", 320, "ltr"),
    ("phone", "tel", "tel", 60, "ltr"),
    ("subject", "text", "off", 500, "auto"),
)
_OURS = frozenset({*LIMITS, "token", "website"})


@dataclass(frozen=True, slots=True)
class Refused:
    """What somebody typed, field by field, and why it was not taken."""

    typed: Sequence[tuple[str, str]]
    problem: Problem

    @property
    def sent_before(self) -> bool:
        """Whether the name that it brought is that of another submission."""
        return self.problem.code == "idempotency-key-reused"

    @property
    def token(self) -> str:
        """The one that it brought, which is good for another try; empty where it is not."""
        wrong = self.sent_before or any(error.field == "body.token" for error in self.problem.errors)
        return "" if wrong else dict(self.typed).get("token", "")

    @property
    def wrong(self) -> dict[str, str]:
        """What is wrong with each field that a person fills in: which of REASONS."""
        said, named = dict(self.typed), {error.field.removeprefix("body.") for error in self.problem.errors}
        fits = {name: len(said.get(name, "")) <= limit for name, limit in LIMITS.items()}
        return {name: name if fits[name] and name in REASONS else "too-long" for name in LIMITS if name in named}

    @property
    def besides(self) -> Problem:
        """What is wrong besides, or altogether."""
        return replace(self.problem, errors=[one for one in self.problem.errors if one.field.removeprefix("body.") not in LIMITS])


def headers(public_origin: str) -> dict[str, str]:
    """Of a form as a page: a browser says from where it is posted, which without a referrer it would not, and may be sent on to
    the status page, whatever name of ours the form was shown under.
    """
    policy = pages.HEADERS["Content-Security-Policy"].replace("form-action 'self'", f"form-action 'self' {public_origin}")
    return {**pages.HEADERS, "Referrer-Policy": "same-origin", "Content-Security-Policy": policy}


def fresh(form_id: str, token: str, speech: Speech) -> str:
    """A form to fill in."""
    return pages.page(speech.say("Contact us"), _form(form_id, token, speech, {}, {}, ""), speech)


def again(form_id: str, token: str, speech: Speech, refused: Refused) -> str:
    """A form that was not taken, as it was filled in. What a site of others asked for besides goes along unseen."""
    left_out = _OURS | {"submission_id"} if refused.sent_before else _OURS
    carried = "".join(_hidden(name, value) for name, value in refused.typed if name not in left_out)
    wrong = refused.wrong
    besides = refused.besides
    why = f'<div role="alert">{pages.reasons(besides, speech)}</div>' if besides.errors or not wrong else ""
    form = _form(form_id, token, speech, dict(refused.typed), wrong, carried)
    return pages.page(speech.say("The form was not sent"), why + form, speech)


def refusal(problem: Problem, speech: Speech, form_id: str) -> str:
    """Why a form was not taken of which nothing can be shown again."""
    back = escape(speech.say("Back to the form"))
    link = f'<p><a href="/forms/{escape(form_id)}?lang={speech.language}">{back}</a></p>'
    return pages.page(speech.say("The form was not sent"), pages.reasons(problem, speech) + link, speech)


def _form(form_id: str, token: str, speech: Speech, typed: Mapping[str, str], wrong: Mapping[str, str], carried: str) -> str:
    """`website` is a trap that no person sees."""
    lines = "".join(
        f'<label>{escape(speech.say(LABELS[name]))}<input name="{name}" type="{kind}" autocomplete="{by}" maxlength="{limit}"'
        f' dir="{direction}" value="{escape(typed.get(name, ""))}"{_marked(name, wrong)}></label>{_beside(name, wrong, speech)}'
        for name, kind, by, limit, direction in _LINES
    )
    # A browser leaves out the first line break in a textarea.
    text = "\n" + escape(typed.get("text", ""))
    return (
        f'<form method="post" action="/v1/forms/{escape(form_id)}?lang={speech.language}">{lines}'
        f'<label>{escape(speech.say(LABELS["text"]))}<textarea name="text" rows="8" maxlength="20000" required dir="auto"'
        f"{_marked('text', wrong)}>{text}</textarea></label>{_beside('text', wrong, speech)}"
        '<p class="hp" aria-hidden="true"><label>Website<input name="website" tabindex="-1" autocomplete="off"></label></p>'
        f"{carried}{_hidden('token', token)}<button>{escape(speech.say('Send'))}</button></form>"
    )


def _marked(name: str, wrong: Mapping[str, str]) -> str:
    """The first of the wrong ones is where the visitor goes on."""
    if name not in wrong:
        return ""
    return f' aria-invalid="true" aria-describedby="wrong-{name}"{" autofocus" if name == next(iter(wrong)) else ""}'


def _beside(name: str, wrong: Mapping[str, str], speech: Speech) -> str:
    if name not in wrong:
        return ""
    return f'<span class="wrong" id="wrong-{name}">{escape(speech.say(REASONS[wrong[name]]))}</span>'


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
