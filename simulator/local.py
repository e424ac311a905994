"""The Patchbay that `make run` started in this folder: where it is, and agents for a run beyond those it brings."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import httpx

from client import ProblemError, Routing
from client.config_types import AgentBody
from deploy import running
from deploy.local import settings as local_settings
from deploy.local.ports import address, reach
from deploy.local.settings import LocalSettings
from shared import auth, db
from shared.settings import Settings
from simulator.places import Places


class NotRunning(Exception):
    """There is no Patchbay to send to; the message says what to do."""


def find() -> tuple[LocalSettings, Places]:
    """Its settings and places. Raises NotRunning, LocalError."""
    running.adopt_settings()
    local = local_settings.load(Path.cwd())
    keys_file = local.secrets_folder / "demo-keys.json"
    if not keys_file.exists():
        raise NotRunning("There are no demo keys: start Patchbay first, with `make run` in another terminal.")
    url = {service: f"http://{address(local.host, port)}" for service, port in local.service_ports().items()}
    places = Places(
        intake=url["intake"],
        routing=url["routing"],
        sla=url["sla"],
        metrics=url["metrics"],
        smtp_host=reach(local.host),
        smtp_port=local.smtp_port,
        twilio_token=local_settings.secret_file(local.twilio_token_file, "password"),
        keys=json.loads(keys_file.read_text(encoding="utf-8")),
        public_url=os.environ.get("PATCHBAY_INTAKE_PUBLIC_URL", "").rstrip("/") or None,
    )
    return local, places


def receives_mail() -> bool:
    """Whether mail to customers goes to the receivers that are played here, not to a mail server that was configured."""
    return "PATCHBAY_INTAKE_MAIL_HOST" not in os.environ


async def check(places: Places) -> None:
    """Make sure that the services which take traffic are ready. Raises NotRunning."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        for url in (places.intake, places.routing):
            try:
                ready = (await http.get(f"{url}/readyz")).status_code == 200
            except httpx.HTTPError:
                ready = False
            if not ready:
                raise NotRunning(
                    f"Patchbay does not answer at {url}. Start it with `make run` in another terminal, then try again."
                )


async def hire(places: Places, number: int) -> Places:
    """The places with so many agents: those that are there, and new ones with keys of their own.

    Raises NotRunning, ProblemError, NoAnswer, DatabaseAway.
    """
    if number <= len(places.agents):
        return replace(places, agents=places.agents[:number])
    new = [f"sim-{n}" for n in range(len(places.agents) + 1, number + 1)]
    async with Routing(places.routing, places.keys["admin"]) as routing:
        for agent in new:
            await _enrol(routing, agent)
    engine = db.make_engine(Settings(), "simulator")
    try:
        async with db.transaction(engine) as conn:
            keys = {agent: await auth.create_key(conn, agent, f"simulated agent {agent}", (f"agent:{agent}",)) for agent in new}
    finally:
        await engine.dispose()
    return replace(places, agents=(*places.agents, *new), keys={**places.keys, **keys})


async def _enrol(routing: Routing, agent: str) -> None:
    body: AgentBody = {
        "display_name": agent,
        "team_ids": ["support"],
        "languages": ["he", "ar", "ro", "en"],
        "capacity_units": 10,
    }
    try:
        await routing.get_agent(agent)
    except ProblemError as refused:
        if refused.code != "agent-not-found":
            raise
        await routing.put_agent(agent, body)
