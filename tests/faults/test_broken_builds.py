"""The harness proves itself: builds that are broken on purpose are found, each by the promise that it breaks.

Each scenario is played twice on the smallest real thing that shows the defect: once with the sound build, where the checker has
nothing to say, and once with the broken one, where it must.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.settings import Settings
from tests.faults.breaking import BREAKS
from tests.faults.rig import open_rig
from tests.faults.scene import Scene
from tests.faults.stepping import Order, Point
from tests.faults.way import SETTINGS, company, offers_to, text
from tests.infra import fresh_database
from tests.system import fresh_topics, until

CALM_SECONDS = 3600


def after(points: list[Point], statement: str) -> Point:
    """When the last statement that begins like this is done."""
    return [point for point in points if point.statement.startswith(statement)][-1].at("answered")


def before(points: list[Point], statement: str) -> Point:
    """When all is done that comes before the last statement that begins like this."""
    last = max(n for n, point in enumerate(points) if point.statement.startswith(statement))
    return points[last - 1].at("answered")


async def killed_before_its_commit_a_consumer_begins_again(scene: Scene) -> None:
    """The process that begins again is of the same group, as the processes of a service are."""
    await scene.send(text("bo", 1))
    await scene.go("intake relays")
    point = before(await scene.points("routing consumes"), "COMMIT")
    await scene.go("routing consumes", order=Order(point))
    await scene.go("routing consumes")
    await scene.send(text("bo", 2))
    await scene.settle()


async def two_consumers_read_the_same(scene: Scene) -> None:
    """One was paused in the middle of its transaction and goes on when another has done it all."""
    await scene.send(text("bo", 1))
    await scene.go("intake relays")
    points = await scene.points("sla consumes")
    saving = next(n for n, point in enumerate(points) if any(line.function == "save" for line in point.lines))
    point = points[saving - 1].at("answered")
    ends = await scene.rig.ends()
    how: dict[str, Any] = {"ends": ends, "broken": scene.build, "transaction_seconds": 4}
    paused = scene.rig.start("sla consumes", scene.way.database, order=Order(point, signal.SIGSTOP), **how)
    await paused.stands_still()
    await scene.rig.run("sla consumes", scene.way.database, **how)
    paused.go_on()
    ran = await paused.ended()
    assert ran.exit_code == 0, ran.log
    await scene.settle()


async def a_relay_is_killed_when_it_has_deleted(scene: Scene) -> None:
    point = after(await scene.points("intake relays"), "DELETE")
    await scene.go("intake relays")
    await scene.send(text("bo", 1))
    await scene.go("intake relays", order=Order(point))
    await scene.settle()


async def a_transaction_commits_after_a_later_one(scene: Scene) -> None:
    """The one has its rows of the outbox first and commits last, while the relay sends what the other said."""
    slow, quick, later = text("slow", 1), text("quick", 1), text("later", 1)
    await scene.go("intake relays")
    point = before(await scene.points("intake accepts", contacts=[slow]), "COMMIT")
    began = await scene.rig.ends()
    relay = scene.rig.start("intake relays", scene.way.database, broken=scene.build, lasts=True)
    scene.begin(slow)
    order = Order(point, signal.SIGSTOP)
    accepting = scene.rig.start("intake accepts", scene.way.database, contacts=[slow], order=order, broken=scene.build)
    await accepting.stands_still()
    await scene.send(quick)
    await _more_on_the_log(scene, began)
    accepting.go_on()
    ran = await accepting.ended()
    assert ran.exit_code == 0, ran.log
    scene.answered(slow, ran)
    began = await scene.rig.ends()
    await scene.send(later)
    await _more_on_the_log(scene, began)
    relay.kill()
    await relay.ended()
    await scene.settle(relaying=("routing", "sla", "metrics"))


async def _more_on_the_log(scene: Scene, since: dict[str, tuple[int, ...]]) -> None:
    async def more() -> bool:
        return (await scene.rig.ends())["tickets"] != since["tickets"]

    await until("what was sent is on the log", more, 20)


async def a_message_crosses_a_resolution(scene: Scene) -> None:
    """The customer writes again, and the agent resolves before routing has heard of it."""
    await scene.send(text("bo", 1))
    await scene.go("intake relays")
    await scene.go("routing consumes")
    await scene.go("routing matches")
    [(offer_id, _)] = await offers_to(scene.way, "dana")
    [ticket] = await scene.way.rows("SELECT id FROM intake.ticket")
    await scene.act("accept", f"/v1/offers/{offer_id}/accept", ticket_id=ticket["id"], offer_id=offer_id)
    await scene.send(text("bo", 2))
    await scene.go("intake relays")
    await scene.act("resolve", f"/v1/tickets/{ticket['id']}/resolve", ticket_id=ticket["id"])
    await scene.settle()


async def a_contact_is_sent_again(scene: Scene) -> None:
    """It was taken, and the process died before it answered."""
    contact = text("bo", 1)
    point = after(await scene.points("intake accepts", contacts=[contact]), "COMMIT")
    ran = await scene.send(contact, Order(point))
    assert ran.killed
    await scene.send(contact)
    await scene.settle()


async def killed_before_its_commit_a_timer_fires_again(scene: Scene) -> None:
    scene.broken_parts = ("sla rings",)
    await scene.send(text("bo", 1))
    await scene.go("intake relays")
    await scene.go("sla consumes")
    await until("the promise is due", lambda: _is_due(scene), 20)
    point = before([point for point in await scene.points("sla rings") if point.lines[0].function == "tick"], "COMMIT")
    await scene.go("sla rings", order=Order(point))
    await scene.go("sla rings")
    await scene.settle()


async def _is_due(scene: Scene) -> bool:
    [row] = await scene.way.rows("SELECT bool_and(due_at < now() - interval '1 second') AS due FROM sla.timer")
    return bool(row["due"])


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played for a broken build, and the promise that it breaks."""

    build: str
    play: Callable[[Scene], Awaitable[None]]
    promise: str
    promised_seconds: int = CALM_SECONDS

    def __str__(self) -> str:
        return self.build


