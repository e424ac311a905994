"""Customers' records as somebody else keeps them, written over what stands here: a list at once, one after the other. Pure.

A record of the list sees what those before it brought about. What is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from services.intake.domain import identity
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import Profile, VerifiedBy
from shared.events.base import Channel, Draft, Fact, derived_id
from shared.events.people import CustomerCreated, CustomerHandleAdded, CustomerPersonal

_NOTHING_SAID = Profile()


@dataclass(frozen=True, slots=True)
class Put:
    """A record to write: of whom (by a handle, which makes who is not known yet; else by id), by which handles they are reached
    too. `seed`: what nobody can guess and no other put has; new ids are made from it.
    """

    seed: str
    named: Handle | str
    handles: frozenset[Handle]
    profile: Profile

    @property
    def all_handles(self) -> frozenset[Handle]:
        """Those given, and the one that names them."""
        return self.handles | {self.named} if isinstance(self.named, Handle) else self.handles


@dataclass(frozen=True, slots=True)
class Record:
    """A customer's record: what was said under this id, how often it was changed, and as whom they go on."""

    customer_id: str
    version: int = 0
    profile: Profile = _NOTHING_SAID
    erased: bool = False
    merged_into: str | None = None


class OwnedHandle(NamedTuple):
    """A handle with its id and what proved it."""

    handle_id: str
    handle: Handle
    verified_by: str
    customer_id: str


class Written(NamedTuple):
    """A customer's record to write: what was said under this id, and what it comes to together with all merged ids."""

    customer_id: str
    version: int
    own: Profile
    whole: Profile


class PutRefused(ValueError):
    """A record that cannot be written; `code` is stable. `owner`: whose the handle is."""

    def __init__(self, code: str, why: str, owner: str | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.owner = owner


@dataclass(slots=True)
class Known:
    """What stands here: whose the handles are, under which id somebody goes on, their records, and the profiles of each with
    all that was merged into them, by id. `put` adds what it decides.
    """

    owners: dict[Handle, str] = field(default_factory=dict)
    onward: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    families: dict[str, dict[str, Profile]] = field(default_factory=dict)

    def of(self, put: Put) -> Record | None:
        """The record as it is before the put; None where there is none."""
        name = put.named
        customer_id = self.owners.get(name) if isinstance(name, Handle) else self.onward.get(name, name)
        return self.records.get(customer_id) if customer_id is not None else None


@dataclass(slots=True)
class Changes:
    """What is to be written and said. `created`: new customers' languages."""

    created: dict[str, str] = field(default_factory=dict)
    handles: list[OwnedHandle] = field(default_factory=list)
    written: dict[str, Written] = field(default_factory=dict)
    drafts: list[Draft[Fact]] = field(default_factory=list)


def put_all(puts: Sequence[Put], known: Known) -> tuple[list[str | PutRefused], Changes]:
    """The customer of each, or why it was refused; and what changes. `known` is changed on the way."""
    changes = Changes()
    results: list[str | PutRefused] = []
    for one in puts:
        try:
            results.append(_put(one, known, changes))
        except PutRefused as refused:
            results.append(refused)
    return results, changes


def _put(put: Put, known: Known, changes: Changes) -> str:
    record = known.of(put)
    if record is None and not isinstance(put.named, Handle):
        raise PutRefused("unknown-customer", "There is no such customer.")
    if record is not None and record.erased:
        raise PutRefused("customer-erased", "This customer was erased.")
    customer_id = record.customer_id if record is not None else put.seed
    handles = put.all_handles
    others = sorted({known.owners[handle] for handle in handles if known.owners.get(handle, customer_id) != customer_id})
    if others:
        raise PutRefused(
            "handle-taken", "A handle belongs to another customer. If they are one person, merge them.", owner=others[0]
        )
    if record is None:
        record = create(put.seed, "other", put.profile, known, changes)
    add([handle for handle in handles if handle not in known.owners], "import", record.customer_id, put.seed, known, changes)
    write(put.profile, record, known, changes)
    return record.customer_id


def create(seed: str, channel: Channel, profile: Profile, known: Known, changes: Changes) -> Record:
    """A new customer, whose id is the seed. Their record is still to be written."""
    record = Record(seed)
    language = profile.language or "und"
    known.records[seed] = record
    known.families[seed] = {seed: record.profile}
    changes.created[seed] = language
    changes.drafts.append(
        Draft(
            key=seed,
            data=CustomerCreated(channel=channel, language=language),
            cause=f"made:{seed}",
            person=seed,
            personal=CustomerPersonal(name=profile.name),
        )
    )
    return record


def add(new: Sequence[Handle], verified_by: VerifiedBy, customer_id: str, seed: str, known: Known, changes: Changes) -> None:
    """More ways to reach a customer, which nobody has, and what shows that they are theirs."""
    for n, handle in enumerate(sorted(new, key=lambda one: one.key)):
        owned = OwnedHandle(derived_id("handle", seed, str(n)), handle, verified_by, customer_id)
        known.owners[handle] = customer_id
        changes.handles.append(owned)
        changes.drafts.append(
            Draft(
                key=customer_id,
                data=CustomerHandleAdded(handle_id=owned.handle_id, kind=handle.kind, verified_by=verified_by),
                cause=f"handle:{owned.handle_id}",
                person=customer_id,
                personal=CustomerPersonal(handles=(handle.value,), handle_scope=handle.scope),
            )
        )


def write(own: Profile, record: Record, known: Known, changes: Changes) -> None:
    """What is said of a customer under this id from now on, where that is news."""
    if own == record.profile and record.version:
        return
    customer_id, family = record.customer_id, known.families[record.customer_id]
    before = together(customer_id, family)
    family[customer_id] = own
    after = together(customer_id, family)
    version = record.version + 1
    known.records[customer_id] = Record(customer_id, version, own)
    changes.written[customer_id] = Written(customer_id, version, own, after)
    if before != after or (own.name, own.fields) != (record.profile.name, record.profile.fields):
        changes.drafts.append(profile_draft(customer_id, before, after, own, f"profile:{customer_id}:{version}"))


def together(customer_id: str, family: Mapping[str, Profile]) -> Profile:
    """What was said of a customer under all ids."""
    return identity.together(family[customer_id], [profile for member, profile in family.items() if member != customer_id])


def profile_draft(customer_id: str, before: Profile, after: Profile, own: Profile, cause: str) -> Draft[Fact]:
    """What is said when a record became another. Name and fields are sealed as they were said of this id (`own`): those of an id
    that was merged into it stand under that one.
    """
    fact = identity.changed(before, after) or identity.changed(Profile(), after)
    assert fact is not None
    personal = CustomerPersonal(name=own.name, fields=own.fields)
    return Draft(key=customer_id, data=fact, cause=cause, person=customer_id, personal=personal)
