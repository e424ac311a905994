"""Routing's process: settings → resources → consume, relay, match, tick, stream, serve."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI

from services.routing.api import (
    agents,
    asking,
    attending,
    besides,
    bulk,
    canned,
    configuring,
    deciding,
    drafts,
    editing,
    moves,
    people,
    reading,
    signing_in,
    tickets,
    waits,
    whole,
)
from services.routing.api.room import Room
from services.routing.attending import Attendance
from services.routing.commanding import Commander
from services.routing.estimating import Estimator
from services.routing.hub import Hub
from services.routing.matching import Matcher
from services.routing.oidc import Provider
from services.routing.projections import all_projections
from services.routing.recalling import recall_with
from services.routing.settings import RoutingSettings
from services.routing.signing_in import SignIn
from services.routing.ticking import Ticker
from shared.consumer import Consumer
from shared.documents import MOST_BYTES
from shared.events import topics
from shared.http import Ready, create_app, make_server
from shared.recalling import come_back
from shared.service import Resources, main, resources, run_until_stopped
from shared.signals import Signals

PARTS = (
    configuring,
    whole,
    canned,
    agents,
    reading,
    deciding,
    waits,
    tickets,
    editing,
    drafts,
    attending,
    moves,
    besides,
    bulk,
    asking,
    signing_in,
    people,
)


def make_app(parts: Resources, settings: RoutingSettings, hub: Hub, ready: Ready, alive: Callable[[], bool]) -> FastAPI:
    """The application with routing's routes."""
    app = create_app("routing", "Patchbay routing", ready, alive, large={"/v1/config": MOST_BYTES})
    app.state.authenticator = parts.authenticator
    attendance = Attendance(parts, settings, hub, Signals(settings, "routing"))
    sign_in, provider = SignIn(parts.engine, settings), Provider(settings)
    app.state.room = Room(parts, settings, hub, Commander(parts, settings), sign_in, provider, attendance)
    for module in PARTS:
        app.include_router(module.router)
    return app


def consumer_of(parts: Resources, matcher: Matcher) -> Consumer:
    """What comes in is offered in the transaction in which it is read."""
    return parts.consumer(
        all_projections(parts.outbox.incarnation, matcher.note),
        committed=matcher.committed,
        patient=(topics.CUSTOMERS, topics.SLA_CLOCKS),
        afterwards=matcher.join,
    )


async def run() -> None:
    """Until told to stop."""
    settings = RoutingSettings()
    async with resources("routing", settings) as opened:
        parts = await come_back(opened, settings.routing_port, recall_with(settings))
        matcher = Matcher(parts, settings)
        ticker = Ticker(parts, settings)
        estimator = Estimator(parts, settings, Signals(settings, "routing"))
        hub = Hub(parts, settings, matcher.wake.set)
        consumer = consumer_of(parts, matcher)
        app = make_app(parts, settings, hub, parts.database_ready, consumer.healthy)
        server = make_server(app, settings.host, settings.routing_port)

        def drain() -> None:
            server.should_exit = True
            hub.close()

        tasks = {
            "serve": server.serve,
            "consume": consumer.run,
            "relay": parts.relay().run,
            "measure": parts.measure,
            "match": matcher.run,
            "tick": ticker.run,
            "estimate": estimator.run,
            "stream": hub.run,
            "presence": hub.renew,
            "attend": app.state.room.attendance.run,
            "hear": app.state.room.attendance.hear,
        }
        try:
            await run_until_stopped(tasks, drain)
        finally:
            await app.state.room.provider.aclose()


if __name__ == "__main__":
    main("routing", RoutingSettings, run)
