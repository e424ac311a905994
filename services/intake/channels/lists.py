"""Mailing lists and groups, by the headers that they write (RFC 2369, RFC 2919, as Google Groups and Mailman do): which one a
mail came through, and whether it is our own.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from services.intake.channels import mime
from services.intake.domain.handles import plus_stripped
from services.intake.domain.inboxes import OurAddresses

_HEADERS = ("List-Id", "List-Post", "X-BeenThere", "X-Mailman-Version")
_POST = re.compile(r"<\s*mailto:([^<>?\s]{1,320})", re.IGNORECASE)
_ID = re.compile(r"<([^<>\s]{1,320})>")  # Google and Mailman make it of the address, a dot for the `@`
# The host of a link; of groups of a company at Google's the company's, which stands behind it.
_LINK = re.compile(r"<\s*https?://(?:groups\.google\.com/a/)?([^<>/?#:\s]{1,255})", re.IGNORECASE)


class List(NamedTuple):
    """The addresses and ids of the list that a mail came through."""

    addresses: frozenset[str]
    ids: frozenset[str]

    def has(self, address: str) -> bool:
        """Whether the address is the list's own."""
        plain = plus_stripped(address)
        return plain in self.addresses or plain.replace("@", ".") in self.ids


def list_of(mail: mime.Part) -> List | None:
    """The list that a mail came through, None where it came through none."""
    if not any(mail.values_of(header) for header in _HEADERS):
        return None
    posts = [address for value in mail.values_of("List-Post") for address in _POST.findall(value)]
    posts += [address for _, address in mime.addresses(mail, "X-BeenThere")]
    return List(frozenset(plus_stripped(address) for address in posts), frozenset(_ids(mail)))


def is_our_own(mail: mime.Part, ours: OurAddresses) -> bool:
    """Whether a group of ours passed the mail on: each header of a list names us. A newsletter that was sent to the group and
    kept its own is none; nor does our address count that stands as a parameter in somebody else's link.
    """
    named = [ours.have_list(list_id) for list_id in _ids(mail)]
    named += [_names_us(value, ours) for name in ("List-Unsubscribe", "List-Post") for value in mail.values_of(name)]
    named += [ours.have_at(address) for _, address in mime.addresses(mail, "X-BeenThere")]
    return bool(named) and all(named)


def _ids(mail: mime.Part) -> list[str]:
    return [found.lower() for value in mail.values_of("List-Id") for found in _ID.findall(value) or [value.strip()[:320]]]


def _names_us(value: str, ours: OurAddresses) -> bool:
    return any(ours.have_at(address) for address in _POST.findall(value)) or any(
        ours.have_below(host.lower()) for host in _LINK.findall(value)
    )
