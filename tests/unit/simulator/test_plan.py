"""The plan of a run: a function of its seed, well-formed, with the shares that it was given."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import phonenumbers
import pytest

from services.intake.domain import handles
from shared.idempotency import check_key
from simulator.errands import CHANNELS, Contact, Errand, Request
from simulator.plan import Plan, Traffic
from simulator.texts import LANGUAGES

MANY = 3_000


@cache
def planned(seed: int = 1, contacts: int = MANY, **more: object) -> list[Errand]:
    return list(Plan(seed, **more).take(contacts))  # type: ignore[arg-type]


def requests(errands: list[Errand]) -> Iterator[Request]:
    return (request for errand in errands for request in errand.requests)


def contacts(errands: list[Errand]) -> Iterator[Contact]:
    return (contact for request in requests(errands) for contact in request.contacts)


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert planned(1) == list(Plan(1).take(MANY))
    assert planned(1) != planned(2)


def test_a_plan_taken_in_parts_goes_on_where_it_stood() -> None:
    plan, whole = Plan(3), Plan(3)
    parts = [*plan.take(1), *plan.take(40)]
    assert [errand.number for errand in parts] == list(range(len(parts)))
    assert parts[1:-1] == [whole.next() for _ in range(len(parts))][1:-1]


@pytest.mark.parametrize("number", [1, 2, 3, 17, 400])
def test_exactly_as_many_contacts_are_planned_as_were_asked_for(number: int) -> None:
    errands = planned(contacts=number)
    assert sum(contact.kind != "call_status" for contact in contacts(errands)) == number
    assert all(errand.requests for errand in errands)


def test_every_contact_has_a_key_of_its_own_that_providers_could_have_given() -> None:
    keys = [contact.key for contact in contacts(planned())]
    assert len(set(keys)) == len(keys)
    for request in requests(planned(contacts=500)):
        match request.channel:
            case "sms" | "voice":
                sid = request.key.partition(":")[0]
                assert sid[:2] in ("SM", "CA")
                assert int(sid[2:], 16)
                assert len(sid) == 34
            case "email":
                assert request.key.startswith("<")
                assert request.key.endswith("@customers.example>")
            case _:
                check_key(request.key)


def test_two_runs_of_one_seed_say_the_same_under_other_names() -> None:
    first, second = planned(contacts=300, run="a"), planned(contacts=300, run="b")
    assert [contact.text for contact in contacts(first)] == [contact.text for contact in contacts(second)]
    for name in ("key", "sender", "conversation"):
        assert not {getattr(one, name) for one in contacts(first)} & {getattr(one, name) for one in contacts(second)}


def test_senders_are_addresses_and_numbers_as_they_stand_in_the_system() -> None:
    for contact in contacts(planned(contacts=1_000)):
        found = handles.phone(contact.sender) if contact.sender.startswith("+") else handles.email(contact.sender)
        assert found is not None
        assert found.value == contact.sender
        if found.kind == "phone":
            assert phonenumbers.is_possible_number(phonenumbers.parse(contact.sender))


def test_a_conversation_is_one_person_in_one_language() -> None:
    people: dict[str, set[tuple[str, str]]] = {}
    for contact in contacts(planned()):
        people.setdefault(contact.conversation, set()).add((contact.sender, contact.language))
    assert all(len(found) == 1 for found in people.values())


def test_nobody_has_two_conversations_where_the_number_is_the_conversation() -> None:
    conversations: dict[str, set[str]] = {}
    for contact in contacts(planned()):
        if contact.sender.startswith("+"):
            conversations.setdefault(contact.sender, set()).add(contact.conversation)
    assert all(len(found) == 1 for found in conversations.values())


def test_who_answers_our_mail_has_one_conversation_only() -> None:
    errands = planned()
    waiting = {contact.sender for errand in errands if errand.waits_for_mail for contact in errand.requests[0].contacts}
    assert waiting
    conversations = Counter(
        sender for sender, _ in {(c.sender, c.conversation) for c in contacts(errands) if c.sender in waiting}
    )
    assert set(conversations.values()) == {1}


def test_only_mail_refers_to_mail_and_only_after_something_was_written() -> None:
    for errand in planned():
        assert errand.requests[0].refers == "nothing"
        for request in errand.requests:
            if request.refers in ("confirmation", "reply"):
                assert request.channel == "email"
                assert not request.overtakes
            if request.refers == "own":
                assert request.channel in ("email", "generic")


def test_without_a_mailbox_nobody_waits_for_our_mail() -> None:
    errands = planned(mailbox=False)
    assert not any(errand.waits_for_mail for errand in errands)
    assert all(len(errand.requests) == 1 for errand in errands if errand.channel == "form")


def test_a_call_rings_before_it_is_spoken_of_and_says_how_it_ended() -> None:
    calls: dict[str, list[Request]] = {}
    for request in requests(planned()):
        if request.word is not None:
            calls.setdefault(request.word.sid, []).append(request)
    assert any(word.overtakes for words in calls.values() for word in words)
    for words in calls.values():
        assert words[0].word is not None
        assert words[0].word.sequence is None
        statuses = [request.word.status for request in words[1:] if request.word]
        assert set(statuses) & {"completed", "no-answer", "canceled"}
        assert all(request.contacts[0].kind == "call_status" for request in words[1:])


def test_the_shares_are_as_configured() -> None:
    traffic, errands = Traffic(), planned()
    weights = {name: weight / 100 for name, weight in traffic.channels}
    found = Counter(errand.channel for errand in errands)
    for channel in CHANNELS:
        assert found[channel] / len(errands) == pytest.approx(weights[channel], abs=0.03)
    spoken = Counter(errand.requests[0].contacts[0].language for errand in errands)
    for language, weight in traffic.languages:
        assert spoken[language] / len(errands) == pytest.approx(weight / 100, abs=0.04)
    repeats: Counter[str] = Counter(repeat.how for request in requests(errands) for repeat in request.repeats)
    number = sum(1 for _ in requests(errands))
    for how, share in (("lost_answer", traffic.lost_answer), ("twin", traffic.twin), ("again", traffic.again)):
        assert repeats[how] / number == pytest.approx(share, abs=0.015)


def test_a_share_of_nothing_and_of_everything_is_just_that() -> None:
    quiet = Traffic(follow_up=0, lost_answer=0, twin=0, again=0, lists=0, abandoned=0, disordered=0, returning=0)
    errands = planned(contacts=500, traffic=quiet)
    assert not any(request.repeats or request.overtakes for request in requests(errands))
    assert {errand.size for errand in errands} == {1}
    lists = planned(contacts=500, traffic=Traffic(channels=(("generic", 1),), lists=1))
    assert all(len(errand.requests) == 1 and errand.requests[0].contacts[0].key.endswith("[0]") for errand in lists)


def test_all_languages_are_written_in_their_own_letters() -> None:
    letters = {"he": ("֐", "׿"), "ar": ("؀", "ۿ")}
    written: dict[str, str] = {}
    for contact in contacts(planned(contacts=800)):
        written[contact.language] = written.get(contact.language, "") + contact.text
    assert set(written) == set(LANGUAGES)
    for language, text in written.items():
        first, last = letters.get(language, ("a", "z"))
        assert any(first <= letter <= last for letter in text)


def test_pauses_are_no_longer_than_configured() -> None:
    errands = planned(contacts=500, traffic=Traffic(longest_pause_seconds=0.25))
    paused = [request.pause_seconds for request in requests(errands)]
    assert 0 <= min(paused) < max(paused) <= 0.25
    assert all(earlier.number < later.number for earlier, later in pairwise(errands))
