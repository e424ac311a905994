"""The page that shows a customer how the ticket stands, for whoever has its link."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from services.intake.api import pages
from services.intake.api.edge import Intake, Parts
from services.intake.store import tickets
from services.intake.store.tickets import StatusPage
from shared import db
from shared.http import Problem

router = APIRouter()


class TicketStatus(BaseModel):
    """How a ticket stands."""

    number: int
    status: str
    opened_at: str
    changed_at: str
    answer_promised_by: str | None


@router.get("/status/{token}", response_model=TicketStatus, responses={200: {"content": {"text/html": {}}}})
async def ticket_status(token: str, request: Request, intake: Parts) -> Response:
    """How a ticket stands, for whoever has its link: as JSON, or as a small page to a browser."""
    ticket_id = intake.signer.ticket_of_status(token)
    page = await _page(intake, ticket_id) if ticket_id is not None else None
    if page is None:
        raise Problem(404, "unknown-link", "This link is not one of ours, or was cut short. Use the whole link.")
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(pages.status_page(page, intake.settings.intake_zone), headers=pages.HEADERS)
    status = TicketStatus(
        number=page.number,
        status=page.status,
        opened_at=page.opened_at.isoformat(),
        changed_at=page.changed_at.isoformat(),
        answer_promised_by=page.promised_by.isoformat() if page.promised_by else None,
    )
    return Response(json.dumps(status.model_dump()), headers=pages.HEADERS, media_type="application/json")


async def _page(intake: Intake, ticket_id: str) -> StatusPage | None:
    async with db.transaction(intake.parts.engine) as conn:
        return await tickets.page(conn, ticket_id)
