"""Rules about spam: whose messages, or messages with which words, are quarantined; and who is let through."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.intake import spam_rules as rules
from services.intake.api.edge import Intake, Parts
from services.intake.domain.spam import WORDS, SpamPart, SpamRule, UnusableValue, Verdict, comparable
from services.intake.store import spam_rules
from services.intake.store.spam_rules import StoredRule
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.config import SpamRuleConfigured
from shared.http import FieldError, IfMatch, Problem, check_match, etag

router = APIRouter()
Admin = Annotated[Caller, Depends(requires("admin"))]
RuleId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
InboxId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
VALUES_CAP = 1000


class SpamRuleBody(BaseModel):
    """A list of senders or words. `part` says what its `values` are: addresses, domains (and all below them), numbers with their
    `+`, or words and phrases of the subject or of the text.

    `block`: a new ticket of such a message is quarantined. `allow`: it is not, whatever other rules and scores say, but only when
    the sender is who they say; it holds for senders, not for words. `inboxes`: where it holds; none: everywhere.
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
    rule_id: RuleId, body: SpamRuleBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> SpamRuleShown:
    """Make or change a rule. To change one, send If-Match with the ETag that GET told. Open tickets stay as they are."""
    wanted = _rule(rule_id, body)

    async def put() -> StoredRule:
        async with db.transaction(intake.parts.engine) as conn:
            before = await spam_rules.locked(conn, rule_id)
            check_match(if_match, before.fact.version if before and isinstance(before.fact, SpamRuleConfigured) else None)
            now = await clock(conn)
            return await rules.enact(conn, intake.parts.outbox, wanted, before, body.effective_from or now, now)

    stored = await db.retrying(put)
    await _told(intake)
    response.headers["ETag"] = etag(stored.fact.version)
    return _shown(stored, wanted)


@router.delete("/v1/spam-rules/{rule_id}", status_code=204)
async def delete_spam_rule(rule_id: RuleId, intake: Parts, _caller: Admin, if_match: IfMatch = None) -> Response:
    """Take a rule out of force; whom it named is forgotten. Send If-Match with the ETag that GET told."""

    async def remove() -> None:
        async with db.transaction(intake.parts.engine) as conn:
            before = await spam_rules.locked(conn, rule_id)
            if before is None or not isinstance(before.fact, SpamRuleConfigured):
                raise unknown()
            check_match(if_match, before.fact.version)
            await rules.remove(conn, intake.parts.outbox, rule_id, before, await clock(conn))

    await db.retrying(remove)
    await _told(intake)
    return Response(status_code=204)


@router.get("/v1/spam-rules/{rule_id}", response_model=SpamRuleShown)
async def get_spam_rule(rule_id: RuleId, response: Response, intake: Parts, _caller: Admin) -> SpamRuleShown:
    """A rule as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = await spam_rules.one(conn, rule_id)
        if found is None or not isinstance(found.fact, SpamRuleConfigured):
            raise unknown()
        [opened] = await spam_rules.opened(conn, intake.parts.keys, [found])
    response.headers["ETag"] = etag(found.fact.version)
    return _shown(found, opened)


@router.get("/v1/spam-rules", response_model=SpamRulesShown)
async def list_spam_rules(intake: Parts, _caller: Admin) -> SpamRulesShown:
    """All rules in force."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await spam_rules.all_of_them(conn)
        opened = await spam_rules.opened(conn, intake.parts.keys, stored)
    return SpamRulesShown(spam_rules=[_shown(*pair) for pair in zip(stored, opened, strict=True)])


def unknown() -> Problem:
    """Said of a rule that is not in force."""
    return Problem(404, "unknown-spam-rule", "There is no such rule.")


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


async def _told(intake: Intake) -> None:
    intake.parts.outbox.wake.set()
    await intake.acceptor.spam.refresh()


def _shown(stored: StoredRule, rule: SpamRule) -> SpamRuleShown:
    return SpamRuleShown(
        id=rule.id,
        version=stored.fact.version,
        effective_from=stored.fact.effective_from,
        verdict=rule.verdict,
        part=rule.part,
        values=rule.values,
        inboxes=rule.inboxes,
    )
