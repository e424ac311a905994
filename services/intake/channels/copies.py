"""Who else has a mail: the people in To and Cc."""

from __future__ import annotations

from services.intake.channels import lists, mime
from services.intake.channels.clean import clean_line
from services.intake.channels.sender import handle_of
from services.intake.domain.contacts import COPIES_CAP, Copy, Handle
from services.intake.domain.handles import plus_stripped
from services.intake.domain.inboxes import OurAddresses

LOOK_AT = 200  # addresses of a mail
_WAYS = ("Delivered-To", "X-Original-To", "X-Forwarded-To")  # where the mail was before it was passed on to us


def copies_of(mail: mime.Part, writer: Handle | None, ours: OurAddresses) -> tuple[Copy, ...]:
    """The first COPIES_CAP besides the writer. What brings a mail to us is nobody: our inboxes with whatever stands behind a `+`,
    the list or group that it came through, an address that passes on to one of ours.
    """
    named = mime.addresses(mail, "To", "Cc")[:LOOK_AT]
    others = [(name, address) for name, address in named if not ours.have(address)]
    if not others:
        return ()
    through = lists.list_of(mail)
    ways = {plus_stripped(address) for _, address in mime.addresses(mail, *_WAYS)}
    found: dict[Handle, Copy] = {}
    for name, address in others:
        handle = handle_of(address)
        if handle is None or handle == writer or plus_stripped(address) in ways or (through is not None and through.has(address)):
            continue
        found.setdefault(handle, Copy(handle, clean_line(name)))
        if len(found) == COPIES_CAP:
            break
    return tuple(found.values())
