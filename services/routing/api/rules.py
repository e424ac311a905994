"""Rules that move tickets up the tiers. Each PUT is a new version, said on `config`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field, JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing.api.configuring import ConfigId, Version, get, invalid, listed, put
from services.routing.api.room import Admin, Cursor, Limit, Operations, TheRoom
from services.routing.domain.escalating import HIGHEST_TIER, check_rule
from services.routing.store import timing
from shared.conditions import WrongCondition
from shared.events.base import Draft, Fact
from shared.events.config import RuleConfigured
from shared.http import IfMatch

router = APIRouter(tags=["configuration"])


class Rule(Version):
    """A rule of escalation: a ticket for which `when` holds rises to `to_tier`, or to the next tier that takes it; once by each.

    `when` is a condition tree over what queues may ask, and `tier`, `queue`, `waits`, `transfers`, `repeat_contact`,
    `sla_warned_percent` and `sla_breached` of promises that run. The first rule by `position` that holds counts; none holds
    for {"is": "any"}.
    """

    position: Annotated[int, Field(ge=0, le=1_000_000)]
    when: dict[str, JsonValue]
    to_tier: Annotated[int, Field(ge=2, le=HIGHEST_TIER)] | None = None


@router.put("/v1/rules/{config_id}")
async def put_rule(config_id: ConfigId, body: Rule, room: TheRoom, _admin: Admin, if_match: IfMatch = None) -> Response:
    """Make or change a rule. Tickets that wait or are at work are looked at again."""

    async def prepare(conn: AsyncConnection, fact: RuleConfigured) -> list[Draft[Fact]]:
        try:
            check_rule(fact)
        except WrongCondition as wrong:
            raise invalid(wrong.path, wrong.reason) from None
        await timing.note_all(conn)
        return []

    values = {**body.model_dump(), "kind": "escalate", "when": body.when or {"is": "all"}}
    return await put(room, "rule", config_id, body, values, RuleConfigured, if_match, prepare)


@router.get("/v1/rules/{config_id}")
async def get_rule(config_id: ConfigId, room: TheRoom, caller: Operations) -> Response:
    """A rule as configured."""
    return await get(room, "rule", config_id, caller)


@router.get("/v1/rules")
async def list_rules(room: TheRoom, caller: Operations, cursor: Cursor = "", limit: Limit = 50) -> dict[str, object]:
    """Rules in order of id."""
    return await listed(room, "rule", cursor, limit, caller)
