"""Who is who: suggestions that two customers are one, merging them and undoing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import merging
from services.intake.api.customer_refs import Reader, Ref, found
from services.intake.api.edge import Intake, Parts
from services.intake.domain.identity import MergeRefused
from services.intake.store import customers, merges
from shared import db
from shared.auth import Caller, requires
from shared.http import Problem
from shared.idempotency import Answer, IdempotencyKey, once, request_hash

router = APIRouter()
Supervisor = Annotated[Caller, Depends(requires("supervisor"))]
Worker = Annotated[Caller, Depends(requires("supervisor", "agent"))]
Id = Annotated[str, Field(min_length=1, max_length=100)]


class MergeBody(BaseModel):
    """Into whom, by id."""

    model_config = ConfigDict(extra="forbid")

    into_customer_id: Id


class AnswerBody(BaseModel):
    """Whether they are one person."""

    model_config = ConfigDict(extra="forbid")

    same: bool


class Merged(BaseModel):
    """Under which id the person goes on."""

    customer_id: str


class SuggestionShown(BaseModel):
    """Perhaps the same person as this other customer."""

    customer_id: str
    evidence: str
    suggested_at: datetime


class SuggestionsShown(BaseModel):
    """Those that nobody answered, oldest first."""

    suggestions: list[SuggestionShown]


@router.post("/v1/customers/{ref}/merge", response_model=Merged)
async def merge_customer(ref: Ref, body: MergeBody, intake: Parts, caller: Supervisor, key: IdempotencyKey = None) -> Response:
    """Let this customer go on as another: handles, tickets and orders with it. POST …/unmerge undoes it."""

    async def work(conn: AsyncConnection) -> str:
        stored = await customers.one(conn, ref)
        if stored is not None and stored.merged_into == body.into_customer_id:
            return body.into_customer_id  # asked for again
        one = ref if stored is not None else (await found(conn, ref)).customer_id
        await merging.merge(conn, intake.parts.outbox, one, body.into_customer_id, "by_hand", caller.agent_id)
        return body.into_customer_id

    return await _once(intake, caller, key, ["merge", ref, body.into_customer_id], work)


@router.post("/v1/customers/{ref}/unmerge", response_model=Merged)
async def unmerge_customer(ref: Ref, intake: Parts, caller: Supervisor, key: IdempotencyKey = None) -> Response:
    """Undo the merge of this customer, named by its own id: what was its is its again, and what came from its handles since."""

    async def work(conn: AsyncConnection) -> str:
        await merging.unmerge(conn, intake.parts.outbox, ref, caller.agent_id)
        return ref

    return await _once(intake, caller, key, ["unmerge", ref], work)


@router.get("/v1/customers/{ref}/suggestions", response_model=SuggestionsShown)
async def list_suggestions(ref: Ref, intake: Parts, _caller: Reader) -> SuggestionsShown:
    """Who may be the same person, on evidence that is not verified."""
    async with db.transaction(intake.parts.engine) as conn:
        customer = await found(conn, ref)
        members = (await customers.family(conn, [customer.customer_id]))[customer.customer_id]
        pairs = await merges.suggestions(conn, list(members))
    return SuggestionsShown(
        suggestions=[
            SuggestionShown(
                customer_id=pair.other_id if pair.customer_id in members else pair.customer_id,
                evidence=pair.evidence,
                suggested_at=pair.suggested_at,
            )
            for pair in pairs
            if not {pair.customer_id, pair.other_id} <= members.keys()  # who became one in another way
        ]
    )


@router.post("/v1/customers/{ref}/suggestions/{other_id}", response_model=Merged)
async def answer_suggestion(
    ref: Ref, other_id: str, body: AnswerBody, intake: Parts, caller: Worker, key: IdempotencyKey = None
) -> Response:
    """Accept a suggestion, and the other goes on as this customer; or dismiss it, and it is not made again."""

    async def work(conn: AsyncConnection) -> str:
        customer = await found(conn, ref)
        members = list((await customers.family(conn, [customer.customer_id]))[customer.customer_id])
        if not await merges.settle(conn, members, other_id, "accepted" if body.same else "dismissed"):
            raise Problem(404, "unknown-suggestion", "Nobody suggested that these are one, or it was answered.")
        if body.same:
            evidence, other = "agent" if caller.agent_id else "by_hand", await customers.onward(conn, other_id)
            await merging.merge(conn, intake.parts.outbox, other, customer.customer_id, evidence, caller.agent_id)
        return customer.customer_id

    return await _once(intake, caller, key, ["suggestion", ref, other_id, str(body.same)], work)


async def _once(
    intake: Intake, caller: Caller, key: str | None, asked: list[str], work: Callable[[AsyncConnection], Awaitable[str]]
) -> Response:
    """Carry a command out, with a key once. Raises Problem 404 and 409 where the merge may not be."""

    async def answered(conn: AsyncConnection) -> Answer:
        return Answer(200, Merged(customer_id=await work(conn)).model_dump_json().encode())

    digest = request_hash("\n".join(asked), b"")
    try:
        answer = await once(intake.parts.engine, "intake", caller.key_id, key, digest, answered)
    except MergeRefused as error:
        status = 404 if error.code == "unknown-customer" else 409
        raise Problem(status, error.code, str(error)) from None
    intake.parts.outbox.wake.set()
    return answer.response()
