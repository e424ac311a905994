"""A simulation: errands sent at their rate until each is acknowledged, and agents at work meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from itertools import islice
from random import Random
from types import TracebackType
from typing import Self

from client import Service, Waiting
from deploy.demo.receivers import Mailbox
from simulator.agents import Agent
from simulator.arrivals import paced
from simulator.errands import Errand, Request
from simulator.figures import Figures
from simulator.hand import Conduct, Desk, Hand
from simulator.mail import MailServer
from simulator.patience import Patience
from simulator.places import Places
from simulator.plan import Plan, Traffic
from simulator.post import Letter, Post
from simulator.senders import Attempt, Outcome, Senders
from simulator.transport import new_http
from simulator.truth import Sending, Truth

REPLY_WAIT_SECONDS = 4.0  # how long a customer who wants to answer a reply waits for one, before answering the confirmation
SLIGHTLY = 0.02  # of a pause: what overtakes comes so close behind what it overtakes


class NotAcknowledged(Exception):
    """Contacts were refused, or nobody acknowledged them in time; the message says how many and which first."""


class Simulation:
    """Customers, providers and agents of one run.

    `async with` it to have the agents at work; `run` sends contacts, and may be called again for more of the plan.
    """

    def __init__(
        self,
        places: Places,
        seed: int,
        truth: Truth,
        *,
        rate_per_second: float = 20.0,
        run: str = "",
        traffic: Traffic | None = None,
        conduct: Conduct | None = None,
        patience: Patience | None = None,
        mailbox: Mailbox | None = None,
        day_seconds: float | None = None,
    ) -> None:
        """`run` names its keys, addresses and numbers: with the name of an earlier run the same contacts are sent again.

        `mailbox`: where mail to customers arrives; without it nobody answers our mail.
        `day_seconds`: contacts come as in a working day that lasts so long; without it evenly, at the rate.
        """
        self.truth = truth
        self.figures = Figures()
        self.post = Post()
        self.rate_per_second = rate_per_second
        self.day_seconds = day_seconds
        self.patience = patience or Patience()
        self.plan = Plan(seed, run, traffic or Traffic(), mailbox is not None)
        self._mailbox = mailbox
        self._began = time.monotonic()
        seconds = self.patience.answer_seconds
        self._http, self._hanging_up = new_http(), new_http(hangs_up=True)
        self._senders = Senders(
            places,
            Service(places.intake, waiting=Waiting(attempt_seconds=seconds), http=self._http),
            Service(places.intake, waiting=Waiting(attempt_seconds=seconds), http=self._hanging_up),
            MailServer(places.smtp_host, places.smtp_port, seconds),
            self.clock,
        )
        desk = Desk(
            self.plan.run,
            places.routing,
            self._http,
            truth,
            self.clock,
            self.patience,
            conduct or Conduct(),
            places.agents,
            places.keys.get("supervisor", ""),
        )
        self.agents = [Agent(Hand(name, places.keys[name], desk), self.figures) for name in places.agents]
        self._stack = AsyncExitStack()
        self._hears_mail = False

    def clock(self) -> float:
        """Seconds since this simulation was made."""
        return round(time.monotonic() - self._began, 6)

    async def __aenter__(self) -> Self:
        """The agents begin."""
        self._stack.enter_context(self._listening())
        for agent in self.agents:
            await self._stack.enter_async_context(agent)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The agents leave."""
        try:
            await self._stack.aclose()
        finally:
            await self._http.aclose()
            await self._hanging_up.aclose()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Hear of mail to customers, where it can be heard and is not heard already."""
        if self._mailbox is None or self._hears_mail:
            yield
            return
        self._hears_mail = True
        try:
            with self.post.listening(self._mailbox):
                yield
        finally:
            self._hears_mail = False

    async def idle(self, seconds: float, at_most_seconds: float) -> bool:
        """Wait until the agents had nothing in hand and heard nothing for so long. False when it took too long."""
        deadline = self.clock() + at_most_seconds
        while self.clock() < deadline:
            quiet = self.clock() - max((agent.quiet_since for agent in self.agents), default=0.0)
            if quiet >= seconds and all(agent.idle for agent in self.agents):
                return True
            await asyncio.sleep(0.05)
        return False

    async def run(self, contacts: int) -> None:
        """Send the next `contacts` messages and calls of the plan, each again until it is acknowledged.

        Raises NotAcknowledged when some never are.
        """
        self.figures.planned += contacts
        began = self.clock()
        times = paced(Random(f"{self.plan.seed}/arrivals"), contacts, self.rate_per_second, self.day_seconds)
        before = len(self.truth.outstanding), self.figures.given_up
        with self._listening():
            async with asyncio.TaskGroup() as group:
                for errand in self.plan.take(contacts):
                    due = began + next(times)
                    await asyncio.sleep(max(0.0, due - self.clock()))
                    group.create_task(self._run_errand(errand, group))
                    next(islice(times, errand.size - 1, errand.size - 1), None)
        outstanding = self.truth.outstanding
        if (len(outstanding), self.figures.given_up) != before:
            first = outstanding[0].key if outstanding else "an answer to a mail that never came"
            raise NotAcknowledged(f"{len(outstanding)} of {contacts} contacts were not acknowledged, first: {first}")

    async def _run_errand(self, errand: Errand, group: asyncio.TaskGroup) -> None:
        """One request after the other; those that overtake go out beside the one before them."""
        under_way: list[asyncio.Task[bool]] = []
        address = errand.requests[0].contacts[0].sender
        with self.post.expecting(address) if errand.waits_for_mail else nullcontext():
            for n, request in enumerate(errand.requests):
                if not request.overtakes and not all(await asyncio.gather(*under_way)):
                    self.figures.given_up += 1
                    return
                await asyncio.sleep(request.pause_seconds * (SLIGHTLY if request.overtakes else 1.0))
                letter = None
                if request.refers in ("confirmation", "reply"):
                    letter = await self._letter(request, address)
                    if letter is None:
                        self.figures.given_up += 1
                        return
                under_way.append(group.create_task(self._send(request, errand.requests[:n], letter, group)))
            await asyncio.gather(*under_way)

    async def _letter(self, request: Request, address: str) -> Letter | None:
        """The mail that this request answers; None when none came in time."""
        try:
            async with asyncio.timeout(self.patience.give_up_seconds):
                prefer = REPLY_WAIT_SECONDS
                return await self.post.letter(address, reply=request.refers == "reply", prefer_seconds=prefer)
        except TimeoutError:
            return None

    async def _send(
        self, request: Request, earlier: tuple[Request, ...], letter: Letter | None, group: asyncio.TaskGroup
    ) -> bool:
        """Try until it is acknowledged. False when it was refused, or it took too long."""
        figures = self.figures.channels[request.channel]
        for contact in request.contacts:
            figures.begun += 1
            self.truth.begun(
                Sending(
                    contact.key,
                    contact.channel,
                    contact.sender,
                    contact.language,
                    contact.conversation,
                    contact.text,
                    kind=contact.kind,
                )
            )
        attempt = self._senders.prepare(request, earlier, letter)
        planned = {repeat.how: repeat for repeat in request.repeats}
        if "twin" in planned:
            group.create_task(self._repeat(request, attempt, 0.0))
        acknowledged = await self._until_acknowledged(request, attempt, hang_up="lost_answer" in planned)
        if acknowledged and "again" in planned:
            group.create_task(self._repeat(request, attempt, planned["again"].pause_seconds))
        return acknowledged

    async def _until_acknowledged(self, request: Request, attempt: Attempt, *, hang_up: bool) -> bool:
        figures = self.figures.channels[request.channel]
        random, failures = Random(request.key), 0
        give_up = self.clock() + self.patience.give_up_seconds
        while True:
            outcome = await self._try(request, attempt, hang_up)
            if all(self.truth.sendings[contact.key].acknowledged for contact in request.contacts):
                return True
            if outcome.refused:
                figures.refused += 1
                return False
            failures += 1
            wait = self.patience.wait(failures, outcome.wait_seconds, random)
            if self.clock() + wait > give_up:
                return False
            await asyncio.sleep(wait)
            figures.repeats += hang_up
            figures.retries += not hang_up
            hang_up = False

    async def _repeat(self, request: Request, attempt: Attempt, pause_seconds: float) -> None:
        """The same once more, whatever comes of it."""
        await asyncio.sleep(pause_seconds)
        self.figures.channels[request.channel].repeats += 1
        await self._try(request, attempt, False)

    async def _try(self, request: Request, attempt: Attempt, hang_up: bool) -> Outcome:
        figures = self.figures.channels[request.channel]
        figures.attempts += 1
        began = time.monotonic()
        outcome = await attempt(hang_up)
        took = time.monotonic() - began
        for key, answer in outcome.answers.items():
            sending = self.truth.sendings[key]
            known = sending.acknowledged
            self.truth.answered(key, answer)
            self.figures.statuses[str(answer.status or "none")] += 1
            figures.unanswered += answer.status is None and not hang_up
            if answer.success:
                figures.seconds.append(took)
                figures.acknowledged += not known
        return outcome
