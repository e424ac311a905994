"""The table of topics: the one truth about name, key, event types, writers, readers and retention.

The topics are created from it, and the diagram, `docs/generated/` and the AsyncAPI document are printed from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from shared.events.base import Fact, Writer
from shared.events.call import CallFacts
from shared.events.config import ConfigFacts
from shared.events.message import MessageFacts
from shared.events.people import AgentFacts, CustomerFacts
from shared.events.signals import ParkedFacts, SignalFacts
from shared.events.sla import BreachFacts, ClockFacts, WarningFacts
from shared.events.ticket import TicketFacts
from shared.events.work import WorkFacts

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FOREVER = -1
WIDE = 0  # as many partitions as the deployment chose (setting `partitions`)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `partitions` 0 means the deployment's choice; `retention_ms` -1 means forever.

    `readers`: the services that consume it, and `operations`, outside; after a restore its writers read it back, too
    (`shared/recalling.py`). `sequenced`: its records count `seq` per writer and key, and are folded; the others pass by.
    """

    name: str
    key: str
    partitions: int
    retention_ms: int
    writers: tuple[Writer, ...]
    readers: tuple[str, ...]
    facts: tuple[type[Fact], ...]
    about: str
    sequenced: bool = True


def _members(union: object) -> tuple[type[Fact], ...]:
    return get_args(union) or (union,)


TICKETS = Topic(
    name="tickets",
    key="ticket id",
    partitions=WIDE,
    retention_ms=FOREVER,
    writers=("intake", "routing"),
    readers=("intake", "routing", "sla", "metrics", "desk"),
    facts=_members(TicketFacts) + _members(MessageFacts) + _members(CallFacts) + _members(WorkFacts),
    about="All facts about a ticket, in one order.",
)
AGENTS = Topic(
    name="agents",
    key="agent id",
    partitions=6,
    retention_ms=FOREVER,
    writers=("routing",),
    readers=("metrics", "desk"),
    facts=_members(AgentFacts),
    about="Agents' skills and states.",
)
CUSTOMERS = Topic(
    name="customers",
    key="customer id",
    partitions=6,
    retention_ms=FOREVER,
    writers=("intake",),
    readers=("routing", "desk"),
    facts=_members(CustomerFacts),
    about="Who the customers are, and what they are entitled to.",
)
CONFIG = Topic(
    name="config",
    key="kind:id",
    partitions=1,
    retention_ms=FOREVER,
    writers=("intake", "routing", "sla", "metrics"),
    readers=("routing", "metrics", "desk"),
    facts=_members(ConfigFacts),
    about="Configuration, versioned, from the owner of each kind.",
)
SLA_CLOCKS = Topic(
    name="sla-clocks",
    key="ticket id",
    partitions=WIDE,
    retention_ms=FOREVER,
    writers=("sla",),
    readers=("metrics", "routing", "intake", "desk"),
    facts=_members(ClockFacts),
    about="Promises: started, paused, resumed, met, cancelled.",
)
SLA_WARNINGS = Topic(
    name="sla-warnings",
    key="ticket id",
    partitions=WIDE,
    retention_ms=FOREVER,
    writers=("sla",),
    readers=("operations", "routing", "metrics"),
    facts=_members(WarningFacts),
    about="Promises about to be broken.",
)
SLA_BREACHES = Topic(
    name="sla-breaches",
    key="ticket id",
    partitions=WIDE,
    retention_ms=FOREVER,
    writers=("sla",),
    readers=("operations", "routing", "metrics", "desk"),
    facts=_members(BreachFacts),
    about="Promises broken, retracted, cleared.",
)
SIGNALS = Topic(
    name="signals",
    key="ticket id",
    partitions=WIDE,
    retention_ms=HOUR_MS,
    writers=("intake", "routing"),
    readers=("routing",),
    facts=_members(SignalFacts),
    about="Typing, presence, position and wait: passing, never folded. Routing says the last three, and reads presence.",
    sequenced=False,
)
PARKED = Topic(
    name="parked",
    key="source topic and partition",
    partitions=1,
    retention_ms=30 * DAY_MS,
    writers=("intake", "routing", "sla", "metrics", "desk"),
    readers=("operations",),
    facts=_members(ParkedFacts),
    about="Records that a consumer could not take.",
    sequenced=False,
)

TOPICS: tuple[Topic, ...] = (
    TICKETS,
    AGENTS,
    CUSTOMERS,
    CONFIG,
    SLA_CLOCKS,
    SLA_WARNINGS,
    SLA_BREACHES,
    SIGNALS,
    PARKED,
)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}
TOPIC_OF: dict[type[Fact], Topic] = {fact: topic for topic in TOPICS for fact in topic.facts}
FACT_BY_TYPE: dict[str, type[Fact]] = {fact.TYPE: fact for topic in TOPICS for fact in topic.facts}

# Who owns which kind of configuration: only the owner writes it.
CONFIG_OWNERS: dict[str, Writer] = {
    "queue": "routing",
    "team": "routing",
    "partner": "routing",
    "skill": "routing",
    "agent": "routing",
    "rule": "routing",
    "canned_response": "routing",
    "calendar": "sla",
    "policy": "sla",
    "goal": "metrics",
    "rate": "metrics",
    "template": "intake",
    "inbox": "intake",
    "word_list": "intake",
    "spam_rule": "intake",
    "survey": "intake",
}


def other_writer(topic: Topic, writer: Writer) -> Writer | None:
    """The writer whose progress `seen` tells on this topic: the other of two, None where there is no such one."""
    others = [other for other in topic.writers if other != writer]
    return others[0] if topic is TICKETS and len(others) == 1 else None
