"""A text message that is the answer to a question after a resolution, and not a message on the ticket. Pure."""

from __future__ import annotations

from services.intake.domain.contacts import InboundMessage
from services.intake.domain.known import Known
from services.intake.domain.plan import Placement, Plan, Scored
from shared.events.base import derived_id


def answer(contact: InboundMessage, score: int, cause: str, work: Known, plan: Plan) -> Placement | None:
    """A number answers the question that waits for one. None where there is none, or not with this number on its scale: then it
    is a message like any other.
    """
    word_id = derived_id("word", cause)
    if word_id in work.words:
        return Placement("", "", "", repeated=True)
    place = (contact.handle, contact.channel, contact.inbox) if contact.handle is not None else None
    question = work.questions.get(place) if place is not None else None
    if place is None or question is None or not question.takes(score):
        return None
    question = question.answered(score)
    plan.steps.append(Scored(question, contact, cause, score))
    work.words.add(word_id)
    work.questions[place] = question
    return Placement(question.ticket_id, question.customer_id, question.survey_id, question.number)
