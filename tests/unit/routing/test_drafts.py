"""What belongs to a draft of which kind, and which drafts a decision makes needless."""

from __future__ import annotations

import pytest

from services.routing.domain import commands, offers
from services.routing.domain.commands import Actor, Answer, TextTooLong
from services.routing.domain.drafts import DraftFile, DraftPersonal, Kind, NotOfThisKind, check, written
from services.routing.domain.work import Turn
from shared.events.base import TEXT_LIMIT_BYTES, Attachment
from tests.unit.routing.story import a_queue, an_agent, at, turn, waiting

FILE = DraftFile(file=Attachment(id="f", media_type="image/png", size_bytes=3, sha256="0" * 64), name="a.png")


@pytest.mark.parametrize(
    ("kind", "content", "wrong"),
    [
        ("reply", DraftPersonal(text="hi", subject="s", language="en", channel="sms", attachments=(FILE,)), None),
        ("reply", DraftPersonal(text="hi", mentions=("noa",)), "mentions"),
        ("note", DraftPersonal(text="hi", mentions=("noa",)), None),
        ("note", DraftPersonal(text="hi", subject="s"), "subject"),
        ("note", DraftPersonal(attachments=(FILE,)), "attachments"),
        ("note", DraftPersonal(canned_response_id="refund"), "canned_response_id"),
    ],
)
def test_a_draft_holds_what_its_kind_can_have(kind: Kind, content: DraftPersonal, wrong: str | None) -> None:
    if wrong is None:
        check(content, kind)
        return
    with pytest.raises(NotOfThisKind) as refused:
        check(content, kind)
    assert refused.value.field == wrong


def test_a_draft_is_no_longer_than_what_can_be_sent() -> None:
    check(DraftPersonal(text="x" * TEXT_LIMIT_BYTES), "reply")
    with pytest.raises(TextTooLong):
        check(DraftPersonal(text="x" * (TEXT_LIMIT_BYTES + 1)), "note")


def test_an_answer_and_a_note_make_their_writer_s_drafts_needless_and_nothing_else_does() -> None:
    queue, agent = a_queue(), an_agent()
    deciding = turn(waiting(), agent, now=at(5))
    offer = offers.make(deciding, agent, queue)
    offers.accept(deciding, offer.id, "dana", queue)
    assert written(deciding) == []
    after = Turn(deciding.work, "next", at(9), deciding.changed)
    commands.note(after, Actor("noa"), "asked", ())
    commands.reply(after, Actor("dana"), Answer("hello"))
    assert written(after) == [("t-1", "noa", "note"), ("t-1", "dana", "reply")]
