"""What routing is configured with, part by part, all of it in one document, and as it was."""

from __future__ import annotations

import msgspec

from .config_types import AgentBody, Document, Queue, Rule, Skill, Team
from .exchange import Json, Request
from .paging import Page
from .people import People
from .service import Service, at

YAML = "application/yaml"


class Configuring(People):
    """Queues, teams, skills, rules and what agents can do. `if_match` is the version that is edited; left out, where there is
    none yet. With `dry_run` it is only told what would come of it.
    """

    async def list_queues(self, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """Queues in order of id, each with its figures now."""
        return await self._get(Page[Json], at("/v1/queues", cursor=cursor, limit=limit))

    async def get_queue(self, config_id: str) -> Json:
        """A queue as configured."""
        return await self._get(Json, at("/v1/queues/{}", config_id))

    async def put_queue(self, config_id: str, body: Queue, dry_run: bool | None = None, if_match: int | None = None) -> Json:
        """Make or change a queue."""
        return await self._put(Json, at("/v1/queues/{}", config_id, dry_run=dry_run), body, if_match)

    async def list_rules(self, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """Rules of escalation in order of id."""
        return await self._get(Page[Json], at("/v1/rules", cursor=cursor, limit=limit))

    async def get_rule(self, config_id: str) -> Json:
        """A rule as configured."""
        return await self._get(Json, at("/v1/rules/{}", config_id))

    async def put_rule(self, config_id: str, body: Rule, dry_run: bool | None = None, if_match: int | None = None) -> Json:
        """Make or change a rule."""
        return await self._put(Json, at("/v1/rules/{}", config_id, dry_run=dry_run), body, if_match)

    async def list_skills(self, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """Skills in order of id."""
        return await self._get(Page[Json], at("/v1/skills", cursor=cursor, limit=limit))

    async def get_skill(self, config_id: str) -> Json:
        """A skill as configured."""
        return await self._get(Json, at("/v1/skills/{}", config_id))

    async def put_skill(self, config_id: str, body: Skill, dry_run: bool | None = None, if_match: int | None = None) -> Json:
        """Make or change a skill."""
        return await self._put(Json, at("/v1/skills/{}", config_id, dry_run=dry_run), body, if_match)

    async def list_teams(self, cursor: str | None = None, limit: int | None = None) -> Page[Json]:
        """Teams in order of id."""
        return await self._get(Page[Json], at("/v1/teams", cursor=cursor, limit=limit))

    async def get_team(self, config_id: str) -> Json:
        """A team as configured."""
        return await self._get(Json, at("/v1/teams/{}", config_id))

    async def put_team(self, config_id: str, body: Team, dry_run: bool | None = None, if_match: int | None = None) -> Json:
        """Make or change a team."""
        return await self._put(Json, at("/v1/teams/{}", config_id, dry_run=dry_run), body, if_match)

    async def put_agent(self, config_id: str, body: AgentBody, dry_run: bool | None = None, if_match: int | None = None) -> Json:
        """Make or change an agent."""
        return await self._put(Json, at("/v1/agents/{}", config_id, dry_run=dry_run), body, if_match)

    async def get_config(self) -> Json:
        """All that is configured, as `put_config` takes it."""
        return await self._get(Json, "/v1/config")

    async def put_config(self, body: Document, dry_run: bool | None = None, if_match: int | None = None) -> Json:
        """Have it configured so, in one transaction. `if_match` may be left out where the document has its `version`."""
        return await self._put(Json, at("/v1/config", dry_run=dry_run), body, if_match)

    async def list_config_versions(self, cursor: int | None = None, limit: int | None = None) -> Page[Json]:
        """What was changed, newest first."""
        return await self._get(Page[Json], at("/v1/config/versions", cursor=cursor, limit=limit))

    async def get_config_version(self, number: str) -> Json:
        """What was changed, and all that was configured then."""
        return await self._get(Json, at("/v1/config/versions/{}", number))


async def read_config_file(routing: Service, number: int | None = None) -> bytes:
    """The configuration as it is, or as it was in a version of it. Raises ProblemError, NoAnswer."""
    path = "/v1/config" if number is None else at("/v1/config/versions/{}", str(number))
    return (await routing.send(Request("GET", path, {"Accept": YAML}))).content


async def send_config_file(routing: Service, content: bytes, if_match: int | None = None, *, dry_run: bool = False) -> Json:
    """Have it configured so, or (`dry_run`) be told what would come of it. `if_match` is the version that is edited, where the
    file does not name it. Raises ProblemError (its `errors` name places such as `body.queues[2].steps[0].team_ids`), NoAnswer.
    """
    headers = {"Content-Type": YAML, "Accept": "application/json"}
    if if_match is not None:
        headers["If-Match"] = f'"{if_match}"'
    answer = await routing.send(Request("PUT", at("/v1/config", dry_run=dry_run), headers, content))
    return msgspec.json.decode(answer.content, type=Json)
