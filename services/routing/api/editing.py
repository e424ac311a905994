"""What people edit of a ticket. Each edit says which version it edits, so that nobody undoes what they have not seen."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import Field, StringConstraints, model_validator

from services.routing.api.room import AgentOrSupervisor, Body, Json, TheRoom, actor, ticket_command
from services.routing.api.tickets import TicketId
from services.routing.commanding import Queues
from services.routing.domain import editing
from services.routing.domain.work import Turn
from shared.http import IfMatch, check_match, etag

router = APIRouter(tags=["tickets"])
Line = r"^[^\x00-\x1f\x7f\u2028\u2029]*$"
Subject = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=Line)]
# As word lists have them: they stand on the log in clear.
Mark = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=Line)]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
# In clear, too: numbers, dates and codes, not words.
FieldValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/#+-]{0,99}$")]


class Edit(Body):
    """What is to be otherwise; what is left out, or null, stays. `tags` are all tags from then on. Of `fields`, your own, those
    named are set, or taken away by null. Topic, product, tags and fields are no secrets: they stand on the log in clear.
    """

    subject: Subject | None = None
    priority: Literal[1, 2, 3, 4] | None = None
    topic: Mark | None = None
    product: Mark | None = None
    tags: Annotated[list[Mark], Field(max_length=50)] | None = None
    fields: Annotated[dict[FieldName, FieldValue | None], Field(max_length=editing.MOST_FIELDS)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def something(self) -> Edit:
        """Otherwise nothing is asked."""
        if not self.fields and all(one is None for one in (self.subject, self.priority, self.topic, self.product, self.tags)):
            raise ValueError("say what is to be otherwise")
        return self

    def wanted(self) -> editing.Edit:
        """As the domain has it."""
        tags = tuple(dict.fromkeys(self.tags)) if self.tags is not None else None
        return editing.Edit(self.subject, self.priority, self.topic, self.product, tags, self.fields)


@router.patch("/v1/tickets/{ticket_id}")
async def edit_ticket(
    ticket_id: TicketId, body: Edit, room: TheRoom, caller: AgentOrSupervisor, if_match: IfMatch = None
) -> Response:
    """Change subject, priority, topic, product, tags or own fields. Send If-Match with the ETag that reading the ticket told:
    428 `precondition-required` without it, 412 `precondition-failed` where somebody was faster; both tell the ETag as it is now.
    """
    wanted = body.wanted()

    def decide(turn: Turn, _queues: Queues) -> Json:
        check_match(if_match, turn.work.ticket.version)
        editing.edit(turn, actor(caller), wanted)
        ticket = turn.work.ticket
        labels = {"priority": ticket.priority, "topic": ticket.topic, "product": ticket.product, "tags": ticket.tags}
        return {**labels, "fields": ticket.fields, "version": ticket.version}

    answer = await ticket_command(room, caller, "edit_ticket", ticket_id, None, body, decide)
    answer.headers["ETag"] = etag(json.loads(bytes(answer.body))["version"])
    return answer
