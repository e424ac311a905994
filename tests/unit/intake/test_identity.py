"""Who is who: what proves a handle, what a record comes to, which merges may be."""

import pytest
from msgspec.structs import replace

from services.intake.domain import identity
from services.intake.domain.authentication import NOT_TOLD, Authentication, Result
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.identity import CLAIM, CLAIMED, MergeRefused, Person, Profile, claimed, proven
from services.intake.domain.known import Known, KnownCustomer, KnownTicket, Named
from services.intake.domain.plan import NewCustomer, NewMessage, NewTicket, Suggestion
from shared.events.base import Channel
from shared.events.message import Origin

ANA = Handle("email", "ana@example.com")
PHONE = Handle("phone", "+40721123456")
OWN, FORGED = Authentication("mx", dmarc="pass", proven=True), Authentication("mx", dmarc="fail")


def letter(channel: Channel, handle: Handle, *tokens: str, language: str = "en") -> InboundMessage:
    return InboundMessage("test", f"{channel}{handle.key}", "h", channel, "in", handle, "hi", tokens=tokens, language=language)


@pytest.mark.parametrize(
    ("channel", "handle", "by"),
    [
        ("email", ANA, "wrote_from_it"),
        ("sms", PHONE, "wrote_from_it"),
        ("phone", PHONE, "wrote_from_it"),
        ("whatsapp", PHONE, "wrote_from_it"),
        ("telegram", Handle("provider_id", "77", "bot"), "wrote_from_it"),
        ("in_person", PHONE, "agent"),
        ("form", ANA, "not"),
        ("form", claimed(ANA), "not"),
        ("review", ANA, "not"),
        ("other", PHONE, "not"),
        ("chat", claimed(ANA), "not"),
    ],
)
def test_what_a_contact_proves_depends_on_its_channel(channel: Channel, handle: Handle, by: str) -> None:
    assert identity.evidence_of(channel, handle) == by


def test_only_addresses_and_numbers_are_claimed_and_a_claim_leads_back_to_them() -> None:
    assert claimed(ANA) == Handle("email", "ana@example.com", CLAIMED)
    assert proven(claimed(ANA)) == ANA
    assert claimed(Handle("provider_id", "7", "bot")) == Handle("provider_id", "7", "bot")


def test_the_record_that_stays_wins_blanks_are_filled_and_a_refusal_is_kept() -> None:
    own = Profile(name="Ana", plan="gold", consents={"sms": True, "survey": True}, fields={"size": "M"})
    other = Profile(
        name="A. Pop", vip=True, plan="silver", tier="t1", zone="Europe/Bucharest", consents={"sms": False, "mail": True}
    )
    whole = identity.together(own, [other])
    assert (whole.name, whole.vip, whole.plan, whole.tier, whole.zone) == ("Ana", True, "gold", "t1", "Europe/Bucharest")
    assert whole.consents == {"sms": False, "survey": True, "mail": True}
    assert whole.fields == {"size": "M"}


def test_what_is_said_of_a_change_read_back_gives_the_same_record() -> None:
    before = Profile(name="Ana", vip=True, plan="gold", zone="UTC", consents={"sms": True, "mail": True})
    after = Profile(name="Ana P", vip=False, tier="t2", consents={"sms": False}, fields={"a": "b"})
    fact = identity.changed(before, after)
    assert fact is not None
    assert fact.cleared == ("plan", "zone", "consents.mail")
    assert identity.told(before, fact, after.name, after.fields) == after
    assert identity.changed(after, after) is None


@pytest.mark.parametrize(
    ("one", "into", "code"),
    [
        (Person("a"), Person("a"), "same-customer"),
        (Person("a", erased=True), Person("b"), "customer-erased"),
        (Person("a", merged_into="c"), Person("b"), "already-merged"),
        (Person("a"), Person("b", merged_into="a"), "already-merged"),
        (Person("a", external_ids=frozenset({"1"})), Person("b", external_ids=frozenset({"2"})), "external-ids-differ"),
    ],
)
def test_two_who_may_not_be_merged_are_refused(one: Person, into: Person, code: str) -> None:
    with pytest.raises(MergeRefused) as refused:
        identity.check_merge(one, into)
    assert refused.value.code == code


def test_one_with_an_external_id_and_one_without_may_be_merged() -> None:
    identity.check_merge(Person("a", external_ids=frozenset({"1"})), Person("b"))
    identity.check_merge(Person("a", external_ids=frozenset({"1"})), Person("b", external_ids=frozenset({"1"})))


