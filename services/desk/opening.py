"""What is sealed in a fact, opened where people are to read it or words are to be found in it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from services.desk.domain.customers import Box
from shared.events.base import Fact, PersonalFact, Sealed
from shared.events.people import CustomerPersonal
from shared.events.topics import FACT_BY_TYPE
from shared.personal import Erased, KeyRing
from shared.telemetry import log


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in a box: `content`, or that its person was erased, or that it cannot be read."""

    content: msgspec.Struct | None = None
    erased: bool = False
    unreadable: bool = False


NOTHING = Opened()
GONE = Opened(erased=True)


def open_fact(keys: KeyRing, fact_type: str, event_id: str, person: str | None, box: str | None) -> Opened:
    """The box of a fact, None where it had none; the person's key was loaded. One without a person was scrubbed."""
    shape = shape_of(fact_type)
    if shape is None or box is None:
        return NOTHING
    if person is None:
        return GONE
    return _open(keys, Sealed(customer_id=person, box=box), shape, event_id)


def open_box(keys: KeyRing, box: Box) -> CustomerPersonal | None:
    """A box of a customer's record; None where it cannot be opened any more."""
    opened = _open(keys, box.sealed, CustomerPersonal, box.event_id)
    return opened.content if isinstance(opened.content, CustomerPersonal) else None


def shape_of(fact_type: str) -> type[msgspec.Struct] | None:
    """What is in the box of a fact of this type; None where it has none."""
    fact: type[Fact] | None = FACT_BY_TYPE.get(fact_type)
    return fact.PERSONAL if fact is not None and issubclass(fact, PersonalFact) else None


def _open(keys: KeyRing, sealed: Sealed, shape: type[msgspec.Struct], event_id: str) -> Opened:
    try:
        content = keys.open(sealed, shape, event_id)
    except ValueError:
        log().error("sealed data cannot be opened", event_id=event_id)
        return Opened(unreadable=True)
    return GONE if isinstance(content, Erased) else Opened(content)
