"""A person whom an agent met, at the counter or on the telephone: who they are taken for, and what is said of them. Pure.

What an agent types in proves no more than what is typed into a form (docs/decisions/0010): an address or number is only claimed.
Whoever claims it already is the same person; whose it is, and who claims what stands beside it, may be.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.intake.domain import identity, records
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import CLAIM, Profile, proven
from services.intake.domain.records import Changes, Known
from shared.events.base import Channel, Draft
from shared.events.people import MergeSuggested


@dataclass(frozen=True, slots=True)
class Met:
    """What an agent was told. `claims` are the address and the number, the one first by which they are known. `seed`: what nobody
    can guess and nobody else has; new ids are made from it.
    """

    seed: str
    channel: Channel
    profile: Profile
    claims: tuple[Handle, ...]

    @property
    def looked_for(self) -> Collection[Handle]:
        """Under which handles somebody of interest may be known: a claim has its owner beside it."""
        return {*self.claims, *map(proven, self.claims)}


@dataclass(frozen=True, slots=True)
class Taken:
    """Who they are taken for, and whether nobody knew them; who else they may be."""

    customer_id: str
    made: bool
    perhaps: tuple[str, ...]


def take(met: Met, known: Known) -> tuple[Taken, Changes]:
    """Who it is, and what changes: of who claimed the same before blanks are filled, and nothing is written over. `known` is
    changed on the way.
    """
    changes = Changes()
    claimer = next((known.owners[handle] for handle in met.claims[:1] if handle in known.owners), None)
    if claimer is None:
        record = records.create(met.seed, met.channel, met.profile, known, changes)
    else:
        record = known.records[claimer]
    customer_id = record.customer_id
    perhaps = _perhaps(met.claims, customer_id, known)
    new = [handle for handle in met.claims if handle not in known.owners]
    records.add(new, "not", customer_id, met.seed, known, changes)
    records.write(identity.together(record.profile, [met.profile]), record, known, changes)
    changes.drafts += [
        Draft(key=customer_id, data=MergeSuggested(customer_id=one, evidence=CLAIM), cause=f"met:{met.seed}:{one}")
        for one in perhaps
    ]
    return Taken(customer_id, claimer is None, perhaps), changes


def _perhaps(claims: Sequence[Handle], customer_id: str, known: Known) -> tuple[str, ...]:
    """Who else claims it, and whose it is; of what they claimed before that was said then."""
    others = [
        known.owners[one]
        for handle in claims
        if known.owners.get(handle) != customer_id
        for one in (handle, proven(handle))
        if one in known.owners
    ]
    return tuple(one for one in dict.fromkeys(others) if one != customer_id)
