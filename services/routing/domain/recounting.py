"""What agents carry, counted afresh from the tickets when they were told again. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from services.routing.domain.agents import Agent, has_room, load, units_of
from services.routing.domain.besides import Holding, WrapUp
from services.routing.domain.work import Work


def recount(works: Iterable[Work], agents: Mapping[str, Agent]) -> tuple[dict[str, Work], dict[str, Agent]]:
    """What each ticket takes of its owner, each offer of its agent, and what goes on besides, from nothing: live offers first,
    then tickets by id.

    A ticket for which its owner has no room any more takes nothing: `settle` gives it back.
    """
    bare = {a.id: msgspec.structs.replace(a, used_units=0, tickets=0, by_channel={}) for a in agents.values()}
    counted: dict[str, Work] = {}
    for one in sorted(works, key=lambda w: (w.offer is None, w.id)):
        mine = counted[one.id] = _counted(one, bare)
        for holding in mine.holdings:
            agent = bare.get(holding.agent_id)
            if agent is not None:
                bare[agent.id] = _carrying(agent, one, holding)
    return counted, bare


def _counted(one: Work, agents: Mapping[str, Agent]) -> Work:
    """What it takes of its owner, where there is room, and of all who are in wrap-up for it and do not work on it any more."""
    owner = agents.get(one.owner or "")
    units = units_of(one.channel, owner) if owner is not None and one.ticket.active and has_room(owner, one.channel) else 0

    def after(wrap_up: WrapUp) -> WrapUp:
        agent = agents.get(wrap_up.agent_id)
        free = agent is None or (units > 0 and wrap_up.agent_id == one.owner)
        return msgspec.structs.replace(wrap_up, units=0 if agent is None or free else units_of(one.channel, agent))

    besides = one.besides
    if besides.wrap_ups:
        besides = msgspec.structs.replace(besides, wrap_ups=tuple(after(wrap_up) for wrap_up in besides.wrap_ups))
    return msgspec.structs.replace(one, units=units, besides=besides)


def _carrying(agent: Agent, one: Work, holding: Holding) -> Agent:
    used = agent.used_units + holding.units
    if holding.kind == "consult":
        return msgspec.structs.replace(agent, used_units=used)
    if used > agent.capacity_units:  # lowered for a busy agent: what is carried stays
        by_channel = {**agent.by_channel, one.channel: agent.by_channel.get(one.channel, 0) + 1}
        carrying = msgspec.structs.replace(agent, used_units=used, by_channel=by_channel)
    else:
        carrying = load(agent, one.channel, holding.units, agent.idle_since)
    return msgspec.structs.replace(carrying, tickets=agent.tickets + (holding.kind == "owner"))
