"""What the servers before us say about a mail: is it spam.

SpamAssassin's headers (https://spamassassin.apache.org/full/4.0.x/doc/Mail_SpamAssassin_Conf.html), as SendGrid and Postmark
pass them on too; Mailgun's `X-Mailgun-SFlag` and `X-Mailgun-SScore`; Amazon SES's `X-SES-Spam-Verdict`. Anybody can write them
into a mail, but only against themselves: what they say in its favour is not heeded.
"""

from __future__ import annotations

import re

from services.intake.channels import mime
from services.intake.channels.mime import Part
from services.intake.domain.contacts import VIRUS, SpamVerdict

MAILGUN_LIMIT = 5.0  # of its documentation: what scores higher is most likely spam
_YES = frozenset({"yes", "true", "fail"})
_FLAGS = ("X-Spam-Flag", "X-Mailgun-SFlag", "X-SES-Spam-Verdict", "X-SES-Virus-Verdict")
_SCORES = ("X-Spam-Score", "X-Mailgun-SScore")
_STATUS = re.compile(r"\s*yes\b(?:.{0,80}?score=(-?\d{1,4}(?:\.\d{1,4})?))?", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"\s*(-?\d{1,4}(?:\.\d{1,4})?)\s*(?:/.*)?")


def verdict_of(mail: Part) -> SpamVerdict | None:
    """That it is spam, with the score where one is told; None where nobody says so."""
    scores = [score for name in _SCORES if (score := _number(mime.raw_header(mail, name))) is not None]
    status = _STATUS.match(mime.raw_header(mail, "X-Spam-Status"))
    if status is not None and status[1] is not None:
        scores.append(float(status[1]))
    mailgun = _number(mime.raw_header(mail, "X-Mailgun-SScore"))
    flagged = any(mime.raw_header(mail, name).strip().lower() in _YES for name in _FLAGS)
    if not (flagged or status is not None or (mailgun is not None and mailgun > MAILGUN_LIMIT)):
        return None
    infected = mime.raw_header(mail, "X-SES-Virus-Verdict").strip().lower() in _YES
    score = round(max(scores) * 1000) if scores else None
    return SpamVerdict("provider", score, VIRUS if infected else None, apart=infected)


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    return float(found[1]) if found is not None else None
