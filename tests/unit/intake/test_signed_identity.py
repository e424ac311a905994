"""Handles for which a connector vouches: whose they are from then on, who turns out to be whom, what records say against it."""

from __future__ import annotations

from services.intake.domain.contacts import Copy, Handle, InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.identity import SIGNED
from services.intake.domain.known import Known, KnownCustomer
from services.intake.domain.plan import NewCustomer, NewHandle, NewMessage, Plan, Suggestion
from services.intake.domain.tell import tell
from shared.events.people import CustomerHandleAdded, MergeSuggested

VISITOR = Handle("visitor", "v-1")
ANA = Handle("email", "ana@example.com")
PHONE = Handle("phone", "+40721123456")
CRM, OTHER_CRM = Handle("external_id", "crm-7"), Handle("external_id", "crm-8")


def chat(key: str, *also: Handle, handle: Handle = VISITOR) -> InboundMessage:
    return InboundMessage("generic", key, key, "chat", "web", handle, "Hello", vouched=also)


def handles_of(plan: Plan) -> list[tuple[str, Handle, bool]]:
    return [(step.customer_id, step.handle, step.vouched) for step in plan.steps if isinstance(step, NewHandle)]


def merges_of(plan: Plan) -> list[tuple[str, str, str]]:
    return [(s.customer_id, s.other_id, s.evidence) for s in plan.steps if isinstance(s, Suggestion)]


def writers_of(plan: Plan) -> list[str]:
    return [step.customer_id for step in plan.steps if isinstance(step, NewMessage)]


def test_what_nobody_had_is_the_writers_and_is_told_with_its_evidence() -> None:
    plan = decide([chat("1", ANA, CRM), chat("2", ANA, CRM)], Known())
    [new] = [step for step in plan.steps if isinstance(step, NewCustomer)]
    assert handles_of(plan) == [(new.customer_id, ANA, True), (new.customer_id, CRM, True)]
    assert merges_of(plan) == []
    told = [draft for draft in tell(plan) if isinstance(draft.data, CustomerHandleAdded)]
    evidence = [draft.data.verified_by for draft in told if isinstance(draft.data, CustomerHandleAdded)]
    assert evidence == ["wrote_from_it", "signed_identity", "signed_identity"]
    assert len({(draft.cause, draft.key) for draft in told}) == 3, "each is an event of its own"


def test_who_is_known_by_what_is_vouched_for_is_the_one_who_writes_and_their_new_handle_is_theirs() -> None:
    ana = KnownCustomer("c-ana", vip=True, origin="c-before")
    plan = decide([chat("1", PHONE, ANA), chat("2")], Known(customers={ANA: ana}))
    assert writers_of(plan) == ["c-ana", "c-ana"]
    assert handles_of(plan) == [("c-ana", VISITOR, False), ("c-ana", PHONE, True)]
    assert [step.person for step in plan.steps if isinstance(step, NewHandle | NewMessage)] == ["c-ana"] * 4
    assert merges_of(plan) == []


def test_who_was_two_is_merged_one_after_the_other_where_there_are_more() -> None:
    customers = {VISITOR: KnownCustomer("c-v"), ANA: KnownCustomer("c-ana"), PHONE: KnownCustomer("c-phone")}
    plan = decide([chat("1", ANA, PHONE, ANA)], Known(customers=customers))
    assert writers_of(plan) == ["c-v"]
    assert merges_of(plan) == [("c-v", "c-ana", SIGNED), ("c-ana", "c-phone", SIGNED)]
    told = [(draft.key, draft.data.customer_id) for draft in tell(plan) if isinstance(draft.data, MergeSuggested)]
    assert told == [("c-v", "c-ana"), ("c-ana", "c-phone")]


def test_who_is_one_already_is_not_suggested_again() -> None:
    customers = {VISITOR: KnownCustomer("c-1"), ANA: KnownCustomer("c-1")}
    plan = decide([chat("1", ANA)], Known(customers=customers))
    assert (handles_of(plan), merges_of(plan)) == ([], [])


def test_where_your_records_say_that_they_are_two_nobody_is_merged_and_no_id_is_added() -> None:
    customers = {VISITOR: KnownCustomer("c-v"), ANA: KnownCustomer("c-ana")}
    external = {"c-v": frozenset({"crm-7"}), "c-ana": frozenset({"crm-8"})}
    plan = decide([chat("1", ANA, Handle("external_id", "crm-9"))], Known(customers=customers, external=external))
    assert (handles_of(plan), merges_of(plan)) == ([], [])


def test_two_ids_of_your_records_are_no_one_person_also_within_a_group() -> None:
    plan = decide([chat("1", CRM), chat("2", OTHER_CRM)], Known())
    assert [handle for _, handle, _ in handles_of(plan)] == [CRM]


def test_an_id_that_writes_is_a_customer_of_its_own_where_what_is_vouched_for_has_another() -> None:
    known = Known(customers={ANA: KnownCustomer("c-ana")}, external={"c-ana": frozenset({"crm-8"})})
    plan = decide([chat("1", ANA, handle=CRM)], known)
    [new] = [step for step in plan.steps if isinstance(step, NewCustomer)]
    assert writers_of(plan) == [new.customer_id]


def test_nothing_changes_where_nobody_vouches() -> None:
    plan = decide([chat("1")], Known(customers={ANA: KnownCustomer("c-ana")}))
    assert (handles_of(plan), merges_of(plan)) == ([], [])


def test_a_copy_to_an_address_that_was_vouched_for_just_before_names_that_address() -> None:
    mail = InboundMessage("smtp", "m", "m", "email", "in", Handle("email", "bob@example.com"), "Hello", copies=(Copy(ANA),))
    plan = decide([chat("1", ANA), mail], Known())
    [added] = [step for step in plan.steps if isinstance(step, NewHandle)]
    assert [step.cc_handles for step in plan.steps if isinstance(step, NewMessage)] == [(), (added.handle_id,)]
