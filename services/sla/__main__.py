"""The composition root of sla: settings → resources → consume, relay, tick, serve."""

from __future__ import annotations

from services.sla.api import make_router
from services.sla.ends import LogEnds
from services.sla.recalling import recall_with
from services.sla.settings import SlaSettings
from services.sla.store.tickets import Tickets
from services.sla.timers import Ticker
from shared.http import create_app, make_server
from shared.recalling import come_back
from shared.service import main, resources, run_until_stopped

# A promise is counted in seconds; the timers wait until what came before them is read.
LINGER_MS = 50


async def run() -> None:
    """Until told to stop."""
    settings = SlaSettings()
    async with resources("sla", settings) as opened:
        parts = await come_back(opened, settings.sla_port, recall_with(settings))
        ends = LogEnds(settings)
        ticker = Ticker(parts.engine, parts.outbox, settings, ends.ask)
        tickets = Tickets(settings.partitions)
        consumer = parts.consumer((tickets,), committed=lambda: ticker.armed(tickets.earliest), linger_ms=LINGER_MS)

        def alive() -> bool:
            return consumer.healthy() and ticker.healthy()

        app = create_app("sla", "Patchbay sla", parts.database_ready, alive)
        app.state.authenticator = parts.authenticator
        app.include_router(make_router(parts.engine, parts.outbox))
        server = make_server(app, settings.host, settings.sla_port)

        def drain() -> None:
            server.should_exit = True

        tasks = {
            "serve": server.serve,
            "consume": consumer.run,
            "relay": parts.relay(LINGER_MS / 1000).run,
            "measure": parts.measure,
            "tick": ticker.run,
        }
        try:
            await run_until_stopped(tasks, drain)
        finally:
            await ends.close()


if __name__ == "__main__":
    main("sla", SlaSettings, run)
