"""The status of a ticket as a page: each message in its own language and direction."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from services.intake.api import pages
from services.intake.domain.confirmation import Promise, promised
from services.intake.domain.speech import Speech, isolated, phrase, time_text

if TYPE_CHECKING:
    from services.intake.api.status import ShownFile, ShownMessage, TicketStatus

STATUS_NAMES = {
    "new": phrase("received"),
    "open": phrase("in progress"),
    "pending": phrase("waiting for your answer"),
    "on_hold": phrase("waiting for a third party"),
    "resolved": phrase("resolved"),
    "closed": phrase("closed"),
}


def render(status: TicketStatus, speech: Speech, zone: str) -> str:
    """The page."""
    parts = [f"<p><strong>{escape(speech.say(STATUS_NAMES[status.status]))}</strong></p>"]
    if status.answer_promised_by is not None and status.status == "new":
        parts.append(_paragraph(promised(Promise(status.answer_promised_by, status.opened_at, zone), speech)))
    if status.goes_on_as is not None:
        parts.append(_paragraph(speech.say("This request goes on as {number}.", number=f"#{status.goes_on_as}")))
    parts.append(f"<p><small>{escape(speech.say('Last change: {time}', time=time_text(status.changed_at, zone)))}</small></p>")
    if status.earlier:
        count = speech.count("{n} earlier message is not shown.", "{n} earlier messages are not shown.", status.earlier)
        parts.append(_paragraph(count))
    parts += [_message(message, speech, zone) for message in status.messages or ()]
    return pages.page(isolated(f"#{status.number}"), "".join(parts), speech)


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _message(message: ShownMessage, speech: Speech, zone: str) -> str:
    time = time_text(message.at, zone)
    who = speech.say("We wrote, {time}", time=time) if message.ours else speech.say("You wrote, {time}", time=time)
    if message.text is None:
        body = f"<p><small>{escape(speech.say('The text of this message is not shown here.'))}</small></p>"
    else:
        language = "" if message.language == "und" else f' lang="{escape(message.language)}"'
        body = f'<div dir="{message.direction}"{language}>{_paragraphs(message.text)}</div>'
    kind = "ours" if message.ours else "theirs"
    return f'<article class="{kind}"><header>{escape(who)}</header>{body}{_files(message, speech)}</article>'


def _files(message: ShownMessage, speech: Speech) -> str:
    if not message.files:
        return ""
    title = escape(speech.count("{n} file", "{n} files", len(message.files)))
    items = "".join(
        f'<li><a href="{escape(file.url)}"><bdi>{escape(_name(file, speech))}</bdi></a></li>' for file in message.files
    )
    return f"<p>{title}</p><ul>{items}</ul>"


def _name(file: ShownFile, speech: Speech) -> str:
    return file.name or speech.say("File without a name")


def _paragraphs(text: str) -> str:
    return "".join(
        f"<p>{'<br>'.join(escape(line) for line in paragraph.split(chr(10)))}</p>"
        for paragraph in text.strip().split("\n\n")
        if paragraph.strip()
    )
