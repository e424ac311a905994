"""Sla: calendars, policies, and how promises stand.

Methods are named as the operations of docs/generated/openapi-sla.json. All raise ProblemError and NoAnswer.
"""

from __future__ import annotations

from .exchange import Json
from .paging import Page
from .service import Service, at
from .sla_types import Calendar, PageOut, Policy, TicketOut


class Sla(Service):
    """The promises. `if_match` is the version that is edited; left out, where there is none yet."""

    async def get_ticket_sla(self, ticket_id: str) -> TicketOut:
        """A ticket's clocks: state, deadline, what is used and what is left."""
        return await self._get(TicketOut, at("/v1/sla/tickets/{}", ticket_id))

    async def list_breaches(self, cursor: str | None = None, limit: int | None = None) -> PageOut:
        """Broken promises, the newest first."""
        return await self._get(PageOut, at("/v1/sla/breaches", cursor=cursor, limit=limit))

    async def list_at_risk(
        self, within_seconds: int | None = None, cursor: str | None = None, limit: int | None = None
    ) -> PageOut:
        """Running clocks whose deadline comes within so many seconds (3600), the nearest first."""
        return await self._get(PageOut, at("/v1/sla/at-risk", within_seconds=within_seconds, cursor=cursor, limit=limit))

    async def list_calendars(self, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """Calendars in order of id."""
        return await self._get(Page[Json], at("/v1/calendars", cursor=cursor, limit=limit))

    async def get_calendar(self, config_id: str) -> Json:
        """A calendar as configured last."""
        return await self._get(Json, at("/v1/calendars/{}", config_id))

    async def put_calendar(self, config_id: str, body: Calendar, if_match: int | None = None) -> Json:
        """Make or change a calendar."""
        return await self._put(Json, at("/v1/calendars/{}", config_id), body, if_match)

    async def remove_calendar(self, config_id: str, if_match: int) -> None:
        """Remove a calendar that no policy counts by."""
        await self._delete(at("/v1/calendars/{}", config_id), if_match)

    async def list_policies(self, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """Policies in order of id; they apply in order of `position`."""
        return await self._get(Page[Json], at("/v1/policies", cursor=cursor, limit=limit))

    async def get_policy(self, config_id: str) -> Json:
        """A policy as configured last."""
        return await self._get(Json, at("/v1/policies/{}", config_id))

    async def put_policy(self, config_id: str, body: Policy, if_match: int | None = None) -> Json:
        """Make or change a policy."""
        return await self._put(Json, at("/v1/policies/{}", config_id), body, if_match)

    async def remove_policy(self, config_id: str, if_match: int) -> None:
        """Remove a policy. Tickets that were promised by it keep their promise."""
        await self._delete(at("/v1/policies/{}", config_id), if_match)
