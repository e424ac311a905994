"""`POST /v1/customers/by-hand`: an agent has somebody before them, or on the telephone, whom nobody knows yet."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api.customer_refs import Language, handle
from services.intake.api.edge import Parts
from services.intake.channels.clean import clean_line
from services.intake.domain.by_hand import Met, take
from services.intake.domain.handles import HANDLE_LIMIT
from services.intake.domain.identity import CLAIM, Profile, claimed
from services.intake.store import customers, merges
from shared.auth import Caller, requires
from shared.clock import clock
from shared.http import FieldError, Problem
from shared.idempotency import Answer, IdempotencyKey, once, request_hash

router = APIRouter()
Worker = Annotated[Caller, Depends(requires("supervisor", "agent"))]


class ByHandBody(BaseModel):
    """Who somebody says they are; a name, an address or a number at least. The number with its + and country."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=1000)] = ""
    email: Annotated[str, Field(max_length=HANDLE_LIMIT)] = ""
    phone: Annotated[str, Field(max_length=60)] = ""
    language: Language | None = None
    channel: Literal["in_person", "phone", "other"] = "in_person"


class ByHand(BaseModel):
    """Who they are taken for. `made`: nobody had claimed this address or number before."""

    customer_id: str
    made: bool


@router.post("/v1/customers/by-hand", response_model=ByHand)
async def customer_by_hand(body: ByHandBody, intake: Parts, caller: Worker, key: IdempotencyKey = None) -> Response:
    """Make a customer of somebody whom nobody knows, so that routing's POST /v1/tickets can open a ticket for them. What is
    typed in proves nothing: the address and the number are claims. Who claimed them before is the same customer; that whoever
    has them is, is suggested. Who is known is found by GET /v1/customers/{ref}.
    """
    met = _met(body)

    async def work(conn: AsyncConnection) -> Answer:
        taken, changes = take(met, await customers.standing(conn, met.looked_for))
        now = await clock(conn)
        await customers.save(conn, changes, now)
        await merges.suggest(conn, [(taken.customer_id, other, CLAIM) for other in taken.perhaps], now)
        await intake.parts.outbox.publish(conn, changes.drafts, now)
        return Answer(200, ByHand(customer_id=taken.customer_id, made=taken.made).model_dump_json().encode())

    digest = request_hash("customer_by_hand", body.model_dump_json().encode())
    answer = await once(intake.parts.engine, "intake", caller.key_id, key, digest, work)
    intake.parts.outbox.wake.set()
    return answer.response()


def _met(body: ByHandBody) -> Met:
    """Raises Problem 422. What was typed stands in the record too: a claim may end when people are merged."""
    typed = {name: line for name in ("email", "phone") if (line := clean_line(getattr(body, name), HANDLE_LIMIT))}
    claims = [claimed(handle("email", typed["email"], "body.email"))] if "email" in typed else []
    claims += [claimed(handle("phone", typed["phone"], "body.phone"))] if "phone" in typed else []
    name = clean_line(body.name)
    if not name and not claims:
        missing = FieldError("body.name", "is missing, and so are email and phone: give one of them")
        raise Problem(422, "invalid-request", "Nobody could be found again by this; see errors.", [missing])
    return Met(str(uuid4()), body.channel, Profile(name=name, language=body.language, fields=typed), tuple(claims))
