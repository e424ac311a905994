"""Mail that comes by two ways, such as by SMTP and a provider's webhook, and forms whose button was pressed twice, where no name
tells that it is one. Pure.

The same words of the same person, by another way within WINDOW, are the same message. Only mail has ways: of other channels each
message is named by its provider, and who writes "ok" twice says it twice. So do two mails of one way, and two whose Message-IDs,
or times, tell them apart. A form to which nothing gives a name is the same as long as the same person sends the same to it again
within WINDOW of the last time (docs/decisions/0017).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta

from msgspec.structs import replace

from services.intake.domain import numbers
from services.intake.domain.contacts import Contact, Fingerprint, InboundMessage
from services.intake.domain.known import Coming, Received

WINDOW = timedelta(minutes=10)
PURPOSE = b"intake: fingerprints of mail, version 1"
CONNECTOR = "generic"  # tells a time of its own, not the mail's
HASH_BYTES = 16
LOST = "?"  # what converters write for a letter that a charset lacks

_ACCENTS = re.compile(r"[\u0300-\u036f]")


def marked(contact: Contact, key: bytes) -> Contact:
    """The contact with its fingerprint, where the same may come again without a name that tells it. `key` makes it a secret who
    wrote what.
    """
    if not isinstance(contact, InboundMessage):
        return contact
    if contact.unnamed:
        said = _hash(key, "content", contact.namespace, contact.content_hash)
        return replace(contact, fingerprint=Fingerprint(said, said, 0, contact.provider))
    if not _has_ways(contact):
        return contact
    return replace(contact, fingerprint=_fingerprint(contact, key))


def _has_ways(contact: InboundMessage) -> bool:
    """A mail; through a connector, where that gives it no id of its own, which no other way would know."""
    named = contact.message_ref is not None and not _is_message_id(contact.message_ref)
    return contact.channel == "email" and contact.handle is not None and not named


def _is_message_id(ref: str) -> bool:
    return ref.startswith("<") and ref.endswith(">")


def _fingerprint(contact: InboundMessage, key: bytes) -> Fingerprint | None:
    assert contact.handle is not None
    said = unicodedata.normalize("NFC", "\n".join(" ".join(text.split()) for text in (contact.subject, contact.text)))
    if not said.strip() and not contact.files:
        return None
    around = "\n".join((numbers.line(contact.handle).key, *sorted(file.sha256 for file in contact.files)))
    shape = said.encode("ascii", "replace").decode()
    kept = shape.count(LOST) - said.count(LOST)
    return Fingerprint(
        shape=_hash(key, "shape", around, shape),
        words=_hash(key, "words", around, _ACCENTS.sub("", unicodedata.normalize("NFKD", said)) if kept else said),
        kept=kept,
        way=contact.way or contact.provider,
        sent_at=contact.provider_time if contact.provider != CONNECTOR else None,
    )


def _hash(key: bytes, *parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), key=key, digest_size=HASH_BYTES).digest()


def original(contact: InboundMessage, comings: Sequence[Coming]) -> Received | None:
    """The message of which this one is a copy: among `comings`, in their order, the first that says the same and, where it has
    ways, did not come by this one itself. None where there is none, or what is there says less.
    """
    mark = contact.fingerprint
    if mark is None:
        return None
    if contact.unnamed:
        return next((coming.message for coming in comings if coming.words == mark.words), None)
    came_so = {coming.message.message_id for coming in comings if coming.way == mark.way}
    others = (coming for coming in comings if coming.message.message_id not in came_so)
    return next((coming.message for coming in others if _is_same(contact, mark, coming)), None)


def _is_same(contact: InboundMessage, mark: Fingerprint, coming: Coming) -> bool:
    if contact.message_ref and coming.message_ref:
        # One Message-ID and one shape: where a provider converted the text, letters of it are others, or lost.
        return contact.message_ref == coming.message_ref and (mark.words == coming.words or mark.kept < coming.kept)
    if mark.sent_at and coming.sent_at and mark.sent_at != coming.sent_at:
        return False
    return mark.words == coming.words
