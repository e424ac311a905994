"""Editing and writing: edits with their version, who is at a ticket, drafts, canned responses. Part of routing."""

from __future__ import annotations

from .config_types import CannedResponse
from .exchange import Json
from .paging import Page
from .service import Service, at
from .writing_types import Attend, DraftBody, DraftKind, Edit


class Writing(Service):
    """What goes on around an answer. `if_match` is the version that is edited; left out, where there is none yet."""

    async def edit_ticket(self, ticket_id: str, body: Edit, if_match: int | None = None) -> Json:
        """Change subject, priority, topic, product, tags or own fields of the ticket in this `version`."""
        return await self._put(Json, at("/v1/tickets/{}", ticket_id), body, if_match, method="PATCH")

    async def attend_ticket(self, ticket_id: str, body: Attend) -> Json:
        """Say that one looks at the ticket or writes on it; again before `ends_after_seconds` are over."""
        return await self._put(Json, at("/v1/tickets/{}/presence", ticket_id), body, None)

    async def list_attending(self, ticket_id: str) -> Json:
        """Who is at the ticket now."""
        return await self._get(Json, at("/v1/tickets/{}/presence", ticket_id))

    async def leave_ticket(self, ticket_id: str) -> None:
        """One is at the ticket no more."""
        return await self._delete(at("/v1/tickets/{}/presence", ticket_id))

    async def list_drafts(self) -> Page[Json]:
        """What one has begun to write and not sent, without the texts."""
        return await self._get(Page[Json], "/v1/drafts")

    async def get_draft(self, ticket_id: str, kind: DraftKind) -> Json:
        """One's own draft."""
        return await self._get(Json, at("/v1/tickets/{}/drafts/{}", ticket_id, kind))

    async def put_draft(self, ticket_id: str, kind: DraftKind, body: DraftBody, if_match: int | None = None) -> Json:
        """Keep what one has begun to write. Answers with its `version`."""
        return await self._put(Json, at("/v1/tickets/{}/drafts/{}", ticket_id, kind), body, if_match)

    async def delete_draft(self, ticket_id: str, kind: DraftKind, if_match: int | None = None) -> None:
        """Throw it away."""
        return await self._delete(at("/v1/tickets/{}/drafts/{}", ticket_id, kind), if_match)

    async def list_canned_responses(
        self,
        language: str | None = None,
        q: str | None = None,
        shortcut: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[Json]:
        """Canned responses that one may use, in order of id, each in the language nearest to the one asked for."""
        asked = at("/v1/canned-responses", language=language, q=q, shortcut=shortcut, cursor=cursor, limit=limit)
        return await self._get(Page[Json], asked)

    async def get_canned_response(self, config_id: str) -> Json:
        """A canned response as configured."""
        return await self._get(Json, at("/v1/canned-responses/{}", config_id))

    async def put_canned_response(
        self, config_id: str, body: CannedResponse, dry_run: bool | None = None, if_match: int | None = None
    ) -> Json:
        """Make or change a canned response."""
        return await self._put(Json, at("/v1/canned-responses/{}", config_id, dry_run=dry_run), body, if_match)

    async def delete_canned_response(self, config_id: str, if_match: int | None = None) -> None:
        """Take it out of force."""
        return await self._delete(at("/v1/canned-responses/{}", config_id), if_match)

    async def fill_in_canned_response(self, ticket_id: str, config_id: str, language: str | None = None) -> Json:
        """Its text for this ticket, and what is `missing` in it."""
        return await self._get(Json, at("/v1/tickets/{}/canned-responses/{}", ticket_id, config_id, language=language))
