"""Every metric, defined once: names, unit, formula, source, and which measures it is made of.

The glossary's definitions of customer service are binding; where it leaves something open, the formula says what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.metrics.domain.cells import Measure

Unit = Literal["tickets", "contacts", "offers", "seconds", "share", "per_ticket"]
TICKET_DIMENSIONS = ("channel", "queue", "team", "agent", "priority", "language", "partner")
PROMISE_DIMENSIONS = ("channel", "queue", "team", "agent", "priority", "partner", "policy", "target")


@dataclass(frozen=True, slots=True)
class Count:
    """How many observations."""

    of: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Mean:
    """Sum of the durations over their number; with quantiles."""

    of: Measure


@dataclass(frozen=True, slots=True)
class Ratio:
    """Observations above over observations below."""

    above: tuple[Measure, ...]
    below: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """How many there were at the end of each period: the sum of all that went in and came out until then.

    `states` make up the figure; the other states are shown beside it.
    """

    of: Measure
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `version` counts up when its formula changes, so that figures of two formulas are never mixed."""

    id: str
    names: dict[str, str]
    unit: Unit
    formula: str
    made_of: Count | Mean | Ratio | Level
    dimensions: tuple[str, ...] = TICKET_DIMENSIONS
    version: int = 1
    source: str = "glossary of customer service"

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures to read."""
        match self.made_of:
            case Count(of):
                return of
            case Ratio(above, below):
                return tuple(dict.fromkeys(above + below))
            case Mean(of) | Level(of):
                return (of,)


METRICS: tuple[Metric, ...] = (
    Metric(
        id="ticket_volume",
        names={"he": "מספר פניות", "ar": "حجم التذاكر", "ro": "Volumul de tichete", "en": "Ticket volume"},
        unit="tickets",
        formula="Tickets opened in the period, without spam and those merged into another. "
        "Queue, team and agent are the first that took the ticket; topic "
        "and product are its present labels.",
        made_of=Count(("opened",)),
        dimensions=(*TICKET_DIMENSIONS, "topic", "product"),
    ),
    Metric(
        id="backlog",
        names={"he": "פניות ממתינות", "ar": "الطلبات المتراكمة", "ro": "Solicitări în așteptare", "en": "Backlog"},
        unit="tickets",
        formula="Unresolved tickets at the end of the period: new (never assigned) + open (assigned once, not solved). Pending "
        "and on hold are shown beside it. Spam and withdrawn tickets do not count.",
        made_of=Level("backlog", states=("new", "open")),
        dimensions=(*TICKET_DIMENSIONS, "state"),
    ),
    Metric(
        id="first_response_time",
        names={"he": "זמן תגובה ראשוני", "ar": "وقت الرد الأول", "ro": "Timpul de răspuns inițial", "en": "First response time"},
        unit="seconds",
        formula="Σ(first response of a representative − customer's first contact) ÷ tickets responded to. An automatic "
        "confirmation or a bot's reply is not a response; a call answered by an agent is (where the provider tells only of the "
        "greeting, when the call ends). Counted in the hour of the response.",
        made_of=Mean("first_response"),
    ),
    Metric(
        id="average_reply_time",
        names={"he": "זמן תגובה ממוצע", "ar": "متوسط وقت الرد", "ro": "Timp mediu de răspuns", "en": "Average reply time"},
        unit="seconds",
        formula="Σ(time between a customer message and its answer) ÷ number of messages handled, by the channel of the message. "
        "A reply answers all messages it had seen; replies of bots and rules are left out. Counted in the hour of the reply.",
        made_of=Mean("reply"),
    ),
    Metric(
        id="time_to_resolution",
        names={"he": "זמן פתרון", "ar": "وقت الحل", "ro": "Timp de rezolvare", "en": "Time to resolution"},
        unit="seconds",
        formula="Σ(full resolution − start of the interaction) ÷ tickets resolved. A resolution that the customer or an agent "
        "reopens is taken back; the last one stands. Counted in its hour.",
        made_of=Mean("resolution"),
    ),
    Metric(
        id="interactions_per_ticket",
        names={
            "he": "אינטראקציות לפנייה",
            "ar": "التفاعلات لكل تذكرة",
            "ro": "Interacțiuni pe tichet",
            "en": "Interactions per ticket",
        },
        unit="per_ticket",
        formula="Messages of people, calls and replies of the tickets opened in the period ÷ tickets opened in the period.",
        made_of=Ratio(("interaction",), ("opened",)),
        dimensions=(*TICKET_DIMENSIONS, "topic", "product"),
    ),
    Metric(
        id="resolution_rate",
        names={"he": "שיעור פתרון", "ar": "معدل الحل", "ro": "Rata de rezolvare", "en": "Resolution rate"},
        unit="share",
        formula="Tickets solved ÷ tickets assigned: of the tickets that came to an agent for the first time in the period, the "
        "share that this agent solved (and that stayed solved).",
        made_of=Ratio(("solved",), ("assigned",)),
    ),
    Metric(
        id="sla_compliance",
        names={
            "he": "עמידה באמנה",
            "ar": "الالتزام بالاتفاقية",
            "ro": "Respectarea SLA",
            "en": "SLA compliance",
        },
        unit="share",
        formula="Kept commitments ÷ all commitments, kept or broken. A kept one counts in the hour in which it was fulfilled, a "
        "broken one in the hour of its deadline; those still running and those cancelled do not count.",
        made_of=Ratio(("commitment_kept",), ("commitment_kept", "commitment_broken")),
        dimensions=PROMISE_DIMENSIONS,
    ),
    Metric(
        id="sla_breaches",
        names={"he": "חריגות מהאמנה", "ar": "انتهاكات الاتفاقية", "ro": "Încălcări ale SLA", "en": "SLA breaches"},
        unit="contacts",
        formula="Commitments broken in the period (by their deadline), without those retracted.",
        made_of=Count(("commitment_broken",)),
        dimensions=PROMISE_DIMENSIONS,
        source="follows from SLA compliance",
    ),
    Metric(
        id="sla_warnings",
        names={"he": "התראות אמנה", "ar": "تحذيرات الاتفاقية", "ro": "Avertizări SLA", "en": "SLA warnings"},
        unit="contacts",
        formula="Warnings that a commitment was about to be broken, in the hour in which the share of the target was used up.",
        made_of=Count(("warned",)),
        dimensions=PROMISE_DIMENSIONS,
        source="follows from SLA compliance",
    ),
    Metric(
        id="breach_publication_delay",
        names={
            "he": "עיכוב פרסום חריגה",
            "ar": "تأخر نشر الانتهاك",
            "ro": "Întârzierea publicării încălcării",
            "en": "Breach publication delay",
        },
        unit="seconds",
        formula="Σ(instant of publication − deadline) ÷ breaches published. A figure about us, not about the service given.",
        made_of=Mean("breach_published_late"),
        dimensions=PROMISE_DIMENSIONS,
        source="a breach happens at its deadline; how late it was said is its own figure",
    ),
    Metric(
        id="offers",
        names={"he": "הצעות לנציגים", "ar": "العروض على الوكلاء", "ro": "Oferte către agenți", "en": "Offers"},
        unit="offers",
        formula="Tickets shown to an agent to be accepted, in the period.",
        made_of=Count(("offered",)),
        source="follows from ticket routing",
    ),
    Metric(
        id="accept_rate",
        names={"he": "שיעור קבלה", "ar": "معدل القبول", "ro": "Rata de acceptare", "en": "Accept rate"},
        unit="share",
        formula="Offers accepted ÷ offers that the agent could have accepted (accepted + declined + expired + failed). Offers "
        "taken back do not count. Counted in the hour in which the offer ended.",
        made_of=Ratio(("offer_accepted",), ("offer_accepted", "offer_declined", "offer_expired", "offer_failed")),
        source="follows from ticket routing",
    ),
    Metric(
        id="queue_visits",
        names={"he": "כניסות לתור", "ar": "زيارات قائمة الانتظار", "ro": "Intrări în coadă", "en": "Queue visits"},
        unit="contacts",
        formula="Visits to a queue begun in the period. At every moment: visits = handled + abandoned + withdrawn + waiting.",
        made_of=Count(("visit",)),
        source="follows from ticket queue",
    ),
    Metric(
        id="queue_wait",
        names={
            "he": "זמן המתנה בתור",
            "ar": "وقت الانتظار في القائمة",
            "ro": "Timp de așteptare în coadă",
            "en": "Average speed of answer",
        },
        unit="seconds",
        formula="Σ(wait of the visits to a queue that an agent took) ÷ such visits. Counted in the hour in which it was taken.",
        made_of=Mean("visit_handled"),
        source="contact-centre usage (ASA over answered only)",
    ),
    Metric(
        id="abandonment",
        names={"he": "נטישה בתור", "ar": "التخلي", "ro": "Abandon", "en": "Abandonment"},
        unit="share",
        formula="Visits to a queue that the customer left before an agent answered ÷ visits that ended with an agent or so. "
        "Withdrawn visits (spam, merged, transferred, callback, partner) do not count; no short abandons are left out.",
        made_of=Ratio(("visit_abandoned",), ("visit_abandoned", "visit_handled")),
    ),
    Metric(
        id="talk_time",
        names={"he": "זמן שיחה", "ar": "وقت التحدث", "ro": "Timp de convorbire", "en": "Talk time"},
        unit="seconds",
        formula="Σ(talk of completed calls) ÷ completed calls, from start to end of the talk. Counted in the hour of the end.",
        made_of=Mean("talk"),
    ),
    Metric(
        id="hold_time",
        names={"he": "זמן החזקה", "ar": "وقت الانتظار على الخط", "ro": "Timp de reținere", "en": "Hold time"},
        unit="seconds",
        formula="Σ(hold of completed calls) ÷ completed calls.",
        made_of=Mean("hold"),
        source="part of average handle time",
    ),
    Metric(
        id="agent_state_time",
        names={"he": "זמן במצב נציג", "ar": "وقت حالة الوكيل", "ro": "Timp în starea agentului", "en": "Time in agent state"},
        unit="seconds",
        formula="Σ(time in a state) ÷ times the state ended, by `state`. The whole time counts in the hour in which it ended.",
        made_of=Mean("agent_state"),
        dimensions=("agent", "team", "partner", "state"),
        source="follows from agent states",
    ),
)
BY_ID: dict[str, Metric] = {metric.id: metric for metric in METRICS}
