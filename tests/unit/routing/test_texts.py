"""Which texts are taken: what could be kept or sent nowhere is refused before it is said."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from services.routing.api.asking import Open
from services.routing.api.besides import Consult, ConsultAnswer
from services.routing.api.drafts import DraftBody
from services.routing.api.tickets import Note, Reply


def refused(body: type[BaseModel], **said: object) -> list[str]:
    """The fields for which it is refused; none where it is taken."""
    try:
        body.model_validate(said)
    except ValidationError as error:
        return [str(one["loc"][0]) for one in error.errors()]
    return []


@pytest.mark.parametrize("subject", ["a\x00b", "a\nb", "a\rb", "a\x1b[31m", "a\u2028b", "\x7f"])
def test_a_subject_is_one_line_of_plain_characters(subject: str) -> None:
    assert refused(Open, customer_id="c-1", subject=subject) == ["subject"]
    assert refused(Reply, text="Good day", subject=subject) == ["subject"]
    assert refused(DraftBody, subject=subject) == ["subject"]
    for taken in ("", "הזמנה 5", "Re: “100 %” \u200f(נדחה)"):
        assert refused(Open, customer_id="c-1", subject=taken) == refused(Reply, text="Good day", subject=taken) == []


def test_a_text_has_lines_and_no_nul() -> None:
    for body, besides in ((Reply, {}), (Note, {}), (ConsultAnswer, {}), (Consult, {"agent_id": "noa"})):
        assert refused(body, text="Good day,\n\n\tit is on its way.\r\n", **besides) == []
        assert refused(body, text="Good\x00day", **besides) == ["text"]
