"""Who is who: what proves that a handle is somebody's, what a customer's record comes to, which merges may be. Pure."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from services.intake.domain.authentication import Authentication
from services.intake.domain.contacts import Contact, Handle, InboundMessage
from shared.events.base import Channel
from shared.events.people import CustomerProfileChanged

VerifiedBy = Literal["wrote_from_it", "signed_identity", "one_time_code", "agent", "import", "not"]
# Whoever types an address into a form has shown nothing. What is only claimed is found under this scope, beside the real one.
CLAIMED = "claimed"
TYPED: frozenset[Channel] = frozenset({"form", "other", "review"})


# Evidence: somebody typed an address of another customer, or mail came as from it that was not its own; an answer came from the
# address to what was sent only there; a connector vouches for both; a number that had been silent writes under another name.
CLAIM = "claimed_address"
ANSWERED = "answered_from_it"
SIGNED: VerifiedBy = "signed_identity"
RECYCLED = "recycled_number"


class MergeRefused(ValueError):
    """These two cannot be merged or parted; `code` is stable, the message says why."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was said about a customer, under one id. None is "nothing said"."""

    name: str = ""
    vip: bool | None = None
    plan: str | None = None
    tier: str | None = None
    language: str | None = None
    zone: str | None = None
    consents: dict[str, bool] = {}
    fields: dict[str, str] = {}


class Person(msgspec.Struct, frozen=True):
    """A customer as far as merging wants to know. `external_ids` are those of the whole merge set."""

    customer_id: str
    merged_into: str | None = None
    erased: bool = False
    external_ids: frozenset[str] = frozenset()


def claimed(handle: Handle) -> Handle:
    """The handle as somebody has only claimed it. Ids that a provider gives cannot be claimed."""
    return replace(handle, scope=CLAIMED) if handle.kind in ("email", "phone") and not handle.scope else handle


def proven(handle: Handle) -> Handle:
    """The handle as it is when its owner wrote from it."""
    return replace(handle, scope="") if handle.scope == CLAIMED else handle


def as_shown(contact: Contact) -> Contact:
    """The contact with its handle as far as it shows that it is the sender's: mail that servers before us found not to be its
    sender's claims an address.
    """
    if not isinstance(contact, InboundMessage) or contact.handle is None or not is_refuted(contact.authentication):
        return contact
    return replace(contact, handle=claimed(contact.handle))


def is_refuted(told: Authentication) -> bool:
    """Whether a mail was found not to be of the address that it names. DMARC decides; where nobody asked it, a failure does that
    nothing else makes good: a mail that was passed on fails SPF, and one that a list has changed fails DKIM. Whom a list names is
    not proven by the list's own good name: else whoever has a domain could write as anybody.
    """
    if told.of_another:
        return told.by != ""
    if told.dmarc != "none":
        return told.dmarc == "fail"
    return "fail" in (told.spf, told.dkim) and "pass" not in (told.spf, told.dkim)


def name_hash(name: str) -> int | None:
    """What tells whether somebody calls themselves otherwise than before; None for no name. It fits a bigint."""
    words = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big", signed=True) if words else None


def evidence_of(channel: Channel, handle: Handle) -> VerifiedBy:
    """What a contact on this channel proves about the handle it came with."""
    if handle.scope == CLAIMED or channel in TYPED:
        return "not"
    return "agent" if channel == "in_person" else "wrote_from_it"


def together(own: Profile, others: Sequence[Profile]) -> Profile:
    """One person's profile: what was said under the id that stays, blanks filled from the others in their order.

    A consent that was refused under any id is refused; a VIP under any id is one.
    """
    one = own
    for other in others:
        consents = {**other.consents, **one.consents}
        refused = {name: False for name, given in other.consents.items() if not given}
        one = Profile(
            name=one.name or other.name,
            vip=(one.vip or other.vip) if one.vip or other.vip else one.vip if one.vip is not None else other.vip,
            plan=one.plan if one.plan is not None else other.plan,
            tier=one.tier if one.tier is not None else other.tier,
            language=one.language or other.language,
            zone=one.zone or other.zone,
            consents={**consents, **refused},
            fields={**other.fields, **one.fields},
        )
    return one


def changed(before: Profile, after: Profile) -> CustomerProfileChanged | None:
    """What to say when a profile became another; None when nothing of it did."""
    if before == after:
        return None
    optional = ("plan", "tier", "zone", "language")
    cleared = tuple(name for name in optional if getattr(before, name) is not None and getattr(after, name) is None)
    withdrawn = tuple(f"consents.{name}" for name in sorted(before.consents.keys() - after.consents.keys()))
    vip = bool(after.vip) if after.vip is not None or before.vip is not None else None
    return CustomerProfileChanged(
        vip=vip,
        plan=after.plan,
        tier=after.tier,
        language=after.language,
        zone=after.zone,
        consents=after.consents,
        cleared=cleared + withdrawn,
    )


def told(before: Profile, fact: CustomerProfileChanged, name: str, fields: Mapping[str, str]) -> Profile:
    """The profile after a fact that was read back from the log; its personal part is given beside it."""
    values = {field: getattr(fact, field) for field in ("vip", "plan", "tier", "language", "zone")}
    said = {field: value for field, value in values.items() if value is not None}
    cleared: dict[str, None] = {field: None for field in fact.cleared if field in values}
    gone = {field.removeprefix("consents.") for field in fact.cleared if field.startswith("consents.")}
    consents = {name: given for name, given in {**before.consents, **fact.consents}.items() if name not in gone}
    return replace(before, **said, **cleared, name=name, fields=dict(fields), consents=consents)


def check_merge(one: Person, into: Person) -> None:
    """Whether `one` may become `into`. Raises MergeRefused."""
    if one.customer_id == into.customer_id:
        raise MergeRefused("same-customer", "These are one customer already.")
    if one.erased or into.erased:
        raise MergeRefused("customer-erased", "An erased customer cannot be merged.")
    if one.merged_into is not None:
        raise MergeRefused("already-merged", "This customer was merged before; merge the one it went on as.")
    if into.merged_into is not None:
        raise MergeRefused("already-merged", "The other customer was merged before; merge into the one it went on as.")
    if one.external_ids and into.external_ids and one.external_ids != into.external_ids:
        raise MergeRefused("external-ids-differ", "Both have an external id, and not the same: your records say they are two.")


def check_unmerge(one: Person, into: Person | None) -> None:
    """Whether the merge of `one` can be undone. Raises MergeRefused."""
    if one.merged_into is None or into is None:
        raise MergeRefused("not-merged", "This customer was not merged.")
    if one.erased or into.erased:
        raise MergeRefused("customer-erased", "An erased customer cannot be parted.")
