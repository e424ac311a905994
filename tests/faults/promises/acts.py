"""Promises about what agents do: what was acknowledged is on the log once, and nothing else is done in their name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from shared.events.call import CallbackRequested
from shared.events.message import ReplyRequested
from shared.events.ticket import (
    TicketAssigned,
    TicketEscalated,
    TicketPended,
    TicketReleased,
    TicketResolved,
    TicketTransferred,
)
from shared.events.work import (
    ConsultAnswered,
    ConsultRequested,
    OfferAccepted,
    OfferDeclined,
    TransferEnded,
    TransferOffered,
    WrapUpCompleted,
)
from simulator.truth import Act
from tests.faults.index import Index

Deed = tuple[str, str, str]  # kind, agent, and the offer or the ticket
# Of these the log says who did them; of an assignment, whom to.
OF_A_TICKET = frozenset({"reply", "resolve", "pend", "transfer", "escalate", "take", "assign", "call_back"}) | frozenset(
    {"hand_over", "accept_transfer", "decline_transfer", "consult", "answer", "wrap_up"}
)


def once(index: Index) -> Iterator[str]:
    """An act that was acknowledged is on the log once; one of unknown outcome at most once; what nobody did, never."""
    done, acts = _on_the_log(index), index.truth.acts
    acknowledged: Counter[Deed] = Counter()
    perhaps: Counter[Deed] = Counter()
    for act in acts:
        deed = _deed(act)
        if deed is not None and act.ticket_id not in index.history.poisoned:
            acknowledged[deed] += _done(act) and act.kind != "take"  # who has it already is answered alike: see `_in_vain`
            if act.kind == "accept":  # an acceptance that succeeded is answered alike whenever it is asked for again
                acknowledged[deed] = min(acknowledged[deed], 1)
            perhaps[deed] += _done(act) or _unknown(act)
    perhaps += _taken_when_offered(index)
    for deed in done.keys() | perhaps.keys():
        if done[deed] < acknowledged[deed]:
            yield f"{' '.join(deed)}: {acknowledged[deed]} times acknowledged, {done[deed]} times on the log"
        elif acts and done[deed] > perhaps[deed]:
            yield f"{' '.join(deed)}: {done[deed]} times on the log, at most {perhaps[deed]} times done"
    yield from _in_vain(index)


def _in_vain(index: Index) -> Iterator[str]:
    """Of what has no fact of its own at least what it brings about is on the log: who took a ticket has had it, and who gave one
    back does not have it any more.
    """
    had = {(said.fact.agent_id, said.key) for said in index.said(TicketAssigned)}
    let_go = Counter((said.fact.agent_id, said.key) for said in index.said(TicketReleased))
    given_back: Counter[tuple[str, str]] = Counter()
    for act in index.truth.acts:
        if act.ticket_id is None or not _done(act) or act.ticket_id in index.history.poisoned:
            continue
        if act.kind == "take" and (act.agent, act.ticket_id) not in had:
            yield f"take {act.agent} {act.ticket_id}: acknowledged, and never theirs on the log"
        given_back[act.agent, act.ticket_id] += act.kind == "release"
    for (agent, ticket_id), times in given_back.items():
        if let_go[agent, ticket_id] < times:
            yield f"release {agent} {ticket_id}: {times} times acknowledged, {let_go[agent, ticket_id]} times on the log"


def _taken_when_offered(index: Index) -> Counter[Deed]:
    """Acceptances that taking a ticket may come to, where it was offered to who took it."""
    takers = {(act.agent, act.ticket_id) for act in index.truth.acts if act.kind == "take" and (_done(act) or _unknown(act))}
    accepted = [(said.fact.agent_id, said.key, said.fact.offer_id) for said in index.said(OfferAccepted)]
    return Counter(("accept", agent, offer) for agent, ticket_id, offer in accepted if (agent, ticket_id) in takers)


def replies(index: Index) -> Iterator[str]:
    """The message that a reply was answered with is the one on the log, of this agent on this ticket."""
    log = {said.fact.message_id: (said.key, said.fact.agent_id) for said in index.said(ReplyRequested)}
    for act in index.truth.acts:
        if act.kind != "reply" or not _done(act) or act.message_id is None or act.ticket_id in index.history.poisoned:
            continue
        told = log.get(act.message_id)
        if told != (act.ticket_id, act.agent):
            yield f"reply {act.message_id} of {act.agent} on {act.ticket_id} was acknowledged; on the log it is {told}"


def left_alone(index: Index) -> Iterator[str]:
    """An offer that its agent let pass was neither accepted nor declined."""
    accepted = {said.fact.offer_id for said in index.said(OfferAccepted)}
    declined = {said.fact.offer_id for said in index.said(OfferDeclined)}
    for act in index.truth.acts:
        if act.kind == "miss" and act.offer_id in accepted | declined:
            yield f"offer {act.offer_id}, which {act.agent} let pass, was answered"


def _on_the_log(index: Index) -> Counter[Deed]:
    done: Counter[Deed] = Counter()
    by_itself = {said.fact.offer_id for said in index.said(TicketAssigned) if said.fact.how == "auto_accepted"}
    for accepted in index.said(OfferAccepted):
        if accepted.fact.offer_id not in by_itself:
            done["accept", accepted.fact.agent_id, accepted.fact.offer_id] += 1
    for declined in index.said(OfferDeclined):
        done["decline", declined.fact.agent_id, declined.fact.offer_id] += 1
    for reply in index.said(ReplyRequested):
        if reply.fact.by == "agent":
            done["reply", reply.fact.agent_id, reply.key] += 1
    for resolved in index.said(TicketResolved):
        if resolved.fact.agent_id is not None:
            done["resolve", resolved.fact.agent_id, resolved.key] += 1
    for pended in index.said(TicketPended):
        if pended.fact.agent_id is not None:
            done["pend", pended.fact.agent_id, pended.key] += 1
    done.update(_moves(index))
    done.update(_besides(index))
    return done


def _moves(index: Index) -> Iterator[Deed]:
    """What was done to move tickets, by hand."""
    for sent in index.said(TicketTransferred):
        if not sent.fact.warm:
            yield "transfer", sent.fact.by_agent_id or "", sent.key
    for raised in index.said(TicketEscalated):
        if raised.fact.by_agent_id is not None:
            yield "escalate", raised.fact.by_agent_id, raised.key
    for assigned in index.said(TicketAssigned):
        if assigned.fact.how in ("taken", "supervisor"):
            yield "take" if assigned.fact.how == "taken" else "assign", assigned.fact.agent_id, assigned.key
    for spared in index.said(CallbackRequested):
        if spared.fact.by_agent_id is not None:
            yield "call_back", spared.fact.by_agent_id, spared.key


def _besides(index: Index) -> Iterator[Deed]:
    """What was asked of colleagues, and what they did."""
    for offered in index.said(TransferOffered):
        yield "hand_over", offered.fact.by_agent_id, offered.key
    for ended in index.said(TransferEnded):
        if ended.fact.outcome in ("accepted", "declined"):
            kind = "accept_transfer" if ended.fact.outcome == "accepted" else "decline_transfer"
            yield kind, ended.fact.to_agent_id, ended.key
    for asked in index.said(ConsultRequested):
        yield "consult", asked.fact.agent_id, asked.key
    for answered in index.said(ConsultAnswered):
        yield "answer", answered.fact.expert_id, answered.key
    for wrapped in index.said(WrapUpCompleted):
        if wrapped.fact.code is not None:
            yield "wrap_up", wrapped.fact.agent_id, wrapped.key


def _deed(act: Act) -> Deed | None:
    if act.kind in ("accept", "decline") and act.offer_id is not None:
        return act.kind, act.agent, act.offer_id
    if act.kind in OF_A_TICKET and act.ticket_id is not None:
        return act.kind, act.agent, act.ticket_id
    return None


def _done(act: Act) -> bool:
    return act.status is not None and 200 <= act.status < 300


def _unknown(act: Act) -> bool:
    """Some attempt was not answered, or not so that nothing was done: a database may go away in the middle of a commit."""
    return any(status is None or status >= 500 for status in act.statuses) or act.status is None
