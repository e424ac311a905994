"""Who is found for a lane, among few and among many: the first in turn of those who are able and free, by every strategy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import get_args

from services.routing.domain.agents import Agent, Profile, abilities, eligible, needs
from services.routing.domain.choice import counted, standing, used_share, versatility
from services.routing.domain.looking import Needed, teams_of
from services.routing.store import matching
from services.routing.store.able import FEW
from shared import db
from shared.events.config import QueueConfigured, Strategy
from tests.services.routing.conftest import House

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
PEOPLE, WANTED = 800, 20
QUEUES = {
    "few speak it": ("ro", {}, ("first",)),
    "many speak it": ("en", {}, ("first", "second")),
    "many speak it, few know it": ("en", {"loans": 3}, ("first", "second")),
    "many know it": ("und", {"cards": 2}, ("second",)),
    "nobody speaks it": ("th", {}, ("first",)),
    "anybody": ("und", {}, ("first", "second")),
}
SEATED = """
    INSERT INTO routing.seat (agent_id, team_id, ready, idle_since, given_at, used_share, versatility)
    SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:teams AS text[]), CAST(:ready AS boolean[]), CAST(:idle AS timestamptz[]),
        CAST(:given AS timestamptz[]), CAST(:shares AS integer[]), CAST(:ways AS integer[]))
"""
ABLE = "INSERT INTO routing.ability (agent_id, ability) SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:words AS text[]))"


def person(n: int, random: Random) -> Agent:
    """One of many: nearly all speak English, one in fifty Romanian; most know something of cards, few of loans."""
    skills = {name: random.randint(1, 10) for name, share in (("cards", 0.9), ("loans", 0.05)) if random.random() < share}
    tags = tuple(tag for tag, share in (("en", 0.9), ("ro", 0.02)) if random.random() < share)
    teams = ("first", "second") if random.random() < 0.2 else (random.choice(("first", "second")),)
    return Agent(
        id=f"a{n}",
        profile=Profile(display_name="A", skills=skills, languages=tags, team_ids=teams),
        state="available" if random.random() < 0.8 else "break",
        state_since=START,
        idle_since=START + timedelta(seconds=random.randrange(10_000)),
        given_at=START + timedelta(seconds=random.randrange(10_000)),
        used_units=random.randrange(9),
    )


async def furnish(house: House, people: list[Agent]) -> None:
    """All of them, each with a seat in every team of theirs."""
    seats = [(agent, team) for agent in people for team in agent.profile.team_ids]
    await house.rows(
        SEATED,
        ids=[agent.id for agent, _ in seats],
        teams=[team for _, team in seats],
        ready=[agent.ready for agent, _ in seats],
        idle=[agent.idle_since for agent, _ in seats],
        given=[agent.given_at for agent, _ in seats],
        shares=[used_share(agent) for agent, _ in seats],
        ways=[versatility(agent.profile) for agent, _ in seats],
    )
    able = [(agent.id, word) for agent in people for word in sorted(abilities(agent.profile))]
    await house.rows(ABLE, ids=[agent_id for agent_id, _ in able], words=[word for _, word in able])


async def test_the_first_in_turn_of_those_who_are_able_are_found_by_every_strategy(house: House) -> None:
    random = Random("able")
    people = [person(n, random) for n in range(PEOPLE)]
    await furnish(house, people)
    assert sum("en" in agent.profile.languages for agent in people) > FEW
    for strategy in get_args(Strategy):
        for name, (language, required, teams) in QUEUES.items():
            queue = QueueConfigured(
                id="q",
                version=1,
                effective_from=START,
                name={"en": "q"},
                position=1,
                team_ids=teams,
                required_skills=required,
                skill_by_language=True,
                strategy=strategy,
            )
            lane = Needed(strategy, teams_of(queue), needs(queue, language), counted(queue, language))
            async with db.transaction(house.parts.engine) as conn:
                found = await matching.next_able(conn, {lane}, WANTED)
            able = [agent for agent in people if agent.ready and eligible(agent, queue, language)]
            able.sort(key=lambda agent: (standing(agent, queue), agent.idle_since, agent.id))
            first = {agent.id for agent in able[:WANTED]}
            assert first <= found <= {agent.id for agent in able}, (strategy, name)
            assert len(found) <= WANTED * len(teams)
