"""What the demonstration holds against what happened: confirmations, answers, figures. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import EmailMessage

# What a confirmation says, in the words that its language has and no other.
RECEIVED = {
    "he": "קיבלנו את פנייתך",
    "ar": "لقد استلمنا رسالتك",
    "ro": "am primit mesajul dumneavoastră",
    "en": "we have received your message",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric over the whole span asked for; `value` is None where there is nothing to divide by."""

    value: float | None = None
    count: int = 0
    out_of: int = 0

    @property
    def text(self) -> str:
        """As shown to a person."""
        return "–" if self.value is None else f"{self.value:g}"


Figures = Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the story adds to the figures, at least."""

    opened: int
    answered: int
    resolved: int
    broken: int


def figure_of(body: Mapping[str, object]) -> Figure:
    """The figure of an answer of `GET /v1/metrics/{metric}` whose period is the total."""
    points = body["points"]
    assert isinstance(points, list)
    if not points:
        return Figure()
    value = points[0]["value"]
    return Figure(None if value is None else float(value), int(points[0]["count"]), int(points[0].get("out_of") or 0))


def not_moved(before: Figures, after: Figures, expected: Expected) -> list[str]:
    """Which figures do not tell the story (yet), each with what is missing; empty when all do."""
    grown = {name: after[name].count - before[name].count for name in after}
    broken = (after["sla_compliance"].out_of - before["sla_compliance"].out_of) - grown["sla_compliance"]
    least = {
        "ticket_volume": (grown["ticket_volume"], expected.opened),
        "first_response_time": (grown["first_response_time"], expected.answered),
        "time_to_resolution": (grown["time_to_resolution"], expected.resolved),
        "sla_compliance (kept)": (grown["sla_compliance"], expected.answered),
        "sla_compliance (broken)": (broken, expected.broken),
        # Older tickets may have been answered meanwhile; the one that was left alone is there in any case.
        "backlog": (after["backlog"].count, expected.broken),
    }
    missing = [f"{name}: {found} instead of at least {wanted}" for name, (found, wanted) in least.items() if found < wanted]
    return missing + [f"{name}: no value" for name, figure in after.items() if figure.value is None]


def is_confirmation(mail: EmailMessage, language: str, numbers: Collection[int]) -> bool:
    """Whether this is the automatic confirmation, in this language, of one of these tickets, which it names twice."""
    subject, text = str(mail["Subject"]), text_of(mail)
    return (
        mail["Auto-Submitted"] is not None
        and mail["Content-Language"] == language
        and RECEIVED[language] in text
        and any(_names(number, subject) and _names(number, text) for number in numbers)
    )


def is_answer(mail: EmailMessage, text: str) -> bool:
    """Whether this is what an agent wrote, not a machine."""
    return mail["Auto-Submitted"] is None and text.split("\n")[0] in text_of(mail)


def text_of(mail: EmailMessage) -> str:
    """What a mail program shows."""
    part = mail.get_body(preferencelist=("plain", "html"))
    return str(part.get_content()) if part is not None else ""


def _names(number: int, text: str) -> bool:
    return re.search(rf"#{number}(?!\d)", text) is not None
