"""The agents of a virtual day: they come and go, take breaks, lose their connection, and are back after what they missed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random

from services.routing.domain import offers
from services.routing.domain.agents import Agent, change_state
from shared.events.base import Draft
from shared.events.people import AgentState
from simulator.arrivals import Exponential
from simulator.virtual.agenda import START, Agenda
from simulator.virtual.house import House
from simulator.virtual.worlds import Staff, World

HOUR = 3600.0


@dataclass(slots=True)
class Crew:
    """All agents of a world. Someone deaf has lost the connection: what is for them to do waits until they hear again."""

    world: World
    seed: int
    agenda: Agenda
    house: House
    _wanted: dict[str, AgentState] = field(default_factory=dict)
    _random: dict[str, Random] = field(default_factory=dict)
    _deaf: dict[str, list[Callable[[], None]]] = field(default_factory=dict)

    def hire(self) -> None:
        """Everybody, with what they are going to do all day. None of them is there yet."""
        for staff in self.world.staff:
            self.house.seat(Agent(id=staff.id, profile=staff.profile, state_since=START, idle_since=START))
            self._random[staff.id] = Random(f"{self.seed}/conduct/{staff.id}")
            self._plan(staff)

    def _plan(self, staff: Staff) -> None:
        shift = staff.shift
        self.agenda.at(shift.begins, self._want, staff.id, "available", None)
        for begins, seconds in shift.breaks:
            self.agenda.at(begins, self._want, staff.id, "break", "rest")
            self.agenda.at(begins + seconds, self._want, staff.id, "available", None)
        if shift.ends < inf:
            self.agenda.at(shift.ends, self._want, staff.id, "offline", "shift_ended")
        if self.world.habits.losses_per_hour:
            self.agenda.at(shift.begins + self._until_lost(staff.id), self._lose, staff.id)

    def draw(self, agent_id: str) -> Random:
        """The chances of this agent."""
        return self._random[agent_id]

    def once_heard(self, agent_id: str, action: Callable[..., None], *arguments: object) -> None:
        """Now, or as soon as the agent is connected again."""
        if agent_id in self._deaf:
            self._deaf[agent_id].append(partial(action, *arguments))
        else:
            action(*arguments)

    def hears(self, agent_id: str) -> bool:
        """Whether the agent is connected."""
        return agent_id not in self._deaf

    def missed(self, agent_id: str) -> None:
        """The agent let an offer go by, and says after a while to be there."""
        if self.house.agents[agent_id].state == "missed":
            self.agenda.after(self.world.habits.back.draw(self.draw(agent_id)), self.once_heard, agent_id, self._back, agent_id)

    def _want(self, agent_id: str, state: AgentState, reason: str | None) -> None:
        self._wanted[agent_id] = state
        self.once_heard(agent_id, self._change, agent_id, state, reason)

    def _back(self, agent_id: str) -> None:
        if self.house.agents[agent_id].state == "missed":
            self._change(agent_id, self._wanted[agent_id], None)

    def _change(self, agent_id: str, state: AgentState, reason: str | None) -> None:
        """As routing does it: unless they are available then, what they were offered goes to the next."""
        agent, fact = change_state(self.house.agents[agent_id], state, self.agenda.now, reason)
        cause = f"{state} {agent_id} {self.agenda.seconds}"
        if fact is not None:
            self.house.say([Draft(key=agent_id, data=fact, cause=cause)])
        self.house.seat(agent)
        if state == "available":
            return
        for ticket_id in list(self.house.offered_to.get(agent_id, ())):
            turn = self.house.turn(self.house.works[ticket_id], cause)
            offers.rescind(turn, "agent_left")
            self.house.take(turn)

    def _lose(self, agent_id: str) -> None:
        habits, random = self.world.habits, self.draw(agent_id)
        if self._wanted.get(agent_id) == "offline":
            return
        self._deaf[agent_id] = []
        gone = habits.lost.draw(random)
        self.agenda.after(gone, self._hear, agent_id)
        if gone > self.world.presence_seconds:
            self.agenda.after(self.world.presence_seconds, self._change, agent_id, "offline", "presence_lost")
        self.agenda.after(gone + self._until_lost(agent_id), self._lose, agent_id)

    def _hear(self, agent_id: str) -> None:
        for action in self._deaf.pop(agent_id):
            action()
        self._change(agent_id, self._wanted[agent_id], None)

    def _until_lost(self, agent_id: str) -> float:
        return Exponential(HOUR / self.world.habits.losses_per_hour).draw(self.draw(agent_id))
