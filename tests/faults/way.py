"""The way of a few contacts through all services, as a row of steps: each is one part's work on one database and one log."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.intake.domain.contacts import Contact, Handle, InboundCall, InboundMessage
from shared import auth, db
from shared.settings import Settings
from tests.faults.parts import Request
from tests.faults.rig import Ran, Rig

SETTINGS: dict[str, object] = {
    "master_key": base64.b64encode(b"k" * 32).decode(),
    "database_pool": 3,
    "intake_close_after_days": 0,
    "routing_presence_seconds": 86_400,
    "sla_grace_ms": 0,
    "log_level": "warning",
}
KEYS: dict[str, tuple[str, ...]] = {"admin": ("admin",), "dana": ("agent:dana",)}
COMPANY: dict[str, list[tuple[str, str, object]]] = {
    "routing": [
        ("PUT", "/v1/teams/support", {"name": {"en": "Support"}}),
        (
            "PUT",
            "/v1/queues/support",
            {"name": {"en": "Support"}, "position": 1, "team_ids": ["support"], "offer_timeout_seconds": 86_400},
        ),
        ("PUT", "/v1/agents/dana", {"display_name": "Dana", "team_ids": ["support"], "capacity_units": 1000}),
        ("POST", "/v1/agents/dana/state", {"state": "available"}),
    ],
    "intake": [
        ("PUT", "/v1/inboxes/support", {"channel": "email", "address": "support@patchbay.example"}),
        ("PUT", "/v1/inboxes/sms", {"channel": "sms", "address": "+40312295500"}),
    ],
}


@dataclass(slots=True)
class Way:
    """A database on which everything goes its way, the keys of the company's people, and what was answered to senders."""

    rig: Rig
    database: str
    keys: dict[str, str]
    answers: list[dict[str, Any]] = field(default_factory=list)

    async def go(self, part: str, **given: Any) -> Ran:
        """Do a part's work on this database; a consumer reads all that stands on the log now."""
        ran = await self.rig.run(part, self.database, **await self.given(part, **given))
        self.answers += ran.answers
        return ran

    async def given(self, part: str, **given: Any) -> dict[str, Any]:
        """What a part is told: a consumer, how far the log goes."""
        return {"ends": await self.rig.ends(), **given} if part.endswith("consumes") else given

    def asks(self, who: str, method: str, path: str, body: object = None) -> Request:
        """A request of one of the company's people; its repeats are the same request."""
        return Request(method, path, self.keys[who], body, f"{method} {path}" if method == "POST" else None)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        """Look into the database, or reach into it."""
        return await self.rig.rows(self.database, statement, *values)

    async def now(self) -> datetime:
        """The database's clock."""
        [row] = await self.rows("SELECT clock_timestamp() AS now")
        return row["now"]  # type: ignore[no-any-return]


def promising(seconds: int) -> tuple[str, str, object]:
    """A policy that promises an answer and a solution within so many seconds of any hour."""
    at_each = {str(priority): seconds for priority in range(1, 5)}
    targets = [
        {"kind": "first_response", "seconds": at_each, "hours": "calendar", "warn_at_percent": [50]},
        {"kind": "resolution", "seconds": at_each, "hours": "calendar"},
    ]
    return "PUT", "/v1/policies/all", {"name": f"{seconds} seconds", "position": 1, "targets": targets}


async def company(rig: Rig, database: str, promised_seconds: int) -> Way:
    """Put the company in place, through the services' APIs."""
    engine = db.make_engine(Settings.model_validate({**rig.settings, "database": database}), "test")
    async with db.transaction(engine) as conn:
        keys = {role: await auth.create_key(conn, role, role, scopes) for role, scopes in KEYS.items()}
    await engine.dispose()
    way = Way(rig, database, keys)
    for service, asked in {**COMPANY, "sla": [promising(promised_seconds)]}.items():
        requests = [way.asks("dana" if path.endswith("state") else "admin", method, path, body) for method, path, body in asked]
        await rig.run(f"{service} is asked", database, requests=requests)
    return way


async def offers_to(way: Way, agent_id: str) -> list[tuple[str, str]]:
    """The agent's live offers, as (offer id, channel of the ticket), by channel."""
    rows = await way.rows(
        "SELECT o.offer_id, t.channel FROM routing.offer o JOIN intake.ticket t ON t.id = o.ticket_id"
        " WHERE o.agent_id = $1 AND o.state = 'live' ORDER BY t.channel",
        agent_id,
    )
    return [(row["offer_id"], row["channel"]) for row in rows]


def mail(name: str, **more: Any) -> InboundMessage:
    """A mail of somebody."""
    ref = f"<{name}@customers.example>"
    return InboundMessage(
        provider="smtp",
        dedup_key=ref,
        content_hash=name,
        channel="email",
        inbox="support",
        handle=Handle("email", f"{name}@customers.example"),
        text=f"Where is the order of {name}?",
        message_ref=ref,
        **more,
    )


def text(name: str, n: int) -> InboundMessage:
    """The nth SMS of somebody."""
    return InboundMessage(
        provider="twilio",
        dedup_key=f"{name}-{n}",
        content_hash=f"{name}-{n}",
        channel="sms",
        inbox="sms",
        handle=Handle("phone", f"+40722{int.from_bytes(name.encode()) % 1_000_000:06d}"),
        text=f"Question {n}",
    )


def ringing(name: str) -> InboundCall:
    """A call that rings."""
    return InboundCall(
        provider="twilio",
        call_ref=name,
        dedup_key=f"{name}:ringing",
        content_hash="ringing",
        inbox="phone",
        handle=Handle("phone", "+40733000111"),
        phase="ringing",
    )


CONTACTS: Sequence[Contact] = (
    mail("ana", confirm=True),
    text("bo", 1),
    text("bo", 2),
    mail("ana", confirm=True),
    ringing("CA1"),
)
MORE: Sequence[Contact] = (mail("cleo"), text("bo", 3))