def test_a_claim_on_a_known_address_is_another_customer_and_suggested_once() -> None:
    known = Known(customers={ANA: KnownCustomer("c-ana", vip=True, plan="gold")})
    plan = decide([letter("form", claimed(ANA)), letter("form", claimed(ANA))], known)
    [new] = [step for step in plan.steps if isinstance(step, NewCustomer)]
    [said] = [step for step in plan.steps if isinstance(step, Suggestion)]
    assert new.customer.customer_id != "c-ana"
    assert not new.customer.vip
    assert (said.customer_id, said.other_id, said.evidence) == (new.customer.customer_id, "c-ana", CLAIM)


def answered(writer: Handle, *tokens: str, origin: Origin = "human", authentication: Authentication = NOT_TOLD) -> list[str]:
    tickets = {"t1": KnownTicket("t1", 1, "claimer"), "t2": KnownTicket("t2", 2, "stranger")}
    customers = {claimed(ANA): KnownCustomer("claimer"), ANA: KnownCustomer("c-ana")}
    answer = replace(letter("email", writer, *tokens), origin=origin, authentication=authentication, numbers=(1,))
    known = Known(customers=customers, tickets=tickets, named={1: Named("t1", "claimer")})
    plan = decide([answer], known)
    [message] = [step for step in plan.steps if isinstance(step, NewMessage)]
    said = [step.evidence for step in plan.steps if isinstance(step, Suggestion)]
    assert message.participant == bool(said) or message.opened
    return said


def test_an_answer_from_the_address_to_what_went_only_there_proves_the_claim() -> None:
    assert answered(ANA, "t1") == answered(ANA, "t1", authentication=OWN) == [identity.ANSWERED]


@pytest.mark.parametrize(("writer", "tokens"), [(ANA, ()), (ANA, ("t2",)), (Handle("email", "bob@example.com"), ("t1",))])
def test_no_other_answer_proves_it(writer: Handle, tokens: tuple[str, ...]) -> None:
    assert answered(writer, *tokens) == []


@pytest.mark.parametrize("origin", ["auto_reply", "out_of_office", "bulk", "bot"])
def test_a_machine_that_answers_from_the_address_proves_nothing(origin: Origin) -> None:
    assert answered(ANA, "t1", origin=origin) == []


def test_an_answer_that_was_found_not_to_be_from_the_address_proves_nothing() -> None:
    assert answered(ANA, "t1", authentication=FORGED) == []


@pytest.mark.parametrize(
    ("authentication", "handle", "shown"),
    [
        (NOT_TOLD, ANA, ANA),
        (OWN, ANA, ANA),
        (FORGED, ANA, claimed(ANA)),
        (FORGED, claimed(ANA), claimed(ANA)),
        (FORGED, Handle("provider_id", "7", "bot"), Handle("provider_id", "7", "bot")),
        (FORGED, None, None),
    ],
)
def test_mail_that_is_not_its_senders_only_claims_the_address(
    authentication: Authentication, handle: Handle | None, shown: Handle | None
) -> None:
    mail = replace(letter("email", ANA), handle=handle, authentication=authentication)
    assert identity.as_shown(mail) == replace(mail, handle=shown)


@pytest.mark.parametrize(
    ("spf", "dkim", "dmarc", "proven", "refuted"),
    [
        ("none", "none", "none", False, False),
        ("pass", "pass", "pass", True, False),
        ("pass", "pass", "fail", False, True),  # of a domain of the sender's own, not of the one that it names
        ("fail", "fail", "fail", False, True),
        ("fail", "none", "none", False, True),
        ("none", "fail", "none", False, True),
        ("fail", "pass", "none", True, False),  # passed on by a server of the recipient's
        ("pass", "fail", "none", False, False),  # changed by a list
        ("fail", "fail", "pass", True, False),
    ],
)
def test_dmarc_decides_whose_a_mail_is_and_without_it_a_failure_that_nothing_makes_good(
    spf: Result, dkim: Result, dmarc: Result, proven: bool, refuted: bool
) -> None:
    assert identity.is_refuted(Authentication("mx", spf, dkim, dmarc, proven=proven)) == refuted


def test_who_writes_in_the_name_of_a_customer_is_somebody_else_without_their_plan_and_suggested() -> None:
    known = Known(customers={ANA: KnownCustomer("c-ana", vip=True, plan="gold")})
    plan = decide([identity.as_shown(replace(letter("email", ANA), authentication=FORGED))], known)
    [opened] = [step for step in plan.steps if isinstance(step, NewTicket)]
    assert (opened.customer.vip, opened.customer.plan) == (False, None)
    [said] = [step for step in plan.steps if isinstance(step, Suggestion)]
    assert (said.customer_id, said.other_id, said.evidence) == (opened.customer.customer_id, "c-ana", CLAIM)


def test_a_text_too_short_to_tell_its_language_is_in_the_language_of_its_customer() -> None:
    known = Known(customers={ANA: KnownCustomer("c-ana", language="ro")})
    plan = decide([letter("email", ANA, language="und")], known)
    assert [step.contact.language for step in plan.steps if isinstance(step, NewMessage)] == ["ro"]
