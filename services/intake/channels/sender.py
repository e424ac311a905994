"""Who wrote a mail: whom From names; behind a list that puts its own address there, whom the list names; behind a form of our own
site that writes as from us, whom it names to be answered.

Google Groups and Mailman do so for the sake of DMARC. Anybody can write such headers, and what servers found out about the mail
is about the list's address, not about the writer's (`domain/authentication.of_another`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from services.intake.channels import automatic, lists, mime
from services.intake.channels.clean import clean_line
from services.intake.domain import handles
from services.intake.domain.contacts import Handle
from services.intake.domain.inboxes import OurAddresses

_WRITERS = ("X-Original-From", "X-MailFrom", "X-Original-Sender", "Reply-To")  # the surest first
_VIA = re.compile(r"\svia\s.*$", re.IGNORECASE)
# As which the programs of sites write where nobody told them an address.
_SITES = re.compile(r"^(?:wordpress|no[-_]?reply|do[-_]?not[-_]?reply)@", re.IGNORECASE)


class Sender(NamedTuple):
    """`address` is empty where a mail names none. `shown` is the one that the mail comes from, of which servers speak: another
    where a list or a form names the writer. `is_ours`: the mail comes from an address of ours. `by_form`: a form of our own site
    wrote it, and whoever filled it in typed `address`.
    """

    name: str
    address: str
    shown: str
    is_ours: bool
    by_form: bool = False

    @property
    def wrote(self) -> bool:
        """Whether somebody else than ourselves is named as the writer."""
        return not self.is_ours or self.address != self.shown


def sender_of(mail: mime.Part, envelope_from: str | None, ours: OurAddresses) -> Sender:
    """Who wrote the mail. Without headers of a list, Reply-To counts only where From names nobody, or ourselves: who answers
    there may be anybody.
    """
    name, shown = _named(mail, envelope_from)
    is_ours = ours.have(shown)
    through = lists.list_of(mail)
    if through is None:
        return _who_filled_in(mail, shown, envelope_from, ours) or Sender(name, shown, shown, is_ours)
    if is_ours or through.has(shown):
        for called, address in mime.addresses(mail, *_WRITERS):
            if handle_of(address) is not None and not ours.have(address) and not through.has(address):
                return Sender(clean_line(called or _VIA.sub("", name).strip("'\" ")), address, shown, is_ours)
    return Sender(name, shown, shown, is_ours)


def handle_of(address: str) -> Handle | None:
    """The address as a handle, None where it is none."""
    try:
        return handles.email(address)
    except handles.WrongHandle:
        return None


def _who_filled_in(mail: mime.Part, shown: str, envelope_from: str | None, ours: OurAddresses) -> Sender | None:
    """Forms of sites (WordPress's, for one) write to us as from us, with the visitor's address in Reply-To. Mail of ours that
    comes back has our signed address there; what a machine answers by itself is no form's.
    """
    is_ours = ours.have(shown)
    if not is_ours and not (_SITES.match(shown) and ours.have_host(shown.rpartition("@")[2].lower())):
        return None
    if envelope_from == "" or automatic.is_answer(mail, ours):
        return None
    for called, address in mime.addresses(mail, "Reply-To"):
        if handle_of(address) is not None and not ours.have(address):
            return Sender(clean_line(called), address, shown, is_ours, by_form=True)
    return None


def _named(mail: mime.Part, envelope_from: str | None) -> tuple[str, str]:
    candidates = mime.addresses(mail, "From", "Reply-To", "Sender", "Return-Path")
    if envelope_from:
        candidates.append(("", envelope_from))
    for name, address in candidates:
        if handle_of(address) is not None:
            return clean_line(name), address
    return (clean_line(mime.header(mail, "From")), "") if not candidates else candidates[0]
