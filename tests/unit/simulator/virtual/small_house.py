"""The queues and people of a house that is small enough for everything to meet everything."""

from __future__ import annotations

import msgspec

from services.routing.domain.agents import Profile
from shared.conditions import Test
from shared.events.config import QueueConfigured
from simulator.virtual.agenda import START


def queue(queue_id: str, position: int, **how: object) -> QueueConfigured:
    """One of the house's queues."""
    plain = QueueConfigured(
        id=queue_id, version=1, effective_from=START, name={"en": queue_id}, position=position, consult_seconds=40
    )
    return msgspec.structs.replace(plain, **how)


QUEUES = (
    queue(
        "calls",
        1,
        when=Test(field="channel", op="equals", value="phone"),
        team_ids=("voice",),
        auto_accept=True,
        wrap_up_seconds=20,
    ),
    queue("reopened", 2, when=Test(field="is_reopened", op="equals", value=True), required_skills={"patience": 3}),
    queue("chats", 3, when=Test(field="channel", op="equals", value="chat"), skill_by_language=True),
    queue("letters", 4, team_ids=("letters", "voice"), wrap_up_seconds=40, consult_units=1),
    queue("second", 5, tier=2),
    queue("north", 6, partner_id="north", when=Test(field="language", op="equals", value="ro")),
)
STAFF = {
    "dana": Profile(display_name="Dana", team_ids=("voice",), languages=("he",), capacity_units=10),
    "noa": Profile(display_name="Noa", team_ids=("voice", "letters"), languages=("he", "ro"), skills={"patience": 5}),
    "omar": Profile(display_name="Omar", team_ids=("letters",), languages=("ro",), skills={"patience": 2}, capacity_units=6),
    "ion": Profile(display_name="Ion", team_ids=("letters",), languages=("ro",), skills={"patience": 2}, capacity_units=6),
    "maria": Profile(display_name="Maria", team_ids=("letters",), languages=("ro",), skills={"patience": 3}, capacity_units=3),
    "lior": Profile(display_name="Lior", team_ids=("voice",), languages=("he",), capacity_units=10),
    "eva": Profile(display_name="Eva", languages=("ro",), capacity_units=6, partner_id="north"),
}
AGENTS = tuple(STAFF)
