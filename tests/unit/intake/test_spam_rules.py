"""Our own rules about spam: which of them speaks of a message, who may let one through, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from services.intake.domain.authentication import Authentication
from services.intake.domain.contacts import VIRUS, Contact, DeliveryWord, Handle, InboundMessage, SpamVerdict
from services.intake.domain.identity import CLAIMED
from services.intake.domain.spam import SpamPart, SpamRule, SpamRules, UnusableValue, Verdict, comparable, is_authenticated
from shared.events.base import Channel

PROVEN = Authentication("mx", dmarc="pass", proven=True)
SCORE = SpamVerdict("provider", 9100)


def mail(
    sender: str = "ana@shop.customers.example", subject: str = "", text: str = "", *, proven: bool = False, **more: object
) -> InboundMessage:
    message = InboundMessage(
        provider="smtp",
        dedup_key="1",
        content_hash="",
        channel="email",
        inbox="support",
        handle=Handle("email", sender),
        text=text,
        subject=subject,
        authentication=PROVEN if proven else Authentication(),
    )
    return replace(message, **more)


def sms(number: str = "+40721234567", channel: Channel = "sms") -> InboundMessage:
    return mail(handle=Handle("phone", number), channel=channel)


def rule(name: str, part: SpamPart, *values: str, verdict: Verdict = "block", inboxes: tuple[str, ...] = ()) -> SpamRule:
    return SpamRule(name, verdict, part, tuple(comparable(part, value) for value in values), inboxes)


@pytest.mark.parametrize(
    ("part", "value", "message", "blocked"),
    [
        ("address", "Ana@Shop.Customers.example", mail(), True),
        ("address", "ana+x@shop.customers.example", mail(), False),
        ("address", "an@shop.customers.example", mail(), False),
        ("domain", "shop.customers.example", mail(), True),
        ("domain", "@Customers.Example.", mail(), True),
        ("domain", "example", mail(), True),
        ("domain", "tomers.example", mail(), False),
        ("domain", "a.shop.customers.example", mail(), False),
        ("domain", "münchen.example", mail("x@xn--mnchen-3ya.example"), True),
        ("number", "+40 721 234 567", sms(), True),
        ("number", "+40721234567", sms(channel="whatsapp"), True),
        ("number", "+40721234568", sms(), False),
        ("number", "+55 11 98765-4321", sms("+551187654321", "whatsapp"), True),
        ("number", "+55 11 8765-4321", sms("+5511987654321"), True),
        ("subject", "Cheap pills", mail(subject="Buy CHEAP, pills now"), True),
        ("subject", "cheap pills", mail(subject="cheap and pills"), False),
        ("subject", "cheap", mail(text="cheap"), False),
        ("subject", "rambursare", mail(subject="rambursările"), False),
        ("text", "câștigător", mail(text="Sunteți CASTIGATOR!"), True),
        ("text", "זכית בפרס", mail(text="שלום, זכית בפרס גדול"), True),
        ("text", "ربحت جائزة", mail(text="لقد ربحت جائزة"), True),
        ("text", "pill", mail(text="pills"), False),
        ("text", "bitcoin", mail(subject="bitcoin"), False),
        ("text", "bitcoin", sms(), False),
    ],
)
def test_a_rule_speaks_of_what_it_names_and_of_nothing_else(
    part: SpamPart, value: str, message: InboundMessage, blocked: bool
) -> None:
    judged = SpamRules.of([rule("r1", part, value)]).judge(message)
    assert judged.spam == (SpamVerdict("rule", rule_id="r1", apart=True) if blocked else None)


@pytest.mark.parametrize(
    ("message", "allowed"),
    [
        (mail(proven=True), True),
        (mail(proven=True, spam=SCORE), True),
        (mail(proven=True, spam=SpamVerdict("provider", rule_id="dmarc")), True),
        (mail(proven=True, spam=SpamVerdict("provider", rule_id=VIRUS, apart=True)), False),
        (mail(), False),
        (mail(spam=SCORE), False),
        (mail(proven=True, handle=Handle("email", "ana@shop.customers.example", CLAIMED)), False),
        (mail(proven=True, channel="form"), False),
    ],
)
def test_who_is_allowed_comes_through_only_as_who_they_are(message: InboundMessage, allowed: bool) -> None:
    rules = SpamRules.of([rule("a", "domain", "customers.example", verdict="allow"), rule("b", "text", "pills")])
    judged = rules.judge(replace(message, text="pills"))
    assert (judged.spam is None) == allowed
    assert allowed or judged.spam == SpamVerdict("rule", rule_id="b", apart=True)


def test_a_number_is_the_providers_word_and_may_be_allowed() -> None:
    rules = SpamRules.of([rule("a", "number", "+40721234567", verdict="allow"), rule("b", "number", "+40721234567")])
    assert rules.judge(sms()).spam is None
    assert is_authenticated(sms())
    assert not is_authenticated(mail(handle=None))


def test_the_verdict_names_the_first_rule_and_a_score_stands_where_no_rule_speaks() -> None:
    rules = SpamRules.of([rule("z", "domain", "example"), rule("b", "address", "ana@shop.customers.example")])
    assert rules.judge(mail(spam=SCORE)).spam == SpamVerdict("rule", rule_id="b", apart=True)
    assert rules.judge(mail("x@elsewhere.test", spam=SCORE)).spam == SCORE


def test_a_rule_holds_for_its_inboxes() -> None:
    rules = SpamRules.of([rule("r", "domain", "customers.example", inboxes=("sales",))])
    assert rules.judge(mail()).spam is None
    assert rules.judge(mail(inbox="sales")).spam is not None


def test_without_rules_nothing_is_touched_and_with_them_only_messages_are() -> None:
    word = DeliveryWord("smtp", "k", "read")
    contacts: list[Contact] = [mail(), word]
    assert SpamRules().judged(contacts) is contacts
    judged = SpamRules.of([rule("r", "domain", "example")]).judged(contacts)
    assert isinstance(judged[0], InboundMessage)
    assert (judged[0].spam is not None, judged[1]) == (True, word)


class Counted(dict[tuple[SpamPart, str], tuple[SpamRule, ...]]):
    """Counts how often something is looked up."""

    asked = 0

    def get(self, key: object, default: object = None) -> object:  # type: ignore[override]
        self.asked += 1
        return super().get(key, default)  # type: ignore[call-overload]


@pytest.mark.parametrize("known", [10, 10_000])
def test_a_message_costs_the_same_however_many_are_blocked(known: int) -> None:
    values = [f"spam{n}@bulk{n}.example" for n in range(known)]
    rules = SpamRules.of([rule("a", "address", *values), rule("d", "domain", *(v.partition("@")[2] for v in values))])
    senders = Counted(rules.senders)
    assert SpamRules(senders, {}).judge(mail()).spam is None
    assert senders.asked == 4, "the address, and each label of the domain"
    assert SpamRules(senders, {}).judge(mail("x@bulk3.example")).spam is not None


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("address", ("nobody", "", "a b@c", "@x.example")),
        ("domain", ("", "a b", "x@y", ".")),
        ("number", ("", "anonymous", "x" * 400)),
        ("subject", ("!!!", " ", "*")),
        ("text", ("…",)),
    ],
)
def test_what_can_match_nothing_is_refused(part: SpamPart, values: Sequence[str]) -> None:
    for value in values:
        with pytest.raises(UnusableValue):
            comparable(part, value)
