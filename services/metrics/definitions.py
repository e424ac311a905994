"""Every metric, defined once: names, unit, formula, source, and which measures it is made of.

The glossary's definitions of customer service are binding; where it leaves something open, the formula says what was chosen.
"""

from __future__ import annotations

from services.metrics.definitions_of_work import OF_WORK
from services.metrics.shapes import PROMISE_DIMENSIONS, TICKET_DIMENSIONS, Count, Level, Mean, Metric, Ratio

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
    *OF_WORK,
)
BY_ID: dict[str, Metric] = {metric.id: metric for metric in METRICS}
