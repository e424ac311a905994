"""A customer's record as its card shows it: what the log says of them, with what is personal still sealed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime

import msgspec

from shared.events.base import Channel, Event, Fact, PersonalFact, Sealed
from shared.events.people import (
    CustomerCreated,
    CustomerErased,
    CustomerHandleAdded,
    CustomerHandleRemoved,
    CustomerJoined,
    CustomerLeft,
    CustomerMergedInto,
    CustomerProfileChanged,
    CustomerRenewed,
    CustomerUnmerged,
    MergeSuggested,
    OrderRecorded,
)

NAMES_KEPT = 3  # boxes in which a name was said: the last says it, where it does
_CLEARED: dict[str, object] = {"vip": False, "plan": "", "tier": "", "language": None, "zone": None}


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """What is personal in a fact, as it was sealed for the event named."""

    event_id: str
    sealed: Sealed


class Handle(msgspec.Struct, frozen=True, kw_only=True):
    """A way to reach the customer; which one, only the box knows."""

    kind: str
    verified_by: str
    box: Box | None = None


class Suggested(msgspec.Struct, frozen=True, kw_only=True):
    """Another customer who may be the same person."""

    customer_id: str
    evidence: str
    at: datetime


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one customer id. `names`: the boxes in which a name was said, the newest last. Of `plan` and `tier` None
    says that nothing was told, and an empty one that there is none.
    """

    id: str
    created_at: datetime | None = None
    channel: Channel | None = None
    language: str | None = None
    vip: bool | None = None
    plan: str | None = None
    tier: str | None = None
    zone: str | None = None
    consents: dict[str, bool] = {}
    names: tuple[Box, ...] = ()
    handles: dict[str, Handle] = {}
    joined_on: date | None = None
    renewed_on: date | None = None
    paid_until: date | None = None
    left_on: date | None = None
    merged_into: str | None = None
    suggested: tuple[Suggested, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomerCase:
    """A record, and what this batch told besides: orders, ids that were erased, and whether their tickets are found by other
    words now (`renamed`) or are entitled to something else (`entitled`).
    """

    record: Record
    orders: tuple[tuple[datetime, OrderRecorded], ...] = ()
    erased: tuple[str, ...] = ()
    renamed: bool = False
    entitled: bool = False


def heard(case: CustomerCase, event: Event[Fact]) -> CustomerCase:
    """The customer after one more fact."""
    match event.data:
        case OrderRecorded() as order:
            return replace(case, orders=(*case.orders, (event.time, order)))
        case CustomerErased(customer_ids=ids):
            return replace(
                case, record=Record(id=case.record.id, merged_into=case.record.merged_into), erased=(*case.erased, *ids)
            )
        case CustomerProfileChanged() as fact:
            said = fact.vip is not None or fact.plan is not None or fact.tier is not None or bool(fact.cleared)
            return replace(case, record=_changed(case.record, fact, event), renamed=True, entitled=case.entitled or said)
        case CustomerCreated() | CustomerHandleAdded() | CustomerHandleRemoved():
            return replace(case, record=_told(case.record, event), renamed=True)
        case _:
            return replace(case, record=_told(case.record, event))


def _told(record: Record, event: Event[Fact]) -> Record:
    return msgspec.structs.replace(record, **_besides(record, event))


def _besides(record: Record, event: Event[Fact]) -> dict[str, object]:
    """What a fact says of the record, by the names of its fields."""
    fact = event.data
    match fact:
        case CustomerCreated():
            language = None if fact.language == "und" else fact.language
            return {"created_at": event.time, "channel": fact.channel, "language": language, "names": _names(record, event)}
        case CustomerHandleAdded():
            handle = Handle(kind=fact.kind, verified_by=fact.verified_by, box=_box(event))
            return {"handles": {**record.handles, fact.handle_id: handle}}
        case CustomerHandleRemoved():
            return {"handles": {name: one for name, one in record.handles.items() if name != fact.handle_id}}
        case CustomerJoined() | CustomerRenewed() | CustomerLeft():
            return _paying(fact)
        case CustomerMergedInto():
            return {"merged_into": fact.into_customer_id}
        case CustomerUnmerged():
            return {"merged_into": None if record.merged_into == fact.customer_id else record.merged_into}
        case MergeSuggested():
            others = [one for one in record.suggested if one.customer_id != fact.customer_id]
            return {"suggested": (*others, Suggested(customer_id=fact.customer_id, evidence=fact.evidence, at=event.time))}
        case _:
            return {}


def _paying(fact: CustomerJoined | CustomerRenewed | CustomerLeft) -> dict[str, object]:
    match fact:
        case CustomerJoined():
            return {"joined_on": fact.on, "left_on": None}
        case CustomerRenewed():
            return {"renewed_on": fact.on, "paid_until": fact.until}
        case CustomerLeft():
            return {"left_on": fact.on}


def _changed(record: Record, fact: CustomerProfileChanged, event: Event[Fact]) -> Record:
    """What is None did not change; what is cleared is not set now."""
    gone = {name.removeprefix("consents.") for name in fact.cleared if name.startswith("consents.")}
    told = {"vip": fact.vip, "plan": fact.plan, "tier": fact.tier, "language": fact.language, "zone": fact.zone}
    changes = {name: _CLEARED[name] for name in told if name in fact.cleared}
    changes |= {name: value for name, value in told.items() if value is not None}
    consents = {name: given for name, given in {**record.consents, **fact.consents}.items() if name not in gone}
    return msgspec.structs.replace(record, **changes, consents=consents, names=_names(record, event))


def _names(record: Record, event: Event[Fact]) -> tuple[Box, ...]:
    box = _box(event)
    return (*record.names, box)[-NAMES_KEPT:] if box is not None else record.names


def _box(event: Event[Fact]) -> Box | None:
    sealed = event.data.personal if isinstance(event.data, PersonalFact) else None
    return Box(event_id=event.id, sealed=sealed) if sealed is not None else None
