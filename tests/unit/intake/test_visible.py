"""The visible reply, told from what is quoted, signed and appended."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.intake.channels import email
from services.intake.channels.email import Envelope
from services.intake.channels.html_text import html_to_text
from services.intake.channels.visible.marked_html import pieces_of
from services.intake.channels.visible.reading import read
from services.intake.channels.visible.splitting import LINES_CAP, split, split_pieces
from services.intake.domain.contacts import InboundMessage
from services.intake.domain.inboxes import Inbox
from services.intake.domain.tokens import Signer
from tests.counts import examples
from tests.recorded.registry import SETS
from tests.unit.intake.replies import LANGUAGES, Case, cases

PLAIN = [case for language in LANGUAGES for case in cases(language)]
HTML = list(cases("html"))


def words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("case", PLAIN, ids=[case.name for case in PLAIN])
def test_a_reply_is_told_from_the_rest(case: Case) -> None:
    reply = split(case.text)
    assert words(reply.visible) == words(case.seen)
    assert sorted(words(case.text)) == sorted(words(f"{reply.visible}\n{reply.folded}")), "no line is lost"


def test_each_language_has_fifteen_replies() -> None:
    assert {language: sum(1 for _ in cases(language)) >= 15 for language in LANGUAGES} == dict.fromkeys(LANGUAGES, True)


@pytest.mark.parametrize("case", HTML, ids=[case.name for case in HTML])
def test_a_reply_in_html_is_told_from_the_rest(case: Case) -> None:
    pieces, whole = pieces_of(case.html)
    assert whole == html_to_text(case.html)
    assert words(split_pieces(pieces).visible) == words(case.seen)


LINES = st.sampled_from(
    ["", " ", "Hello", "> quoted", ">> twice", "-- ", "---", "____________", "On 5 Jan 2026 at 10:12, Ann <a@b.example> wrote:",
     "From: Ann <a@b.example>", "Sent: Monday 10:12", "Subject: x", "-----Original Message-----", "Sent from my iPhone",
     "Regards", "---------- Forwarded message ---------", "Tel. +40 721 555 012", "CAUTION: it came from outside of the company",
     "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----", "-----END PGP SIGNATURE-----",
     "##- Please type your reply above this line -##", "Reply above this line.",
     "This message is confidential and intended for the recipient. If you got it in error, delete it.", "Ann", "כתב:"]
)  # fmt: skip


@given(st.lists(LINES, max_size=25))
@settings(max_examples=examples(2000), deadline=None)
def test_no_line_is_lost_and_something_is_always_seen(lines: list[str]) -> None:
    text = "\n".join(lines)
    reply = split(text)
    assert sorted(words(text)) == sorted(words(f"{reply.visible}\n{reply.folded}"))
    assert bool(reply.visible.strip()) == bool(text.strip())


TAGS = st.sampled_from(
    ["<div>", "</div>", "<blockquote type=cite>", "</blockquote>", '<div class="gmail_quote">', "<div id=appendonsend></div>",
     "<br>", "<hr>", '<div class="moz-signature">', "word ", "other ", '<div id="divRplyFwdMsg">', "<p>", "</p>",
     "Sent from my iPhone"]
)  # fmt: skip


@given(st.lists(TAGS, max_size=25))
@settings(max_examples=examples(1000), deadline=None)
def test_no_word_of_html_is_lost(tags: list[str]) -> None:
    html = "".join(tags)
    pieces, whole = pieces_of(html)
    reply = split_pieces(pieces)
    got = sorted(word for word in re.findall(r"\w+", f"{reply.visible} {reply.folded}"))
    assert whole == html_to_text(html)
    assert got == sorted(re.findall(r"\w+", whole))
    assert bool(reply.visible.strip()) == bool(whole)


def test_html_helps_where_the_plain_text_says_nothing_of_a_quotation() -> None:
    plain = "Ja.\n\nhttp://acme.example/ti\n\nGammel tekst"
    html = '<div>Ja.</div><div class="gmail_quote">http://acme.example/ti<br>Gammel tekst</div>'
    whole, reply = read(plain, html)
    assert (whole, reply.visible) == (plain, "Ja.")
    assert read(plain, "<p>Ja.</p>")[1].visible == plain


def test_of_a_mail_of_very_many_lines_the_first_are_looked_at() -> None:
    reply = split("Yes.\n\nOn 5 Jan 2026 at 10:12, Ann <a@b.example> wrote:\n" + "> no\n" * (LINES_CAP + 5))
    assert reply.visible == "Yes."
    assert reply.folded.count("> no") == LINES_CAP + 5


def test_a_contact_has_the_reply_as_its_text_and_keeps_the_rest() -> None:
    raw = "From: a@b.example\nMessage-ID: <1@c>\nContent-Type: text/plain; charset=utf-8\n\n"
    quoted = "On 5 Jan 2026 at 10:12, Ann <a@b.example> wrote:\n> Where is my order, and what does it cost to send it back?\n"
    message, longer = (
        email.parse((raw + text).encode(), Envelope("a@b.example", ()), Inbox("support", "email", "s@b.example"), Signer(b"s"))
        for text in (f"החבילה שלי לא הגיעה עדיין\n\n{quoted}", f"החבילה שלי לא הגיעה עדיין\n\n{quoted}{'> x' * 9000}")
    )
    assert isinstance(message, InboundMessage)
    assert isinstance(longer, InboundMessage)
    assert (message.text, message.language) == ("החבילה שלי לא הגיעה עדיין", "he")
    assert message.quoted == quoted.strip()
    assert longer.text == message.text
    assert len(longer.quoted.encode()) == 8 * 1024
    assert longer.content_hash != message.content_hash, "what is folded is part of what tells a repeat"


# How many of each set came out as expected when this was written. Fewer is a step back.
REACHED = {
    "Replies: email_reply_parser": 22,
    "Replies: mail-parser-reply": 47,
    "Replies: our own mails, the half for mending": 52,
    "Replies: our own mails, the half mended later": 115,
    "Replies: our own mails, HTML of ten programs in fourteen languages": 59,
}


def no_database() -> str:
    raise AssertionError("replies need no database")


@pytest.mark.parametrize("name", REACHED)
def test_recorded_replies_come_out_as_well_as_they_did(name: str) -> None:
    one = next(one for one in SETS if one.name == name)
    outcomes = one.outcomes(no_database)
    if outcomes is None:
        pytest.skip("needs ../shared/fixtures beside the repository")
    assert one.surprises(outcomes) == []
    assert sum(not outcome.miss for outcome in outcomes) >= REACHED[name]
