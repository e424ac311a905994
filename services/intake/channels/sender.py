"""Who wrote a mail: whom From names; behind a list that puts its own address there, whom the list names.

Google Groups and Mailman do so for the sake of DMARC. Anybody can write such headers, and what servers found out about the mail
is about the list's address, not about the writer's (`domain/authentication.of_another`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from services.intake.channels import mime
from services.intake.channels.clean import clean_line
from services.intake.domain import handles
from services.intake.domain.contacts import Handle
from services.intake.domain.handles import plus_stripped
from services.intake.domain.inboxes import OurAddresses

_LIST_HEADERS = ("List-Id", "List-Post", "X-BeenThere", "X-Mailman-Version")
_WRITERS = ("X-Original-From", "X-MailFrom", "X-Original-Sender", "Reply-To")  # the surest first
_POST = re.compile(r"<\s*mailto:([^<>?\s]{1,320})", re.IGNORECASE)  # RFC 2369
_ID = re.compile(r"<([^<>\s]{1,320})>")  # RFC 2919; Google and Mailman make it of the address, a dot for the `@`
_VIA = re.compile(r"\svia\s.*$", re.IGNORECASE)


class Sender(NamedTuple):
    """`address` is empty where a mail names none. `shown` is the one that the mail comes from, of which servers speak: another
    where a list names the writer. `is_ours`: the mail comes from an address of ours.
    """

    name: str
    address: str
    shown: str
    is_ours: bool

    @property
    def wrote(self) -> bool:
        """Whether somebody else than ourselves is named as the writer."""
        return not self.is_ours or self.address != self.shown


def sender_of(mail: mime.Part, envelope_from: str | None, ours: OurAddresses) -> Sender:
    """Who wrote the mail. Without headers of a list, Reply-To counts only where From names nobody: who answers there may be
    anybody.
    """
    name, shown = _named(mail, envelope_from)
    is_ours = ours.have(shown)
    if not any(mail.values_of(header) for header in _LIST_HEADERS):
        return Sender(name, shown, shown, is_ours)
    addresses, ids = _list_of(mail)

    def is_lists(address: str) -> bool:
        plain = plus_stripped(address)
        return plain in addresses or plain.replace("@", ".") in ids

    if is_ours or is_lists(shown):
        for called, address in mime.addresses(mail, *_WRITERS):
            if handle_of(address) is not None and not ours.have(address) and not is_lists(address):
                return Sender(clean_line(called or _VIA.sub("", name).strip("'\" ")), address, shown, is_ours)
    return Sender(name, shown, shown, is_ours)


def handle_of(address: str) -> Handle | None:
    """The address as a handle, None where it is none."""
    try:
        return handles.email(address)
    except handles.WrongHandle:
        return None


def _named(mail: mime.Part, envelope_from: str | None) -> tuple[str, str]:
    candidates = mime.addresses(mail, "From", "Reply-To", "Sender", "Return-Path")
    if envelope_from:
        candidates.append(("", envelope_from))
    for name, address in candidates:
        if handle_of(address) is not None:
            return clean_line(name), address
    return (clean_line(mime.header(mail, "From")), "") if not candidates else candidates[0]


def _list_of(mail: mime.Part) -> tuple[set[str], set[str]]:
    """The list's addresses and ids."""
    posts = {address for value in mail.values_of("List-Post") for address in _POST.findall(value)}
    posts |= {address for _, address in mime.addresses(mail, "X-BeenThere")}
    ids = {found.lower() for value in mail.values_of("List-Id") for found in _ID.findall(value)}
    return {plus_stripped(address) for address in posts}, ids