SCENARIOS = (
    Scenario("offset before transaction", killed_before_its_commit_a_consumer_begins_again, "folds-agree"),
    Scenario("no compare and set", two_consumers_read_the_same, "identity-once"),
    Scenario("mark before acknowledgement", a_relay_is_killed_when_it_has_deleted, "contact-once"),
    Scenario("cursor without gate", a_transaction_commits_after_a_later_one, "contact-once"),
    Scenario("seen ignored", a_message_crosses_a_resolution, "nobody-forgotten"),
    Scenario("dedup key dropped", a_contact_is_sent_again, "contact-once"),
    Scenario("timer outside transaction", killed_before_its_commit_a_timer_fires_again, "timer-once", promised_seconds=1),
)
Judge = Callable[[Scenario, str | None], Awaitable[list[str]]]


@pytest_asyncio.fixture
async def judge(kafka_bootstrap: str, database_url: str, migrated_template: str, tmp_path: Path) -> Judge:
    """Plays a scenario with a build, and has the history judged."""

    async def play(scenario: Scenario, build: str | None) -> list[str]:
        folder = tmp_path / (build or "sound")
        folder.mkdir()
        await fresh_topics(Settings(kafka=kafka_bootstrap))
        async with (
            fresh_database(database_url, migrated_template) as database,
            open_rig(kafka_bootstrap, database_url, folder, **SETTINGS) as rig,
        ):
            scene = Scene(await company(rig, database, scenario.promised_seconds), build)
            await scenario.play(scene)
            return await scene.judged()

    return play


@pytest.mark.proof
@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
async def test_a_broken_build_is_found_by_the_promise_that_it_breaks(judge: Judge, scenario: Scenario) -> None:
    assert await judge(scenario, None) == []
    wrong = await judge(scenario, scenario.build)
    assert any(what.startswith(f"{scenario.promise}: ") for what in wrong), wrong


def test_every_broken_build_has_its_scenario() -> None:
    assert {scenario.build for scenario in SCENARIOS} == set(BREAKS)
