"""Somebody whom an agent met: what they give is claimed, and who they are taken for follows from that alone."""

from __future__ import annotations

from services.intake.domain.by_hand import Met, Taken, take
from services.intake.domain.contacts import Handle
from services.intake.domain.identity import Profile, claimed
from services.intake.domain.records import Changes, Known, Record
from shared.events.people import CustomerCreated, CustomerHandleAdded, CustomerProfileChanged, MergeSuggested

MAIL, PHONE = Handle("email", "ana@example.com"), Handle("phone", "+40721234567")


def met(*claims: Handle, **profile: object) -> Met:
    return Met("new", "in_person", Profile(**{"name": "Ana", **profile}), tuple(map(claimed, claims)))  # type: ignore[arg-type]


def known(**owners: tuple[Handle, Profile]) -> Known:
    return Known(
        owners={handle: customer_id for customer_id, (handle, _) in owners.items()},
        records={customer_id: Record(customer_id, 1, profile) for customer_id, (_, profile) in owners.items()},
        families={customer_id: {customer_id: profile} for customer_id, (_, profile) in owners.items()},
    )


def suggested(changes: Changes) -> list[tuple[str, str]]:
    return [(draft.key, draft.data.customer_id) for draft in changes.drafts if isinstance(draft.data, MergeSuggested)]


def test_who_is_new_is_made_with_claims_that_nothing_proves() -> None:
    taken, changes = take(met(MAIL, PHONE, language="ro"), known())
    assert taken == Taken("new", made=True, perhaps=())
    assert changes.created == {"new": "ro"}
    assert {(owned.handle, owned.verified_by) for owned in changes.handles} == {(claimed(MAIL), "not"), (claimed(PHONE), "not")}
    assert [type(draft.data) for draft in changes.drafts] == [
        CustomerCreated,
        CustomerHandleAdded,
        CustomerHandleAdded,
        CustomerProfileChanged,
    ]
    assert len({draft.cause for draft in changes.drafts}) == len(changes.drafts), "each fact has a cause of its own"


def test_nobody_becomes_the_owner_of_an_address_by_giving_it_and_the_two_are_suggested_to_be_one() -> None:
    taken, changes = take(met(MAIL, PHONE), known(owner=(MAIL, Profile(name="Ana Pop", vip=True)), other=(PHONE, Profile())))
    assert taken == Taken("new", made=True, perhaps=("owner", "other"))
    assert suggested(changes) == [("new", "owner"), ("new", "other")]
    assert changes.written["new"].whole.vip is None
    assert "owner" not in changes.written


def test_who_claimed_it_before_is_the_same_and_only_what_nobody_knew_is_added() -> None:
    stands = known(claimer=(claimed(MAIL), Profile(name="A. Pop", plan="gold")))
    taken, changes = take(met(MAIL, PHONE, language="he", fields={"phone": "+40 721 234 567"}), stands)
    assert taken == Taken("claimer", made=False, perhaps=())
    assert changes.created == {}
    assert [(owned.handle, owned.customer_id) for owned in changes.handles] == [(claimed(PHONE), "claimer")]
    own = changes.written["claimer"].own
    assert (own.name, own.plan, own.language, own.fields) == ("A. Pop", "gold", "he", {"phone": "+40 721 234 567"})
    again, more = take(met(MAIL, PHONE, language="he", fields={"phone": "+40 721 234 567"}), stands)
    assert (again, more) == (taken, Changes())


def test_a_number_that_somebody_else_claims_is_left_to_them() -> None:
    taken, changes = take(met(MAIL, PHONE), known(claimer=(claimed(PHONE), Profile()), owner=(PHONE, Profile())))
    assert taken == Taken("new", made=True, perhaps=("claimer", "owner"))
    assert [owned.handle for owned in changes.handles] == [claimed(MAIL)]


def test_a_name_alone_is_somebody_new_each_time() -> None:
    taken, changes = take(met(), known())
    assert (taken.made, changes.handles) == (True, [])
