"""Rules about spam: whose messages, or messages with which words, are quarantined; and who is let through."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake import spam_rules
from services.intake.api import configuring
from services.intake.api.configuring import Admin, ConfigId, Kind
from services.intake.api.edge import Parts
from services.intake.domain.spam import WORDS, SpamPart, SpamRule, UnusableValue, Verdict, comparable
from services.intake.store.configured import SPAM_RULES, Newest
from shared import db
from shared.events.config import SpamRuleConfigured
from shared.http import FieldError, IfMatch, Problem, etag

router = APIRouter()
KIND = Kind(SPAM_RULES, "unknown-spam-rule", "There is no such rule.")
InboxId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
VALUES_CAP = 1000


class SpamRuleBody(BaseModel):
    """A list of senders or words. `part` says what its `values` are: addresses, domains (and all below them), numbers with their
    `+`, or words and phrases of the subject or of the text.

    `block`: such a message comes to a ticket in quarantine, also where it belongs to one that is there (docs/decisions/0022).
    `allow`: it does not, whatever other rules and scores say, but only when the sender is who they say; it holds for senders, not
    for words. `inboxes`: where it holds; none: everywhere.
    """

    model_config = ConfigDict(extra="forbid")

    verdict: Verdict
    part: SpamPart
    values: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=320)], ...], Field(min_length=1, max_length=VALUES_CAP)]
    inboxes: Annotated[tuple[InboxId, ...], Field(max_length=100)] = ()
    effective_from: AwareDatetime | None = None


class SpamRuleShown(SpamRuleBody):
    """A rule as it is now."""

    id: str
    version: int


class SpamRulesShown(BaseModel):
    """All of them, by id."""

    spam_rules: list[SpamRuleShown]


@router.put("/v1/spam-rules/{rule_id}", response_model=SpamRuleShown)
async def put_spam_rule(
    rule_id: ConfigId, body: SpamRuleBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> SpamRuleShown:
    """Make or change a rule. To change one, send If-Match with the ETag that GET told. Open tickets stay as they are."""
    wanted = _rule(rule_id, body)

    async def write(conn: AsyncConnection, before: Newest[SpamRuleConfigured], now: datetime) -> SpamRuleConfigured:
        return await spam_rules.enact(conn, intake.parts.outbox, wanted, before, body.effective_from or now, now)

    said = await configuring.put(intake, KIND, rule_id, if_match, write)
    await intake.acceptor.spam.refresh()
    response.headers["ETag"] = etag(said.version)
    return _shown(said, wanted)


@router.delete("/v1/spam-rules/{rule_id}", status_code=204)
async def delete_spam_rule(rule_id: ConfigId, intake: Parts, _caller: Admin, if_match: IfMatch = None) -> Response:
    """Take a rule out of force; whom it named is forgotten. Send If-Match with the ETag that GET told."""
    await configuring.remove(intake, KIND, rule_id, if_match)
    await intake.acceptor.spam.refresh()
    return Response(status_code=204)


@router.get("/v1/spam-rules/{rule_id}", response_model=SpamRuleShown)
async def get_spam_rule(rule_id: ConfigId, response: Response, intake: Parts, _caller: Admin) -> SpamRuleShown:
    """A rule as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = KIND.in_force(await SPAM_RULES.one(conn, rule_id))
        [opened] = await spam_rules.opened(conn, intake.parts.keys, [found])
    response.headers["ETag"] = etag(found.version)
    return _shown(found.fact, opened)


@router.get("/v1/spam-rules", response_model=SpamRulesShown)
async def list_spam_rules(intake: Parts, _caller: Admin) -> SpamRulesShown:
    """All rules in force."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await SPAM_RULES.in_force(conn)
        opened = await spam_rules.opened(conn, intake.parts.keys, stored)
    return SpamRulesShown(spam_rules=[_shown(one.fact, rule) for one, rule in zip(stored, opened, strict=True)])


def _rule(rule_id: str, body: SpamRuleBody) -> SpamRule:
    """The rule with its values as they are compared. Raises Problem 422."""
    if body.verdict == "allow" and body.part in WORDS:
        error = FieldError("body.part", "must be address, domain or number: words prove nobody")
        raise Problem(422, "invalid-request", "Words cannot let a message through.", [error])
    values: dict[str, None] = {}
    for n, value in enumerate(body.values):
        try:
            values[comparable(body.part, value)] = None
        except UnusableValue as wrong:
            error = FieldError(f"body.values[{n}]", str(wrong))
            raise Problem(422, "invalid-request", "A value cannot be compared with anything; see errors.", [error]) from None
    return SpamRule(rule_id, body.verdict, body.part, tuple(values), body.inboxes)


def _shown(said: SpamRuleConfigured, rule: SpamRule) -> SpamRuleShown:
    return SpamRuleShown(
        id=rule.id,
        version=said.version,
        effective_from=said.effective_from,
        verdict=rule.verdict,
        part=rule.part,
        values=rule.values,
        inboxes=rule.inboxes,
    )
