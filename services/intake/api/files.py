"""What came with messages: files, the HTML of mails made safe, and text that is longer than it may travel. Nothing here sets or
asks for a cookie.
"""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel

from services.intake.api import pages
from services.intake.api.edge import Intake, Parts
from services.intake.channels import content, generic, written
from services.intake.channels.safe_html import safe_html
from services.intake.channels.taken_apart import mail_in
from services.intake.store import payloads
from services.intake.store.payloads import Payload
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.base import derived_id
from shared.http import Problem

router = APIRouter()
Reader = Annotated[Caller, Depends(requires("agent", "supervisor", "partner agent", "partner"))]
LINK_LIVES = timedelta(hours=1)
PLAIN = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Cache-Control": "no-store"}
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,80}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}", re.IGNORECASE)


class FileLink(BaseModel):
    """Where a file can be fetched without a key, until `expires_at`."""

    url: str
    expires_at: AwareDatetime


class MessageText(BaseModel):
    """What somebody wrote, as long as it is: `message.received` cuts it. `quoted` is what stood around the text of a mail:
    quotations, signatures, footers. `from_log`: how it came is gone, for a backup was restored; the text is that of the log, no
    longer than it travels, and what stood around it is in `message.received` only.
    """

    text: str
    quoted: str
    from_log: bool


@router.get("/v1/attachments/{attachment_id}", response_class=Response)
async def get_attachment(attachment_id: str, intake: Parts, caller: Reader) -> Response:
    """The content of a file that came with a message. For the agent who has the ticket, or a supervisor."""
    found = await _attachment(intake, attachment_id)
    _check(found, caller)
    return await _served(found)


@router.post("/v1/attachments/{attachment_id}/link", response_model=FileLink)
async def link_attachment(attachment_id: str, intake: Parts, caller: Reader) -> FileLink:
    """A signed link to the file for a browser, which brings no key. For those who may fetch the file; it lives an hour."""
    found = await _attachment(intake, attachment_id)
    _check(found, caller)
    if found is None or found.body is None:
        raise _nothing()
    async with db.transaction(intake.parts.engine) as conn:
        until = await clock(conn) + LINK_LIVES
    return FileLink(url=_link(intake, attachment_id, int(until.timestamp())), expires_at=until)


@router.get("/files/{token}", response_class=Response)
async def get_file(token: str, request: Request, intake: Parts) -> Response:
    """A file by its signed link."""
    return await pages.shown(request, _linked(intake, token))


async def _linked(intake: Intake, token: str) -> Response:
    named = intake.signer.read_file_token(token)
    async with db.transaction(intake.parts.engine) as conn:
        now = await clock(conn)
    if named is None or named.until_seconds < now.timestamp():
        raise Problem(404, "no-such-link", "This link is not good, or no longer. Ask for the message again.")
    return await _served(await _attachment(intake, named.attachment_id))


@router.get("/v1/messages/{message_id}/html", response_class=Response)
async def get_message_html(message_id: str, intake: Parts, caller: Reader) -> Response:
    """The HTML of a mail, made safe: no scripts, nothing loaded but the mail's own pictures. For the agent who has the ticket,
    or a supervisor.
    """
    async with db.transaction(intake.parts.engine) as conn:
        found = await payloads.message(conn, message_id)
        until = int((await clock(conn) + LINK_LIVES).timestamp())
    _check(found, caller)
    mail = (
        await asyncio.to_thread(mail_in, found.media_type, found.body) if found is not None and found.body is not None else None
    )
    if mail is None:
        raise _nothing()
    html = await asyncio.to_thread(_safe, intake, message_id, mail, until)
    policy = f"default-src 'none'; img-src {intake.settings.public_url}; style-src 'unsafe-inline'; sandbox allow-popups"
    headers = {**PLAIN, "Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return Response(html, headers=headers, media_type="text/html; charset=utf-8")


@router.get("/v1/messages/{message_id}/text", response_model=MessageText)
async def get_message_text(message_id: str, intake: Parts, caller: Reader) -> Response:
    """The whole text of a message, and of a mail the whole quotation. For the agent who has the ticket, or a supervisor."""
    async with db.transaction(intake.parts.engine) as conn:
        found = await payloads.message(conn, message_id)
    _check(found, caller)
    body = await asyncio.to_thread(_text, found) if found is not None and found.body is not None else None
    if body is None:
        raise _nothing()
    return Response(body, headers=PLAIN, media_type="application/json")


def _text(found: Payload) -> str | None:
    said = written.whole(found.media_type, found.body or b"")
    if said is None:
        return None
    from_log = found.media_type == written.PLAIN
    return MessageText(text=said.reply, quoted=said.around, from_log=from_log).model_dump_json()


def _safe(intake: Intake, message_id: str, raw: bytes, until: int) -> str:
    shown = content.shown(raw)
    if not shown.html:
        raise _nothing()

    def link_of(content_id: str) -> str | None:
        number = shown.files.get(content_id)
        return _link(intake, derived_id("attachment", message_id, str(number)), until) if number is not None else None

    return safe_html(shown.html, link_of)


def _link(intake: Intake, attachment_id: str, until: int) -> str:
    return f"{intake.settings.public_url}/files/{intake.signer.file_token(attachment_id, until)}"


async def _attachment(intake: Intake, attachment_id: str) -> Payload | None:
    async with db.transaction(intake.parts.engine) as conn:
        return await payloads.attachment(conn, attachment_id)


def _check(found: Payload | None, caller: Caller) -> None:
    """Raises Problem 403, to a partner 404: who may not see it is not told whether it is there."""
    if caller.partner_id is not None and (found is None or not caller.sees(found.partner_id)):
        raise _nothing()
    holder = found.agent_id if found is not None else None
    if not caller.oversees and (holder is None or holder != caller.agent_id):
        detail = "You have no ticket with such a file. If you just accepted it, try again in a second. A supervisor may see all."
        raise Problem(403, "forbidden", detail)


async def _served(found: Payload | None) -> Response:
    if found is None:
        raise _nothing()
    try:
        content = await asyncio.to_thread(_content, found)
    except LookupError:
        raise _nothing() from None
    return download(content, found.media_type, found.name)


def _content(found: Payload) -> bytes | None:
    """The file within what came in. Raises LookupError when it is not there."""
    if found.body is None:
        return None
    if found.carrier_type == payloads.FILE_ITSELF:
        return found.body
    if found.carrier_type == generic.MEDIA_TYPE:
        return generic.file_content(found.body, found.part)
    mail = mail_in(found.carrier_type, found.body)
    return content.file_content(mail, found.part) if mail is not None else None


def download(body: bytes | None, media_type: str, name: str = "") -> Response:
    """Bytes of somebody else as a download, never as a page. Raises Problem 404."""
    if body is None:
        raise _nothing()
    known = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    response = Response(body, headers={**PLAIN, "Content-Disposition": _disposition(name)})
    response.headers["Content-Type"] = known  # as it is: Starlette would add a charset to text
    return response


def _disposition(name: str) -> str:
    """With the name twice (RFC 6266): in ASCII, and as RFC 5987 has it."""
    if not name:
        return "attachment"
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"


def _nothing() -> Problem:
    return Problem(404, "not-found", "There is no such content, or it was erased.")
