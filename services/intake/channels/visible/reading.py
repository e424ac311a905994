"""The reply in a mail's body, from the plain text or the HTML, whichever knows more of it."""

from __future__ import annotations

from services.intake.channels.clean import clean_text
from services.intake.channels.visible.marked_html import has_marks, pieces_of
from services.intake.channels.visible.splitting import Reply, split, split_pieces


def read(plain: str, html: str) -> tuple[str, Reply]:
    """The whole text of a body, and what of it is the reply."""
    whole = clean_text(plain.strip())
    if whole:
        reply = split(whole)
        if not reply.parted and html and has_marks(html):
            marked = _of_html(html)[1]
            reply = marked if marked.parted else reply
        return whole, reply
    return _of_html(html)


def _of_html(html: str) -> tuple[str, Reply]:
    pieces, whole = pieces_of(html)
    return clean_text(whole), split_pieces([(mark, clean_text(text)) for mark, text in pieces])
