"""A run in virtual time: contacts come, the engine of routing decides, agents answer; the same for the same world and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random

from services.routing.domain import commands, lifecycle, offers
from services.routing.domain.work import Offer, Work, hear
from shared.events.base import Event, Fact, Position
from shared.events.call import CallReceived
from shared.events.message import MessageReceived
from shared.events.ticket import TicketOpened
from simulator.arrivals import arrivals
from simulator.virtual.agenda import START, Agenda
from simulator.virtual.crew import Crew
from simulator.virtual.forecast import Forecast
from simulator.virtual.house import House, nowhere
from simulator.virtual.results import Contact, Results
from simulator.virtual.worlds import Stream, World


@dataclass(frozen=True, slots=True)
class _Source:
    """A stream that flows."""

    stream: Stream
    random: Random
    seconds: Iterator[float]


class Day:
    """One run. `record` is given all that was said, a line each; `forecast` asks the estimators and scores them.

    `until` may be called again and again. Raises Unbalanced as soon as the engine breaks what must always hold.
    """

    def __init__(
        self, world: World, seed: int, record: Callable[[bytes], object] = nowhere, forecast: Forecast | None = None
    ) -> None:
        """Nobody is there yet, and nobody came."""
        self.world = world
        self.results = Results()
        self.forecast = forecast
        self.agenda = Agenda()
        self.house = House(world.queues, START, record)
        self._crew = Crew(world, seed, self.agenda, self.house)
        self._crew.hire()
        self._again = timedelta(seconds=world.again_after_seconds)
        self._numbers = count(1)
        self._contacts: dict[str, Contact] = {}
        self._just_came: list[str] = []
        for stream in world.streams:
            seconds = arrivals(Random(f"{seed}/arrivals/{stream.name}"), stream.arrivals)
            self._expect(_Source(stream, Random(f"{seed}/contacts/{stream.name}"), seconds))

    def run(self) -> Results:
        """To the end of the world's time."""
        return self.until(self.world.seconds)

    def until(self, seconds: float) -> Results:
        """To so many seconds after the start."""
        while (thing := self.agenda.next(seconds)) is not None:
            self.house.now = self.agenda.now
            thing()
            self._offer()
        self.results.seconds = seconds
        return self.results

    def _expect(self, source: _Source) -> None:
        second = next(source.seconds, None)
        if second is not None:
            self.agenda.at(second, self._come, source)

    def _come(self, source: _Source) -> None:
        self._contact(source, True)
        self._expect(source)

    def _contact(self, source: _Source, began_by_itself: bool) -> None:
        """Somebody calls or writes. All that they bring along is drawn now, whatever will become of it."""
        stream, random, number = source.stream, source.random, next(self._numbers)
        ticket_id, urgent = f"ticket-{number}", random.random() < stream.urgent
        turn = self.house.turn(_opened(ticket_id, number, stream, urgent, self.agenda.now), ticket_id)
        lifecycle.place(turn, self.house.queues, "opened", self.agenda.now)
        self.house.take(turn)
        contact = self._contacts[ticket_id] = Contact(
            stream=stream.name,
            lane=turn.work.visit.lane if turn.work.visit is not None else "",
            arrived=self.agenda.seconds,
            handling=stream.handling.draw(random),
            patience=stream.patience.draw(random) if stream.patience is not None else None,
            again_after=stream.retry.draw(random) if random.random() < stream.retries else None,
            began_by_itself=began_by_itself,
        )
        self._just_came.append(ticket_id)
        self.results.contacts.append(contact)
        if contact.patience is not None:
            self.agenda.after(contact.patience, self._lose_patience, ticket_id, source)

    def _offer(self) -> None:
        """The engine's pass, and the question to the estimators for those who came and were not served at once."""
        for turn in self.house.offer():
            self.results.decisions += 1
            if turn.work.owner is not None:
                self._begin(turn.work)
            else:
                self._ring(turn.work.id, turn.made[0])
        if self.forecast is not None:
            for ticket_id in self._just_came:
                work = self.house.works.get(ticket_id)
                if work is not None and work.visit is not None and work.offer is None:
                    self.forecast.ask(self.house, work)
        self._just_came.clear()

    def _ring(self, ticket_id: str, offer: Offer) -> None:
        habits, random = self.world.habits, self._crew.draw(offer.agent_id)
        chance, after = random.random(), habits.answer.draw(random)
        self.agenda.at((offer.expires_at - START).total_seconds(), self._expire, ticket_id, offer.id)
        if chance >= habits.misses:
            accepts = chance >= habits.misses + habits.declines
            self.agenda.after(after, self._answer, ticket_id, offer.id, accepts)

    def _answer(self, ticket_id: str, offer_id: str, accepts: bool) -> None:
        work = self._offered(ticket_id, offer_id)
        if work is None or work.offer is None or not self._crew.hears(work.offer.agent_id):
            return
        turn = self.house.turn(work, f"answer {offer_id}")
        if accepts:
            offers.accept(turn, offer_id, work.offer.agent_id, self.house.queue_of(work))
            self.house.take(turn)
            self._begin(turn.work)
        else:
            offers.decline(turn, offer_id, work.offer.agent_id, "busy", self._again)
            self.house.take(turn)
            self.agenda.after(self.world.again_after_seconds, self.house.look_again, ticket_id)

    def _expire(self, ticket_id: str, offer_id: str) -> None:
        work = self._offered(ticket_id, offer_id)
        if work is None or work.offer is None:
            return
        turn = self.house.turn(work, f"expire {offer_id}")
        offers.expire(turn, self._again)
        self.house.take(turn)
        self._crew.missed(work.offer.agent_id)
        self.agenda.after(self.world.again_after_seconds, self.house.look_again, ticket_id)

    def _offered(self, ticket_id: str, offer_id: str) -> Work | None:
        """The ticket, if this offer of it is live still."""
        work = self.house.works.get(ticket_id)
        return work if work is not None and work.offer is not None and work.offer.id == offer_id else None

    def _begin(self, work: Work) -> None:
        """An agent has it, and is through with it after a while; if the connection is lost then, when it is there again."""
        contact = self._contacts[work.id]
        contact.outcome, contact.ended = "answered", self.agenda.seconds
        if self.forecast is not None:
            self.forecast.started(contact.lane, work.id, contact.ended - contact.arrived, self.agenda.now)
        assert work.owner is not None
        self.agenda.after(contact.handling, self._crew.once_heard, work.owner, self._finish, work.id)

    def _finish(self, ticket_id: str) -> None:
        work, contact = self.house.works[ticket_id], self._contacts.pop(ticket_id)
        assert work.owner is not None
        turn = self.house.turn(work, f"resolve {ticket_id}")
        commands.resolve(turn, commands.Actor(work.owner), "answered")
        self.house.take(turn)
        self.house.forget(ticket_id)
        contact.done = self.agenda.seconds
        if self.forecast is not None and contact.ended is not None:
            self.forecast.handled(contact.lane, contact.done - contact.ended)

    def _lose_patience(self, ticket_id: str, source: _Source) -> None:
        work = self.house.works.get(ticket_id)
        if work is None or work.visit is None:
            return
        turn = self.house.turn(work, f"left {ticket_id}")
        lifecycle.leave(turn, "abandoned")
        self.house.take(turn)
        self.house.forget(ticket_id)
        contact = self._contacts.pop(ticket_id)
        contact.outcome, contact.ended = "abandoned", self.agenda.seconds
        if self.forecast is not None:
            self.forecast.left(contact.lane, contact.ended - contact.arrived)
        if contact.again_after is not None:
            self.agenda.after(contact.again_after, self._contact, source, False)


def _opened(ticket_id: str, number: int, stream: Stream, urgent: bool, now: datetime) -> Work:
    """A ticket as intake tells it: opened, with the call or message that it was opened for."""
    customer, inbox = f"customer-{number}", stream.name
    fact: Fact = TicketOpened(
        number=number,
        customer_id=customer,
        channel=stream.channel,
        inbox=inbox,
        language=stream.language,
        priority=3 if urgent else 2,
    )
    work = hear(Work(id=ticket_id), _by_intake(ticket_id, 1, fact, now))
    if stream.channel == "phone":
        fact = CallReceived(call_id=ticket_id, customer_id=customer, inbox=inbox, provider="virtual", provider_ref=ticket_id)
    else:
        fact = MessageReceived(
            message_id=ticket_id, customer_id=customer, channel=stream.channel, inbox=inbox, provider="virtual"
        )
    return hear(work, _by_intake(ticket_id, 2, fact, now))


def _by_intake(ticket_id: str, seq: int, fact: Fact, now: datetime) -> Event[Fact]:
    return Event(f"{ticket_id}/{seq}", fact.TYPE, "intake", Position(1, seq), ticket_id, now, fact)
