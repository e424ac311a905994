"""Saved views: filters with a name, of one person, of a team, or of all. Who may see and change which. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.desk.domain.filters import Order, Sort

ViewKind = Literal["personal", "team", "shared"]


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: `id` is an agent's, or that of a key without one. `team_ids` are those of the agent. `outside`: of a partner."""

    id: str
    supervisor: bool = False
    agent_id: str | None = None
    team_ids: Collection[str] = ()
    outside: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A saved view. `asked` is the filter, by the names of the API's parameters; `columns` are what a console shows of it."""

    id: str
    version: int
    kind: ViewKind
    owner: str
    team_id: str | None
    name: str
    asked: Mapping[str, object]
    sort: Sort
    order: Order | None
    columns: tuple[str, ...]
    changed_at: datetime


def may_see(viewer: Viewer, kind: ViewKind, owner: str, team_id: str | None) -> bool:
    """One's own, those of one's teams, and within the house those of all; a supervisor those of every team."""
    if kind == "personal":
        return owner == viewer.id
    if kind == "shared":
        return not viewer.outside
    return viewer.supervisor or team_id in viewer.team_ids


def may_change(viewer: Viewer, kind: ViewKind, owner: str, team_id: str | None) -> bool:
    """One's own, as long as one is of the team whose it is; what others use besides only supervisors change."""
    if kind == "personal":
        return owner == viewer.id
    return viewer.supervisor or (kind == "team" and owner == viewer.id and team_id in viewer.team_ids)
