"""Judges a complete history: which of the promises does it break? Knows the contract (`shared`) and no service's own code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tests.faults.history import History
from tests.faults.index import Index, index
from tests.faults.promises import acts, contacts, figures, load, order, outward, timers, work

SHOWN = 20  # of each promise: a lost partition breaks thousands of times

Promise = Callable[[Index], Iterator[str]]

PROMISES: Mapping[str, Promise] = {
    # 1. An acknowledged contact is on exactly one ticket, once.
    "contact-once": contacts.once,
    "answer-true": contacts.answers,
    "conversation-together": contacts.conversations,
    "number-once": contacts.numbers,
    "call-once": contacts.calls,
    "customer-one": contacts.customers,
    "intake-holds-the-log": contacts.tables,
    # 2. Facts are told and consumed in order.
    "log-readable": order.readable,
    "log-counted": order.counted,
    "repeat-same": order.repeats,
    "seen-behind": order.seen,
    "identity-once": order.identities,
    "fact-possible": order.possible,
    "read-to-the-end": order.read_to_the_end,
    "folds-agree": order.folds,
    # 3. One live offer, one owner, nobody above capacity.
    "offer-one": work.offers,
    "owner-one": work.owners,
    "capacity": load.capacity,
    "load-told": load.load,
    # 4. A timer fires zero or one time, as its final state says, never early.
    "timer-once": timers.once,
    "timer-never-early": timers.never_early,
    "timer-final": timers.final_state,
    "timer-not-left": timers.none_left,
    "first-response-true": timers.first_responses,
    # 5. Figures are a pure fold of the log.
    "figures-pure": figures.pure_fold,
    "figures-counted": figures.counts,
    # 6. Offered = handled + abandoned + waiting + withdrawn; no customer is forgotten.
    "visits-add-up": work.visits,
    "nobody-forgotten": work.nobody_forgotten,
    # What goes out, what agents did, and what is left.
    "reply-arrived": outward.arrived,
    "text-arrived": outward.texts_arrived,
    "reply-in-order": outward.in_order,
    "repeat-counted": outward.repeats_counted,
    "said-once": outward.said_once,
    "confirmed": outward.confirmed,
    "act-once": acts.once,
    "reply-true": acts.replies,
    "offer-left-alone": acts.left_alone,
    "nothing-parked": figures.nothing_parked,
    "nothing-unpublished": figures.nothing_unpublished,
}


def broken(history: History) -> list[str]:
    """What of the promises does not hold in this history, as `promise: what`; empty when all do."""
    indexed = index(history)
    wrong: list[str] = []
    for name, promise in PROMISES.items():
        found = [f"{name}: {what}" for what in promise(indexed)]
        wrong += found[:SHOWN]
        if len(found) > SHOWN:
            wrong.append(f"{name}: and {len(found) - SHOWN} times more")
    return wrong
