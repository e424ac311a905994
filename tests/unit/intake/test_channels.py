"""Twilio's signatures and requests, forms, generic contacts, languages, confirmations."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.api.status_page import STATUS_NAMES
from services.intake.channels import form, generic, twilio, twilio_sms, twilio_voice
from services.intake.channels.clean import clean_line, clean_text
from services.intake.channels.form import FormBody
from services.intake.channels.generic import ContactBody
from services.intake.channels.html_text import html_to_text
from services.intake.channels.language import direction_of
from services.intake.domain import confirmation, delivery
from services.intake.domain.confirmation import Promise
from services.intake.domain.contacts import Handle, InboundMessage
from services.intake.domain.decide import decide
from services.intake.domain.delivery import Accepted, Delivery, NotNow, Refused, Unknown
from services.intake.domain.fingerprints import marked
from services.intake.domain.identity import claimed
from services.intake.domain.inboxes import Inbox, Inboxes
from services.intake.domain.known import Known
from services.intake.domain.plan import NewMessage
from services.intake.domain.speech import LANGUAGES, Language, language_for
from services.intake.speaking import SPEECHES
from shared.events.message import ConfirmationSent, ConfirmationSkipped, DeliveryUncertain, MessageDelivered, MessageFailed
from tests.counts import examples
from tests.recorded import twilio as recorded

BOOK = Inboxes.of([Inbox("sms", "sms", "+40312295500", "ro", "RO"), Inbox("phone", "phone", "+40312295501", "he")])
NOW = datetime(2026, 1, 15, 10, tzinfo=UTC)


def test_recorded_signatures_are_judged_as_twilio_does() -> None:
    [one] = recorded.SETS
    outcomes = one.outcomes(lambda: "")
    if outcomes is None:
        pytest.skip("needs ../shared/fixtures beside the repository")
    assert one.surprises(outcomes) == []


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=6), st.text(max_size=30))
@settings(deadline=None)
def test_only_the_right_token_over_the_same_pairs_signs(pairs: list[tuple[str, str]], given_signature: str) -> None:
    url = "https://Patchbay.example/v1/x?a=b"
    right = twilio.signature("https://Patchbay.example:443/v1/x?a=b", pairs, "token")
    assert twilio.is_signed(url, list(reversed(pairs)), right, ["token"])
    assert not twilio.is_signed(url, pairs, right, ["other"])
    assert not twilio.is_signed(url, [*pairs, ("more", "")], right, ["token"])
    assert not twilio.is_signed(url, pairs, given_signature, ["token"])


def test_an_sms_is_read_and_its_pictures_are_to_be_fetched() -> None:
    fields = {"MessageSid": "SM1", "From": "0721 234 567", "To": "+40312295500", "Body": "a\x00b", "NumMedia": "1",
              "MediaUrl0": "https://m.example/1", "MediaContentType0": "image/png"}  # fmt: skip
    message = twilio_sms.parse(b"", list(fields.items()), BOOK)
    assert (message.handle, message.inbox, message.dedup_key) == (Handle("phone", "+40721234567"), "sms", "SM1")
    assert (message.text, message.media) == ("ab", ("https://m.example/1",))


def test_a_number_below_a_picture_answers_no_question() -> None:
    fields = {"MessageSid": "SM1", "From": "0721 234 567", "To": "+40312295500", "Body": "4"}
    assert twilio_sms.parse(b"", list(fields.items()), BOOK).score == 4
    pictured = {**fields, "NumMedia": "1", "MediaUrl0": "https://m.example/1"}
    assert twilio_sms.parse(b"", list(pictured.items()), BOOK).score is None


def test_whatsapp_through_twilio_is_a_channel_of_its_own() -> None:
    fields = {
        "MessageSid": "SM1",
        "From": "whatsapp:+40721234567",
        "To": "whatsapp:+40312295500",
        "Body": "salut",
        "ProfileName": "Dan",
    }
    message = twilio_sms.parse(b"", list(fields.items()), BOOK)
    assert (message.channel, message.handle, message.name) == ("whatsapp", Handle("phone", "+40721234567"), "Dan")


def test_a_number_too_long_to_be_read_counts_no_media() -> None:
    fields = {"MessageSid": "SM1", "From": "+40721234567", "To": "+40312295500", "Body": "a", "NumMedia": "9" * 5000}
    assert twilio_sms.parse(b"", list(fields.items()), BOOK).text == "a"


@given(st.dictionaries(st.sampled_from(["MessageSid", "From", "To", "Body", "NumMedia", "CallSid", "CallStatus", "SequenceNumber",
                                        "CallDuration", "Timestamp"]), st.text(max_size=30)))  # fmt: skip
@settings(max_examples=examples(200), deadline=None)
def test_any_signed_form_is_read_or_said_to_be_unreadable(fields: dict[str, str]) -> None:
    for read in (
        lambda: twilio_sms.parse(b"", list(fields.items()), BOOK),
        lambda: twilio_voice.parse(b"", list(fields.items()), BOOK, incoming=False),
        lambda: twilio_voice.parse(b"", list(fields.items()), BOOK, incoming=True),
    ):
        try:
            read()
        except (twilio_sms.Unreadable, twilio_voice.Unreadable):
            continue


@pytest.mark.parametrize(("language", "said"), [("he", "he-IL"), ("ar", "arb"), ("ro", "ro-RO"), ("fr", "en-GB")])
def test_callers_are_greeted_in_the_inboxs_language_in_valid_twiml(language: str, said: str) -> None:
    document = ET.fromstring(twilio_voice.greeting(Inbox("a & <b>", "phone", "+1", language)))
    say, queue = document
    assert (say.get("language"), queue.text) == (said, "a & <b>")


def test_a_posted_contact_is_named_by_its_id_within_its_inbox_and_by_its_request_without() -> None:
    def parsed(**more: object) -> str:
        body = ContactBody.model_validate({"channel": "chat", "inbox": "web", "text": "x", **more})
        return generic.parse(body, Inboxes(), caller="key", unnamed="r[0]", request=None, raw=b"").dedup_key

    assert parsed(id="m-1") == "web:m-1"
    assert parsed() == "key/r[0]"


def test_mail_through_a_connector_is_confirmed_only_where_the_inbox_was_set_up() -> None:
    body = ContactBody.model_validate(
        {"channel": "email", "inbox": "support", "text": "x", "handle": {"kind": "email", "value": "Dan@Example.org"}}
    )
    book = Inboxes.of([Inbox("support", "email", "s@p.example")])
    confirms = [generic.parse(body, b, caller="k", unnamed="u", request=None, raw=b"").confirm for b in (book, Inboxes())]
    assert confirms == [True, False]


def filled_in(submission: str = "", unnamed: str = "u1", **more: object) -> InboundMessage:
    body = FormBody.model_validate({"text": "hello", "email": "dan@customers.example", **more})
    inbox = Inbox("contact", "form", "contact", region="RO")
    return form.parse(body, inbox, b"", "x", submission=submission, unnamed=unnamed)


def test_a_form_is_named_by_its_submission_and_without_one_known_by_all_that_it_says() -> None:
    assert filled_in("id-1").dedup_key == filled_in("id-1", "u2").dedup_key == filled_in(submission_id="id-1").dedup_key
    assert filled_in("id-1").dedup_key != filled_in("id-2").dedup_key
    first, again = filled_in(), filled_in(unnamed="u2")
    assert (first.unnamed, again.unnamed, filled_in("id-1").unnamed) == (True, True, False)
    assert first.dedup_key != again.dedup_key
    assert first.content_hash == again.content_hash
    long = "x" * form.TEXT_LIMIT
    others: list[dict[str, object]] = [
        {"text": long},
        {"text": long[:-1] + "y"},
        {"subject": "x"},
        {"email": "eva@customers.example"},
        {"phone": "1"},
    ]
    assert len({filled_in("", "u1", **other).content_hash for other in others} | {first.content_hash}) == 6


def test_a_number_beside_the_address_is_claimed_too_and_shown_as_it_was_typed() -> None:
    both = filled_in(phone="0721 234 567")
    assert both.also == (claimed(Handle("phone", "+40721234567")),)
    assert both.fields == (("phone", "0721 234 567"),)
    later = filled_in(phone="after six, please")
    assert (later.also, later.fields) == ((), (("phone", "after six, please"),))
    assert filled_in(phone="anonymous").also == filled_in(email="", phone="0721234567").also == ()
    with pytest.raises(form.Unusable, match="phone"):
        filled_in(phone="0721\x07234567")


def test_what_a_site_asks_for_besides_comes_with_the_message_and_what_is_too_much_is_marked() -> None:
    some = filled_in(order_number="A-17", boxes=["a", "b"], weight=2.5, gift=True, nothing=None, empty=" ", **{"a\nb": "x\x00"})
    shown = {"order_number": "A-17", "boxes": "a, b", "weight": "2.5", "gift": "true", "a b": "x"}
    assert (dict(some.fields), some.text_cut) == (shown, False)
    assert some.content_hash != filled_in(order_number="A-18").content_hash != filled_in().content_hash
    many = filled_in(**{f"field {n}": "x" for n in range(31)})
    assert (len(many.fields), many.text_cut) == (30, True)
    long = filled_in(details="ș" * 5000, order_number="A-17")
    [(name, details)] = long.fields
    assert (name, len(details.encode()), long.text_cut) == ("details", 8184, True)


def test_boxes_of_one_name_are_all_read_and_of_our_own_fields_the_last() -> None:
    body = form.read(b"text=a&text=b&box=1&box=2&email=x%40y.example", form.URLENCODED)
    assert (body.text, body.email, body.model_extra) == ("b", "x@y.example", {"box": "1, 2"})
    with pytest.raises(LookupError):
        form.read(b"{}", "text/plain")


def test_a_form_without_a_name_is_one_as_often_as_it_comes_and_one_with_a_name_is_by_that() -> None:
    def messages(*contacts: InboundMessage) -> int:
        steps = decide([marked(contact, b"k" * 32) for contact in contacts], Known()).steps
        return sum(isinstance(step, NewMessage) for step in steps)

    assert messages(filled_in(), filled_in(unnamed="u2"), filled_in(unnamed="u3")) == 1
    assert messages(filled_in(), filled_in(unnamed="u2", text="other")) == 2
    assert messages(filled_in("id-1"), filled_in("id-2"), filled_in()) == 3
    nobody = [filled_in(unnamed=name, email="", phone="anonymous") for name in ("u1", "u2")]
    assert (nobody[0].handle, messages(*nobody)) == (None, 1)


def test_a_direction_is_the_languages_or_the_first_strong_letters() -> None:
    assert [direction_of(text) for text in ("123 שלום", "123 hello שלום", "مرحبا", "...")] == ["rtl", "ltr", "rtl", "ltr"]
    assert direction_of("hello", "he") == "rtl"


@given(st.text(max_size=400))
@settings(deadline=None)
def test_html_of_any_kind_becomes_text_and_never_fails(html: str) -> None:
    html_to_text(html)
    html_to_text(f"<p><{html}><!-- {html} <![ {html}")


@given(st.text(alphabet=st.characters(), max_size=400))
@settings(deadline=None)
def test_whatever_comes_can_be_stored(text: str) -> None:
    for safe in (clean_text(text), clean_line(text)):
        assert "\x00" not in safe
        safe.encode()
    assert len(clean_line(text, 50)) <= 50
    assert "\n" not in clean_line(text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_confirmation_names_number_link_and_promise_in_each_language(language: Language) -> None:
    speech = SPEECHES[language]
    promise = Promise(NOW, NOW - timedelta(minutes=45), "Asia/Jerusalem")
    written = confirmation.write(100234, "https://p.example/status/x", speech, promise)
    assert "#100234" in written.subject
    for part in ("#100234", "45", "15.01.2026 12:00"):
        assert f"\u2068{part}\u2069" in written.text
    assert written.text.endswith(f" {written.link}"), "what stands beside a link becomes a part of it"
    assert written.link == "https://p.example/status/x"
    assert "12:00" not in confirmation.write(1, "l", speech).text
    assert speech.direction == ("rtl" if language in ("he", "ar") else "ltr")
    assert set(STATUS_NAMES) == {"new", "open", "pending", "on_hold", "resolved", "closed"}


def test_a_confirmation_is_in_the_customers_language_else_the_inboxs_else_english() -> None:
    assert [language_for(*pair) for pair in (("he", "ro"), ("und", "ro"), ("fr", "de"), ("ro-RO", "en"))] == [
        "he",
        "ro",
        "en",
        "ro",
    ]


def one(attempts: int = 1, kind: delivery.Kind = "reply") -> Delivery:
    return Delivery(message_id="m", ticket_id="t", kind=kind, channel="email", language="en", attempts=attempts)


def test_what_was_taken_is_told_as_delivered_and_a_confirmation_as_sent() -> None:
    assert delivery.judge(one(3), Accepted("ref"), NOW).facts == (
        MessageDelivered(message_id="m", channel="email", attempts=3, provider_ref="ref"),
    )
    assert isinstance(delivery.judge(one(kind="confirmation"), Accepted(), NOW).facts[0], ConfirmationSent)


def test_waits_grow_and_end_with_a_failure_that_is_told() -> None:
    verdicts = [delivery.judge(one(n), NotNow("x"), NOW) for n in range(1, len(delivery.BACK_OFF_SECONDS) + 2)]
    waits = [(v.due_at - NOW).total_seconds() for v in verdicts if v.due_at is not None]
    assert waits == sorted(waits) == list(delivery.BACK_OFF_SECONDS)
    assert verdicts[-1].state == "failed"
    assert isinstance(verdicts[-1].facts[0], MessageFailed)


def test_an_unknown_outcome_is_told_and_tried_again() -> None:
    verdict = delivery.judge(one(2), Unknown("x"), NOW)
    assert (verdict.state, verdict.facts) == ("waiting", (DeliveryUncertain(message_id="m", channel="email", attempt=2),))


def test_a_refusal_is_final_and_keeps_its_code() -> None:
    failed = delivery.judge(one(), Refused("smtp-550", "no"), NOW).facts[0]
    assert failed == MessageFailed(message_id="m", channel="email", attempts=1, code="smtp-550", detail="no")
    skipped = delivery.judge(one(kind="confirmation"), Refused("loop-cap"), NOW).facts[0]
    assert skipped == ConfirmationSkipped(reason="loop_cap")
