"""What the domain refuses of a ticket's moves, as problems."""

from __future__ import annotations

from services.routing.domain.calling_back import NothingWaits
from services.routing.domain.commands import NotAtWork
from services.routing.domain.consulting import NoConsult, TooManyConsults
from services.routing.domain.editing import CustomerForgotten, TooManyFields, TooManyTags
from services.routing.domain.escalating import NoHigherTier
from services.routing.domain.experts import NobodyKnows
from services.routing.domain.handing import TransferGone, TransferPending
from services.routing.domain.moves import CannotTake, NoSuchPlace, OfferedToAnother
from services.routing.domain.resting import WrongTime
from services.routing.domain.wrapping import NoWrapUp
from shared.http import Problem

# The status, the code, and what to do about it.
REFUSALS: dict[type[ValueError], tuple[int, str, str]] = {
    NotAtWork: (409, "not-at-work", "Nobody is to work on the ticket"),
    NoSuchPlace: (422, "no-such-place", "The ticket cannot be sent there"),
    CannotTake: (409, "agent-cannot-take", "Ask somebody else, or later"),
    OfferedToAnother: (409, "offered-to-another", "Try again when the offer was declined or expired"),
    TransferGone: (409, "transfer-gone", "The hand-over cannot be answered any more"),
    TransferPending: (409, "transfer-pending", "Take the hand-over back first, or wait for its answer"),
    NoHigherTier: (409, "no-higher-tier", "The ticket is as far up as it can be"),
    WrongTime: (422, "wrong-time", "The ticket cannot come back then"),
    NothingWaits: (409, "nothing-waits", "Only a ticket that waits can wait for a call instead"),
    NoWrapUp: (409, "no-wrap-up", "There is no wrap-up to complete"),
    NoConsult: (409, "consult-not-open", "The question cannot be answered or ended any more"),
    TooManyConsults: (409, "too-many-consults", "Wait for an answer, or end a question"),
    TooManyTags: (409, "too-many-tags", "Take some away first"),
    CustomerForgotten: (409, "erased", "Leave the subject out"),
    TooManyFields: (422, "too-many-fields", "Take one away first"),
    NobodyKnows: (409, "nobody-knows", "Name somebody, or ask later"),
}
REFUSED = tuple(REFUSALS)


def problem_of(refused: ValueError) -> Problem:
    """The problem that tells of a refusal, one of REFUSED."""
    status, code, advice = REFUSALS[type(refused)]
    more: dict[str, str | int | None] = {}
    if isinstance(refused, CannotTake):
        more = {"agent_id": refused.agent_id, "verdict": refused.verdict}
    return Problem(status, code, f"{advice}: {refused}.", more=more)
