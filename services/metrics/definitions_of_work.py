"""The metrics of queues and agents' work: offers, waits, calls, what is done after and besides them, occupancy."""

from __future__ import annotations

from services.metrics.shapes import TICKET_DIMENSIONS, Count, Mean, Metric, Ratio, TimePer, TimeShare

OF_WORK: tuple[Metric, ...] = (
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
        id="wrap_up_time",
        names={"he": "זמן סיכום טיפול", "ar": "وقت إنهاء المعاملة", "ro": "Timp de finalizare", "en": "Wrap-up time"},
        unit="seconds",
        formula="Σ(work after the contact) ÷ wrap-ups, until the agent said that it was done, or its time was over. Under the "
        "queue, team and partner that the agent had the ticket from; counted in the hour of the end.",
        made_of=Mean("wrap_up"),
        source="part of average handle time",
    ),
    Metric(
        id="average_handle_time",
        names={"he": "זמן טיפול", "ar": "متوسط وقت التعامل", "ro": "Timp mediu de gestionare", "en": "Average handle time"},
        unit="seconds",
        formula="Σ(talk + hold of completed calls, and the wrap-up after them) ÷ completed calls. Each part counts in the hour "
        "in which it ended. Of channels on which an agent works on several at once no time is told here.",
        made_of=TimePer(("talk", "hold", "call_wrap_up"), "talk"),
    ),
    Metric(
        id="transfers",
        names={"he": "העברות", "ar": "التحويلات", "ro": "Transferuri", "en": "Transfers"},
        unit="contacts",
        formula="Times a ticket was sent on, by an agent or a supervisor, to a queue, tier, partner or agent; warm ones when "
        "they were accepted. Under the queue it came from and the agent who sent it.",
        made_of=Count(("transfer",)),
        source="follows from ticket routing",
    ),
    Metric(
        id="transfer_rate",
        names={"he": "שיעור העברות", "ar": "معدل التحويل", "ro": "Rata de transfer", "en": "Transfer rate"},
        unit="share",
        formula="Tickets that were sent on while somebody had them ÷ times a ticket came to an agent. Under the agent who had "
        "it. Each counts in its own hour.",
        made_of=Ratio(("given_away",), ("taken",)),
        source="contact-centre usage (contacts transferred ÷ contacts handled)",
    ),
    Metric(
        id="escalations",
        names={"he": "הסלמות", "ar": "التصعيدات", "ro": "Escaladări", "en": "Escalations"},
        unit="contacts",
        formula="Times a ticket was sent up a tier, by hand or by a rule. Under the queue it came from; the agent is who sent it "
        "up, none for a rule.",
        made_of=Count(("escalation",)),
        source="follows from escalation management",
    ),
    Metric(
        id="escalation_rate",
        names={"he": "שיעור הסלמה", "ar": "معدل التصعيد", "ro": "Rata de escaladare", "en": "Escalation rate"},
        unit="share",
        formula="Of the tickets opened in the period, the share that was sent up a tier at least once since.",
        made_of=Ratio(("opened_escalated",), ("opened",)),
        dimensions=(*TICKET_DIMENSIONS, "topic", "product"),
        source="follows from escalation management",
    ),
    Metric(
        id="consultations",
        names={"he": "התייעצויות עם מומחים", "ar": "استشارات الخبراء", "ro": "Consultări cu experți", "en": "Consultations"},
        unit="contacts",
        formula="Times an expert was asked about a ticket. The agent is who asked.",
        made_of=Count(("consult",)),
        source="follows from subject-matter expert",
    ),
    Metric(
        id="consultation_time",
        names={"he": "זמן תשובת מומחה", "ar": "وقت رد الخبير", "ro": "Timp de răspuns al expertului", "en": "Consultation time"},
        unit="seconds",
        formula="Σ(answer of the expert − question) ÷ questions answered. The agent is the expert; questions taken back, or that "
        "ran out, do not count. Counted in the hour of the answer.",
        made_of=Mean("consult_answered"),
        source="follows from subject-matter expert",
    ),
    Metric(
        id="callbacks",
        names={"he": "שיחות חוזרות", "ar": "معاودات الاتصال", "ro": "Reapelări", "en": "Callbacks"},
        unit="contacts",
        formula="Visits to a queue that ended because the customer would rather be called back than wait. They are withdrawn, "
        "not abandoned; the call back is a visit of its own.",
        made_of=Count(("callback",)),
        source="follows from ticket queue",
    ),
    Metric(
        id="occupancy",
        names={"he": "תפוסת נציגים", "ar": "معدل إشغال الوكلاء", "ro": "Grad de ocupare", "en": "Occupancy"},
        unit="share",
        formula="Time on duty in which an agent had work (a ticket to work on, a wrap-up, a question that takes of them) ÷ time "
        "on duty (available or in wrap-up). Both count in the hour in which something changed; count and out_of are seconds.",
        made_of=TimeShare(("busy",), ("on_duty",)),
        dimensions=("agent", "team", "partner"),
        source="busy servers' share of time, as in Erlang's formulas",
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
