"""Routing: agents and what they do to tickets.

Methods are named as the operations of docs/generated/openapi-routing.json. All raise ProblemError and NoAnswer. What is
answered is JSON as it came, times as text (RFC 3339).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import date
from typing import Literal

from .configuring import Configuring
from .exchange import Json
from .paging import Page
from .routing_types import (
    Assign,
    Bulk,
    CallBack,
    Consult,
    ConsultAnswer,
    Decline,
    DeclineTransfer,
    Escalate,
    Hold,
    Link,
    Merge,
    Note,
    Open,
    Pend,
    Reopen,
    Reply,
    Resolve,
    Split,
    State,
    Transfer,
    WrapUp,
)
from .service import at
from .streaming import StreamEvent, follow
from .writing import Writing


class Routing(Configuring, Writing):
    """The agents' side, its configuration, and who may come in."""

    async def list_agents(
        self,
        state: Literal["offline", "available", "break", "wrap_up", "missed"] | None = None,
        team_id: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Json]:
        """Agents in order of id: state, load, presence."""
        return await self._get(Page[Json], at("/v1/agents", state=state, team_id=team_id, cursor=cursor, limit=limit))

    async def get_agent(self, agent_id: str) -> Json:
        """An agent as configured and as now."""
        return await self._get(Json, at("/v1/agents/{}", agent_id))

    async def change_agent_state(self, agent_id: str, body: State, idempotency_key: str | None = None) -> Json:
        """Come, go, pause. Coming starts the presence, which the live stream and every call then keep up."""
        return await self._post(Json, at("/v1/agents/{}/state", agent_id), body, idempotency_key)

    def stream_agent(
        self, agent_id: str, last_event_id: str = "", cursor: int | None = None, *, resume: bool = True
    ) -> AsyncGenerator[StreamEvent, None]:
        """The agent's live stream, from after that event or (without one) from now on.

        `ready` begins it and each time it goes on; `reset` says that some was lost, so that the lists are to be read again.
        """
        return follow(self, at("/v1/agents/{}/stream", agent_id, cursor=cursor), last_event_id, resume=resume)

    async def list_agent_tickets(self, agent_id: str, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """The tickets that the agent owns."""
        return await self._get(Page[Json], at("/v1/agents/{}/tickets", agent_id, cursor=cursor, limit=limit))

    async def list_offers(self, agent_id: str) -> Page[Json]:
        """What the agent is offered now, oldest first. `expires_at` is the server's: whoever is later gets 409."""
        return await self._get(Page[Json], at("/v1/agents/{}/offers", agent_id))

    async def list_agent_tasks(self, agent_id: str) -> Page[Json]:
        """What the agent has to do with tickets that they neither own nor are offered: wrap-ups, questions, hand-overs."""
        return await self._get(Page[Json], at("/v1/agents/{}/tasks", agent_id))

    async def accept_offer(self, offer_id: str, idempotency_key: str | None = None) -> Json:
        """Take the ticket."""
        return await self._post(Json, at("/v1/offers/{}/accept", offer_id), None, idempotency_key)

    async def decline_offer(self, offer_id: str, body: Decline, idempotency_key: str | None = None) -> Json:
        """Let it go to the next agent."""
        return await self._post(Json, at("/v1/offers/{}/decline", offer_id), body, idempotency_key)

    async def list_tickets(
        self, attention: Literal["spam", "no_queue"], cursor: str | None = None, limit: int | None = None
    ) -> Page[Json]:
        """Tickets that people have to look at, in order of id."""
        return await self._get(Page[Json], at("/v1/tickets", attention=attention, cursor=cursor, limit=limit))

    async def get_ticket(self, ticket_id: str, after: int | None = None, limit: int | None = None) -> Json:
        """A ticket: status, owner, promises, and its history with the texts, from after the entry `after`."""
        return await self._get(Json, at("/v1/tickets/{}", ticket_id, after=after, limit=limit))

    async def list_decisions(
        self, ticket_id: str, agent_id: str | None = None, after: int | None = None, limit: int | None = None
    ) -> Json:
        """Why the ticket was offered to whom it was; with `agent_id` also why it would not be offered to that agent now."""
        return await self._get(Json, at("/v1/tickets/{}/decisions", ticket_id, agent_id=agent_id, after=after, limit=limit))

    async def get_ticket_wait(self, ticket_id: str) -> Json:
        """The ticket's place and how long it still waits, by each estimator; and what was said of it before."""
        return await self._get(Json, at("/v1/tickets/{}/wait", ticket_id))

    async def open_ticket(self, body: Open, idempotency_key: str | None = None) -> Json:
        """Ask intake to open a ticket for a customer."""
        return await self._post(Json, "/v1/tickets", body, idempotency_key)

    async def reply_to_ticket(self, ticket_id: str, body: Reply, idempotency_key: str | None = None) -> Json:
        """Answer the customer."""
        return await self._post(Json, at("/v1/tickets/{}/reply", ticket_id), body, idempotency_key)

    async def note_on_ticket(self, ticket_id: str, body: Note, idempotency_key: str | None = None) -> Json:
        """Write for other agents; the customer never sees it."""
        return await self._post(Json, at("/v1/tickets/{}/note", ticket_id), body, idempotency_key)

    async def resolve_ticket(self, ticket_id: str, body: Resolve, idempotency_key: str | None = None) -> Json:
        """The problem is solved."""
        return await self._post(Json, at("/v1/tickets/{}/resolve", ticket_id), body, idempotency_key)

    async def pend_ticket(self, ticket_id: str, body: Pend | None = None, idempotency_key: str | None = None) -> Json:
        """Wait for the customer; with `until` at most till then."""
        return await self._post(Json, at("/v1/tickets/{}/pend", ticket_id), body, idempotency_key)

    async def hold_ticket(self, ticket_id: str, body: Hold, idempotency_key: str | None = None) -> Json:
        """Wait for a third party."""
        return await self._post(Json, at("/v1/tickets/{}/hold", ticket_id), body, idempotency_key)

    async def reopen_ticket(self, ticket_id: str, body: Reopen, idempotency_key: str | None = None) -> Json:
        """Back to work."""
        return await self._post(Json, at("/v1/tickets/{}/reopen", ticket_id), body, idempotency_key)

    async def release_ticket(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Give it back to the queue, with the age it has."""
        return await self._post(Json, at("/v1/tickets/{}/release", ticket_id), None, idempotency_key)

    async def take_ticket(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Take a waiting ticket without being offered it."""
        return await self._post(Json, at("/v1/tickets/{}/take", ticket_id), None, idempotency_key)

    async def assign_ticket(self, ticket_id: str, body: Assign, idempotency_key: str | None = None) -> Json:
        """Give it to an agent, whatever they are able to do; never more than they can carry."""
        return await self._post(Json, at("/v1/tickets/{}/assign", ticket_id), body, idempotency_key)

    async def bulk_tickets(self, body: Bulk, idempotency_key: str | None = None) -> Json:
        """Do one thing to up to 100 tickets; `items` says of each how it went."""
        return await self._post(Json, "/v1/tickets/bulk", body, idempotency_key)

    async def transfer_ticket(self, ticket_id: str, body: Transfer, idempotency_key: str | None = None) -> Json:
        """Send it on, with the age it has. A warm transfer answers with its `transfer_id`."""
        return await self._post(Json, at("/v1/tickets/{}/transfer", ticket_id), body, idempotency_key)

    async def accept_transfer(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Take over a ticket that is offered to be handed over."""
        return await self._post(Json, at("/v1/tickets/{}/transfer/accept", ticket_id), None, idempotency_key)

    async def decline_transfer(self, ticket_id: str, body: DeclineTransfer, idempotency_key: str | None = None) -> Json:
        """Leave it with its owner, who is told."""
        return await self._post(Json, at("/v1/tickets/{}/transfer/decline", ticket_id), body, idempotency_key)

    async def withdraw_transfer(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Keep it after all."""
        return await self._post(Json, at("/v1/tickets/{}/transfer/withdraw", ticket_id), None, idempotency_key)

    async def escalate_ticket(self, ticket_id: str, body: Escalate, idempotency_key: str | None = None) -> Json:
        """Send it up to the next tier, or the one named, with the age it has."""
        return await self._post(Json, at("/v1/tickets/{}/escalate", ticket_id), body, idempotency_key)

    async def call_back_later(self, ticket_id: str, body: CallBack, idempotency_key: str | None = None) -> Json:
        """The customer is called back instead of waiting, and keeps their place."""
        return await self._post(Json, at("/v1/tickets/{}/callback", ticket_id), body, idempotency_key)

    async def complete_wrap_up(self, ticket_id: str, body: WrapUp, idempotency_key: str | None = None) -> Json:
        """The work after the contact is done."""
        return await self._post(Json, at("/v1/tickets/{}/wrap-up", ticket_id), body, idempotency_key)

    async def consult_expert(self, ticket_id: str, body: Consult, idempotency_key: str | None = None) -> Json:
        """Ask an expert; its owner keeps the ticket."""
        return await self._post(Json, at("/v1/tickets/{}/consults", ticket_id), body, idempotency_key)

    async def answer_consult(
        self, ticket_id: str, consult_id: str, body: ConsultAnswer, idempotency_key: str | None = None
    ) -> Json:
        """The expert answers."""
        path = at("/v1/tickets/{}/consults/{}/answer", ticket_id, consult_id)
        return await self._post(Json, path, body, idempotency_key)

    async def end_consult(self, ticket_id: str, consult_id: str, idempotency_key: str | None = None) -> Json:
        """No answer is needed any more, or the expert has none."""
        return await self._post(Json, at("/v1/tickets/{}/consults/{}/end", ticket_id, consult_id), None, idempotency_key)

    async def mark_ticket_as_spam(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Quarantine it."""
        return await self._post(Json, at("/v1/tickets/{}/spam", ticket_id), None, idempotency_key)

    async def unmark_ticket_as_spam(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """It is no spam after all."""
        return await self._post(Json, at("/v1/tickets/{}/spam", ticket_id), None, idempotency_key, method="DELETE")

    async def close_ticket(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Ask intake to close it."""
        return await self._post(Json, at("/v1/tickets/{}/close", ticket_id), None, idempotency_key)

    async def merge_ticket(self, ticket_id: str, body: Merge, idempotency_key: str | None = None) -> Json:
        """Ask intake to merge it into another ticket of the same customer."""
        return await self._post(Json, at("/v1/tickets/{}/merge", ticket_id), body, idempotency_key)

    async def unmerge_ticket(self, ticket_id: str, idempotency_key: str | None = None) -> Json:
        """Ask intake to undo the merge of this ticket."""
        return await self._post(Json, at("/v1/tickets/{}/unmerge", ticket_id), None, idempotency_key)

    async def split_ticket(self, ticket_id: str, body: Split, idempotency_key: str | None = None) -> Json:
        """Ask intake to put some of the customer's messages on a ticket of their own."""
        return await self._post(Json, at("/v1/tickets/{}/split", ticket_id), body, idempotency_key)

    async def link_ticket(self, ticket_id: str, body: Link, idempotency_key: str | None = None) -> Json:
        """Ask intake to link it with another ticket, or to take that link away."""
        return await self._post(Json, at("/v1/tickets/{}/links", ticket_id), body, idempotency_key)

    async def get_queue_waits(self, config_id: str, first_day: date | None = None, last_day: date | None = None) -> Json:
        """How long whoever comes to the queue now would wait, by each estimator, and what each was worth on these days."""
        return await self._get(Json, at("/v1/queues/{}/waits", config_id, first_day=first_day, last_day=last_day))
