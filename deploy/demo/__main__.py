"""`make demo`: real input through a running Patchbay, told as it happens; fails when any of the story is missing."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from client import Intake, Metrics, NoAnswer, ProblemError, Routing, Sla, new_http
from deploy.demo import checks
from deploy.demo.agents import ANSWERS_BY_LANGUAGE, Agent
from deploy.demo.checks import Expected, Figure
from deploy.demo.customers import LEFT_ALONE, MAILS, Mail, Twilio, send_mail, written_by
from deploy.demo.receivers import Mailbox, Texts, mail_server, twilio_api
from deploy.demo.story import Story
from deploy.local import settings as local_settings
from deploy.local.ports import address, reach
from deploy.local.settings import LocalSettings
from shared.kafka import KafkaAway
from shared.settings import Settings

SUPPORT_SMS, SUPPORT_PHONE = "+40312295500", "+40312295501"
# People of this run alone, so that a second run does not go on with the conversations of the first.
RUN = secrets.randbelow(900_000) + 100_000
TEXTER, CALLER, WRITER = f"+40721{RUN}", f"+40722{RUN}", f"dan.{RUN}@customers.example"
PROMISE_SECONDS = 20
TALK_SECONDS = 3
FIGURES_SECONDS = 15
FORM_SUBJECT, FORM_LANGUAGE = "Garanție", "ro"
FORM_ANSWER = "Bună ziua, garanția este valabilă doi ani de la cumpărare."
TEXT_ANSWER = ANSWERS_BY_LANGUAGE["ro"]


class DemoFailed(Exception):
    """Something that should have happened did not; the message says what, and where to look."""


@dataclass
class Demo:
    """Everything the demonstration holds in its hands."""

    local: LocalSettings
    keys: dict[str, str]
    console: Console
    story: Story
    mailbox: Mailbox
    texts: Texts
    intake: Intake
    metrics: Metrics
    sla: Sla
    agents: dict[str, Agent]
    twilio: Twilio
    mails: tuple[Mail, ...] = tuple(written_by(mail, RUN) for mail in MAILS)
    since: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(days=7))

    async def run(self) -> None:
        """The whole story, checked. Raises DemoFailed, TimeoutError."""
        before = await self._figures()
        self._say("Customers write, call and fill in a form")
        left_alone = await self._left_alone()
        for mail in self.mails:
            await send_mail(mail, self.local.smtp_port, reach(self.local.host))
        await self.twilio.text(TEXTER, SUPPORT_SMS, "Bună ziua, coletul meu nu a ajuns. Când îl primesc?")
        form_number = await self._form()
        await self._call()
        await self._answers(form_number)
        self._say(f"One ticket was left alone: its promise of {PROMISE_SECONDS} seconds is about to be broken")
        await self._breach(left_alone)
        self._say("The figures")
        await self._show_figures(before)

    def _say(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    async def _left_alone(self) -> str:
        """The ticket that nobody answers."""
        known = set(self.story.numbers)
        await send_mail(written_by(LEFT_ALONE, RUN), self.local.smtp_port, reach(self.local.host))
        await self.story.until("a ticket for the mail that is left alone", lambda: bool(set(self.story.numbers) - known), 10)
        return next(iter(set(self.story.numbers) - known))

    async def _form(self) -> int:
        answer = await self.intake.submit_form(
            "contact",
            {
                "name": "Dan Ionescu",
                "email": WRITER,
                "subject": FORM_SUBJECT,
                "text": "Bună ziua, aș dori să știu cât timp este valabilă garanția produsului cumpărat luna trecută.",
            },
        )
        status = await self.intake.ticket_status(answer["status_url"].rpartition("/")[2])
        if status["number"] != answer["ticket_number"]:
            raise DemoFailed("The form's status link shows another ticket.")
        self.console.print(f"  the form answered: ticket #{answer['ticket_number']}, status at {answer['status_url']}")
        return answer["ticket_number"]

    async def _call(self) -> None:
        """A call rings, is accepted by an agent, answered, and ends."""
        known = {event.key for event in self.story.of_type("call.received")}
        sid = await self.twilio.ring(CALLER, SUPPORT_PHONE)

        def new() -> list[str]:
            return [event.key for event in self.story.of_type("call.received") if event.key not in known]

        await self.story.until("a ticket for the call", lambda: bool(new()), 10)
        ticket_id = new()[0]
        await self.story.until("an agent for the call", lambda: bool(self.story.said(ticket_id, "ticket.assigned")), 30)
        await self.twilio.status(sid, CALLER, SUPPORT_PHONE, "in-progress", 2)
        await asyncio.sleep(TALK_SECONDS)
        await self.twilio.status(sid, CALLER, SUPPORT_PHONE, "completed", 3, seconds=95)
        await self.story.until("the end of the call", lambda: bool(self.story.said(ticket_id, "call.ended")), 15)
        if getattr(self.story.said(ticket_id, "call.ended")[-1].data, "outcome", "") != "completed":
            raise DemoFailed("The call was answered and ended, but does not count as completed.")
        owner = getattr(self.story.said(ticket_id, "ticket.assigned")[-1].data, "agent_id", "")
        await self.agents[owner].resolve(ticket_id)

    async def _answers(self, form_number: int) -> None:
        """Mails and the form are confirmed with their number and answered, in their language, in the customer's own mailbox;
        the SMS is answered.
        """
        for mail in self.mails:
            await self._until_answered(mail.address, mail.answer, f"the answer to the {mail.language} mail")
            await self._until_confirmed(mail.address, mail.language, partial(self.story.opened, "email", mail.language))
        await self._until_confirmed(WRITER, FORM_LANGUAGE, lambda: [form_number])
        await self._until_answered(WRITER, FORM_ANSWER, "the answer to the form")
        await self._until(lambda: (TEXTER, TEXT_ANSWER) in self.texts.sent, "the answer to the SMS", 60)
        self.console.print(f"\n  {len(self.mailbox.mails)} mails and {len(self.texts.sent)} SMS arrived at the customers")

    async def _until_answered(self, address: str, text: str, what: str) -> None:
        await self._until(lambda: any(checks.is_answer(mail, text) for mail in self.mailbox.for_(address)), what, 60)

    async def _until_confirmed(self, address: str, language: str, numbers: Callable[[], Collection[int]]) -> None:
        def confirmed() -> bool:
            return any(checks.is_confirmation(mail, language, numbers()) for mail in self.mailbox.for_(address))

        await self._until(confirmed, f"the confirmation to {address}, in '{language}' and with the ticket's number,", 60)

    async def _until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not condition():  # noqa: ASYNC110 - mail and SMS arrive in other threads
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TimeoutError(f"{what} did not arrive within {seconds:.0f} s") from None

    async def _breach(self, ticket_id: str) -> None:
        story = self.story
        await story.until("the warning", lambda: bool(story.said(ticket_id, "sla.warned", "sla-warnings")), PROMISE_SECONDS + 20)
        await story.until("the breach", lambda: bool(story.said(ticket_id, "sla.breached", "sla-breaches")), PROMISE_SECONDS + 30)
        opened, breach = story.said(ticket_id, "ticket.opened")[0], story.said(ticket_id, "sla.breached", "sla-breaches")[0]
        if round((breach.time - opened.time).total_seconds(), 3) != PROMISE_SECONDS:
            raise DemoFailed("The breach does not carry its deadline as its time.")
        if not any(clock["breached_at"] for clock in (await self.sla.get_ticket_sla(ticket_id))["clocks"]):
            raise DemoFailed("sla does not show the breach.")

    async def _figures(self) -> dict[str, Figure]:
        """Since the same instant each time: figures must not move because the span does."""
        names = ("ticket_volume", "first_response_time", "time_to_resolution", "sla_compliance", "backlog")
        figures = {name: await self.metrics.get_metric(name, from_=self.since, period="total") for name in names}
        return {name: checks.figure_of(told) for name, told in figures.items()}

    async def _show_figures(self, before: dict[str, Figure]) -> None:
        mails = len(self.mails)
        # Opened: the mails, the one that is left alone, the SMS, the form, the call. The call is resolved without a reply.
        expected = Expected(opened=mails + 4, answered=mails + 2, resolved=mails + 3, broken=1)
        deadline = asyncio.get_running_loop().time() + FIGURES_SECONDS
        while missing := checks.not_moved(before, after := await self._figures(), expected):
            if asyncio.get_running_loop().time() > deadline:
                raise DemoFailed(f"The metrics do not tell it within {FIGURES_SECONDS} s: {'; '.join(missing)}.")
            await asyncio.sleep(0.2)
        table = Table("metric", "before", "now", box=None, header_style="dim")
        for metric, figure in after.items():
            table.add_row(metric, before[metric].text, figure.text)
        self.console.print(table)


async def _demo(local: LocalSettings, keys: dict[str, str], console: Console) -> None:
    settings = Settings(kafka=local.kafka or f"127.0.0.1:{local.kafka_port}")
    urls = {service: f"http://{address(local.host, port)}" for service, port in local.service_ports().items()}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(new_http())
        mailbox = await stack.enter_async_context(mail_server(local.demo_mail_port))
        texts = await stack.enter_async_context(twilio_api(local.demo_twilio_port))
        answers = {mail.subject: mail.answer for mail in MAILS} | {FORM_SUBJECT: FORM_ANSWER}
        agents = {name: Agent(name, Routing(urls["routing"], keys[name], http=http), answers) for name in ("dana", "omar")}
        intake = Intake(urls["intake"], http=http)
        token = local_settings.secret_file(local.twilio_token_file, "password")
        story = Story(console)
        demo = Demo(
            local=local,
            keys=keys,
            console=console,
            story=story,
            mailbox=mailbox,
            texts=texts,
            intake=intake,
            metrics=Metrics(urls["metrics"], keys["operations"], http=http),
            sla=Sla(urls["sla"], keys["operations"], http=http),
            agents=agents,
            twilio=Twilio(token, f"http://127.0.0.1:{local.service_ports()['intake']}", intake),
        )
        ready = asyncio.Event()
        listening = asyncio.create_task(story.listen(settings, ready))
        async with asyncio.timeout(20):
            await ready.wait()
        working = [asyncio.create_task(agent.work()) for agent in agents.values()]
        told = asyncio.create_task(demo.run())
        try:
            done, _ = await asyncio.wait({told, listening, *working}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (told, listening, *working):
                task.cancel()
            await asyncio.gather(told, listening, *working, return_exceptions=True)
            for agent in agents.values():
                await agent.leave()


def main() -> None:
    """Run it against the Patchbay of this folder. Exit code 1 when anything of the story is missing."""
    console = Console(highlight=False, soft_wrap=True)
    local = local_settings.load(Path.cwd())
    keys_file = local.secrets_folder / "demo-keys.json"
    if not keys_file.exists():
        sys.exit("There are no demo keys: start Patchbay first, with `make run` in another terminal.")
    try:
        asyncio.run(_demo(local, json.loads(keys_file.read_text()), console))
    except (NoAnswer, KafkaAway):
        sys.exit("Patchbay does not answer. Start it with `make run` in another terminal, then try again.")
    except ProblemError as error:
        sys.exit(f"Patchbay refused: {error}")
    except (DemoFailed, TimeoutError) as error:
        sys.exit(f"The demonstration failed: {error}\nLook into .patchbay/logs for what the services say.")
    except KeyboardInterrupt:
        sys.exit(130)
    console.print("\n[bold green]All of it happened.[/bold green]")


if __name__ == "__main__":
    main()
