"""The page that shows a customer how the ticket stands, for whoever has its link.

Two kinds of links: the one that a form answers with shows how it stands; the one that is sent to the customer's own address shows
what was written to and fro as well. Whoever types somebody else's address into a form is not shown what that person is answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import AwareDatetime, BaseModel

from services.intake.api import pages, status_page
from services.intake.api.edge import Intake, Parts
from services.intake.channels import written
from services.intake.channels.clean import clean_text
from services.intake.channels.language import direction_of, language_of
from services.intake.domain.speech import language_for, zone_for
from services.intake.speaking import SPEECHES
from services.intake.store import histories
from services.intake.store.histories import Entry, File, Page
from shared import db
from shared.clock import clock
from shared.events.base import Direction
from shared.events.message import ReplyPersonal
from shared.http import Problem
from shared.personal import Erased

router = APIRouter()
LINK_LIVES = timedelta(hours=1)
LOOKS_PER_MINUTE = 60  # at one ticket's history


class ShownFile(BaseModel):
    """A file of a message; the link is good for an hour."""

    name: str
    media_type: str
    size_bytes: int
    url: str


class ShownMessage(BaseModel):
    """A message of the customer, or one of ours to them. `text` is missing where it is not kept or cannot be shown."""

    at: AwareDatetime
    ours: bool
    text: str | None
    language: str
    direction: Direction
    files: list[ShownFile]


class TicketStatus(BaseModel):
    """How a ticket stands. `messages`, oldest first, only for a link that was sent to the customer; so many `earlier` ones
    are not shown.
    """

    number: int
    status: str
    opened_at: AwareDatetime
    changed_at: AwareDatetime
    answer_promised_by: AwareDatetime | None
    goes_on_as: int | None = None
    messages: list[ShownMessage] | None = None
    earlier: int = 0


@dataclass(frozen=True, slots=True)
class _Told:
    """An entry, what is in its box, and its files."""

    entry: Entry
    reply: ReplyPersonal | None
    files: list[File]


@router.get("/status/{token}", response_model=TicketStatus, responses={200: {"content": {"text/html": {}}}})
async def ticket_status(token: str, request: Request, intake: Parts) -> Response:
    """How a ticket stands, for whoever has its link: as JSON, or as a small page to a browser."""
    return await pages.shown(request, _told(request, intake, token))


async def _told(request: Request, intake: Intake, token: str) -> Response:
    status, page = await _status(intake, token)
    if pages.by_browser(request):
        inbox = intake.inboxes.current.by_id.get(page.inbox)
        speech = SPEECHES[language_for(page.language, inbox.language if inbox else "en")]
        zone = zone_for(page.zone, intake.settings.intake_zone)
        return HTMLResponse(status_page.render(status, speech, zone), headers=pages.HEADERS)
    return Response(status.model_dump_json(), headers=pages.HEADERS, media_type="application/json")


async def _status(intake: Intake, token: str) -> tuple[TicketStatus, Page]:
    whole = intake.signer.ticket_of_history(token)
    if whole is None:
        return await _stands(intake, intake.signer.ticket_of_status(token), whole=False)
    await intake.check_rate("history", whole, LOOKS_PER_MINUTE)
    async with intake.readers:  # before anything is loaded: who waits holds none of it in memory
        return await _stands(intake, whole, whole=True)


async def _stands(intake: Intake, ticket_id: str | None, *, whole: bool) -> tuple[TicketStatus, Page]:
    told: list[_Told] = []
    count = 0
    async with db.transaction(intake.parts.engine) as conn:
        page = await histories.page(conn, ticket_id) if ticket_id is not None else None
        if page is None:
            raise Problem(404, "unknown-link", "This link is not one of ours, or was cut short. Use the whole link.")
        shows = whole and page.shown
        if shows:
            entries, count = await histories.entries(conn, page)
            files = await histories.files(conn, [entry.message_id for entry in entries])
            await intake.parts.keys.load(conn, {entry.sealed.customer_id for entry in entries if entry.sealed is not None})
            told = [_Told(entry, _opened(intake, entry), files.get(entry.message_id, [])) for entry in entries]
        until = int((await clock(conn) + LINK_LIVES).timestamp())
    messages = await asyncio.to_thread(lambda: [_message(intake, one, until) for one in told])
    status = TicketStatus(
        number=page.number,
        status=page.status,
        opened_at=page.opened_at,
        changed_at=page.changed_at,
        answer_promised_by=page.promised_by,
        goes_on_as=page.goes_on_as if page.goes_on_as != page.number else None,
        messages=messages if shows else None,
        earlier=count - len(messages),
    )
    return status, page


def _opened(intake: Intake, entry: Entry) -> ReplyPersonal | None:
    if entry.sealed is None or entry.event_id is None:
        return None
    content = intake.parts.keys.open(entry.sealed, ReplyPersonal, entry.event_id)
    return None if isinstance(content, Erased) else content


def _message(intake: Intake, told: _Told, until: int) -> ShownMessage:
    entry = told.entry
    text, language = _ours(told) if entry.ours else _theirs(entry)
    names = told.reply.attachment_names if told.reply is not None else ()
    files = [
        ShownFile(
            name=file.name or (names[place] if place < len(names) else ""),
            media_type=file.media_type,
            size_bytes=file.size_bytes,
            url=f"{intake.settings.public_url}/files/{intake.signer.file_token(file.id, until)}",
        )
        for place, file in enumerate(told.files)
    ]
    direction = direction_of(text or "", language)
    return ShownMessage(at=entry.at, ours=entry.ours, text=text, language=language, direction=direction, files=files)


def _ours(told: _Told) -> tuple[str | None, str]:
    language = told.entry.language or "und"
    if told.reply is None or not told.reply.text:
        return None, language
    text = clean_text(told.reply.text)
    return text, language if language != "und" else language_of(text)


def _theirs(entry: Entry) -> tuple[str | None, str]:
    said = written.read(entry.media_type or "", entry.body) if entry.body is not None else None
    if said is None:
        return None, "und"
    text = said.reply or said.text
    return text, language_of(text)
