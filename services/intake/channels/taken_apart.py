"""Mail providers by name: what a request of each says; and the mail in what was kept, put together where it was taken apart."""

from __future__ import annotations

from services.intake.channels import form_data, mailgun, postmark, sendgrid, ses
from services.intake.channels.provided import Piece, Unreadable, loaded, mapping

MAIL = "message/rfc822"
_OF_SENDGRID = frozenset({"envelope", "headers", "charsets"})


def read(provider: str, raw: bytes, content_type: str) -> list[Piece]:
    """What an authentic request says, whichever of the provider's URLs it came to. Raises Unreadable."""
    match provider:
        case "mailgun":
            return mailgun.read(raw, content_type)
        case "sendgrid":
            return sendgrid.read(raw, content_type)
        case "postmark":
            return postmark.read(raw)
        case "ses":
            return ses.read(raw)
        case _:
            raise Unreadable("no provider of mail has this name")


def mail_in(media_type: str, body: bytes) -> bytes | None:
    """The mail; None where there is none in it. The same each time, so that its files keep their numbers."""
    kind = form_data.media_type_of(media_type)
    try:
        if kind == MAIL:
            return body
        if kind == postmark.MEDIA_TYPE:
            return postmark.mail_of(mapping(loaded(body)))
        form = form_data.fields(body, media_type)
    except (Unreadable, ValueError):
        return None
    is_sendgrid = any(field.name in _OF_SENDGRID for field in form)
    return sendgrid.mail_of(form) if is_sendgrid else mailgun.mail_of(form)
