"""What a new ticket is about, by its words, in four languages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.domain.contacts import InboundMessage, Labels
from services.intake.domain.word_lists import NO_WORDS, WORDS_CAP, Node, Words, added
from shared.events.config import WordListConfigured
from shared.words import LETTERS_CAP, words_of

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def a_list(list_id: str, position: int = 1, **more: object) -> WordListConfigured:
    return WordListConfigured(id=list_id, version=1, effective_from=SINCE, position=position, **more)  # type: ignore[arg-type]


REFUNDS = a_list(
    "refunds",
    words={
        "en": ("refund*", "money back"),
        "he": ("החזר כספי", "זיכוי"),
        "ar": ("استرداد", "إرجاع المبلغ"),
        "ro": ("rambursare", "banii înapoi"),
    },
    topic="refund",
)
INVOICES = a_list("invoices", 2, words={"he": ("חשבונית",), "ar": ("فاتورة",), "ro": ("factură", "facturi*")}, topic="invoice")
URGENT = a_list(
    "urgent",
    3,
    words={"en": ("urgent", "asap"), "he": ("דחוף",), "ar": ("عاجل",), "ro": ("urgent",)},
    priority=3,
    tags=("urgent",),
)
KETTLE = a_list("kettle", 4, words={"*": ("K-200", "kettle")}, product="kettle")
ALL = Words.of([REFUNDS, INVOICES, URGENT, KETTLE])


def labels(text: str, language: str, said: Labels | None = None, subject: str = "", words: Words = ALL) -> Labels:
    contact = InboundMessage(
        provider="generic",
        dedup_key="1",
        content_hash="",
        channel="email",
        inbox="support",
        handle=None,
        text=text,
        subject=subject,
        language=language,
        labels=said or Labels(),
    )
    return added(contact.labels, words.hits_in(contact))


@pytest.mark.parametrize(
    ("text", "language", "topic"),
    [
        ("I want my REFUNDED amount", "en", "refund"),
        ("give me my money back!", "en", "refund"),
        ("money is back", "en", None),
        ("refund", "he", None),  # another language's word
        ("refund", "und", "refund"),
        ("refund", "en-GB", "refund"),
        ("אני רוצה החזר כספי", "he", "refund"),
        ("בקשה להחזר כספי", "he", "refund"),
        ("ושההחזר הכספי יגיע", "he", "refund"),
        ("איפה הזיכוי?", "he", "refund"),
        ("מה קורה עם החשבוניות", "he", None),  # the plural is another word; the list would say חשבוני*
        ("ובחשבונית כתוב", "he", "invoice"),
        ("חֶשְׁבּוֹנִית", "he", "invoice"),
        ("أريد استرداد المبلغ", "ar", "refund"),
        ("اريد ارجاع المبلغ", "ar", "refund"),
        ("والفاتورة خاطئة", "ar", "invoice"),
        ("فاتورتي خاطئة", "ar", "invoice"),
        ("بفاتورته", "ar", "invoice"),
        ("الفاتوره", "ar", "invoice"),
        ("فــاتورة", "ar", "invoice"),
        ("vreau banii înapoi", "ro", "refund"),
        ("vreau banii inapoi", "ro", "refund"),
        ("FACTURĂ", "ro", "invoice"),
        ("facturilor", "ro", "invoice"),
        ("", "und", None),
    ],
)
def test_a_topic_is_found_as_people_write_it(text: str, language: str, topic: str | None) -> None:
    assert labels(text, language).topic == topic


@pytest.mark.parametrize(
    "pair", [("reclamaţie", "reclamație"), ("paşaport", "pașaport"), ("أإآٱا", "ااااا"), ('דוא"ל', "דוא״ל"), ("l'eau", "l’eau")]
)
def test_spellings_of_one_word_are_one(pair: tuple[str, str]) -> None:
    assert words_of(pair[0]) == words_of(pair[1])
    assert len(words_of(pair[0])) == 1


def test_urgent_words_raise_the_priority_and_never_lower_it() -> None:
    assert labels("דחוף מאוד", "he") == Labels(priority=3, tags=("urgent",))
    assert labels("عاجل جدا", "ar").priority == 3
    assert labels("urgent!", "en", Labels(priority=4)).priority == 4
    assert labels("whenever you like", "en", Labels(priority=1)).priority == 1


def test_the_list_of_which_most_is_found_says_the_topic_then_the_first() -> None:
    both = "I want a refund for the invoice"
    invoices = a_list("invoices", 2, words={"en": ("invoice", "bill")}, topic="invoice")
    lists = Words.of([REFUNDS, invoices])
    assert labels(both, "en", words=lists).topic == "refund"
    assert labels(f"{both}, the bill", "en", words=lists).topic == "invoice"
    assert labels("invoice invoice invoice refund", "en", words=lists).topic == "refund"


def test_what_the_connector_said_stands_and_tags_come_together() -> None:
    said = Labels(priority=2, topic="billing", tags=("vip",))
    found = labels("urgent refund of the kettle", "en", said)
    assert found == Labels(priority=3, topic="billing", product="kettle", tags=("vip", "urgent"))


def test_the_subject_counts_and_a_product_is_known_in_every_language() -> None:
    assert labels("?", "he", subject="K-200").product == "kettle"


def test_nothing_is_looked_for_where_nothing_is_configured() -> None:
    assert labels("urgent refund", "en", words=NO_WORDS) == Labels()


def test_a_text_that_was_made_to_have_very_many_words_is_read_so_far() -> None:
    assert labels(f"{'a ' * (WORDS_CAP - 2)} urgent", "en").priority == 3
    assert labels(f"{'a ' * WORDS_CAP} urgent", "en").priority == 2
    assert sum(map(len, words_of("\ufdfa" * 5000))) <= LETTERS_CAP, "a letter that stands for eighteen"


class Counted(dict[str, Node]):
    """Counts how often it is asked."""

    asked = 0

    def get(self, key: str, default: object = None) -> Any:
        self.asked += 1
        return super().get(key, default)


def test_a_text_takes_no_longer_for_many_phrases_that_begin_alike() -> None:
    for many in (1, 100):
        words = Words.of([a_list("mine", words={"en": tuple(f"my {n}th" for n in range(many))}, topic="mine")])
        going_on = words.root.whole["my"]
        going_on.whole = asked = Counted(going_on.whole)
        assert labels("my " * 1000, "en", words=words).topic is None
        assert asked.asked == 999, "once for each place"


@given(st.text(), st.sampled_from(["en", "he", "ar", "ro", "und"]))
def test_any_text_is_read(text: str, language: str) -> None:
    assert labels(text, language).priority in (2, 3)
    assert labels(f"{text} דחוף", "he").priority == 3
