"""Names that we give out and recognise again: reply addresses, Message-IDs, status links. Each carries a signature.

Ids are written in lower-case base32, because mail programs do not keep the case of an address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from uuid import UUID

_ID = r"([a-z2-7]{26})"
_SIGNATURE = r"([a-z2-7]{13})"
_REPLY = re.compile(rf"\+{_ID}\.{_SIGNATURE}@", re.IGNORECASE | re.ASCII)
_MESSAGE = re.compile(rf"<?{_ID}\.{_ID}\.{_SIGNATURE}@", re.IGNORECASE | re.ASCII)
_FORM = re.compile(rf"([a-z2-7]{{21}}){_SIGNATURE}\Z")
_FILE = re.compile(rf"{_ID}([a-z2-7]{{8}}){_SIGNATURE}\Z")
_NAMED = re.compile(rf"{_ID}{_SIGNATURE}\Z")
DERIVED = "derived"  # the secret that is made of the master key, where no other is set
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class OwnMessage:
    """A Message-ID of ours, read back."""

    message_id: str
    ticket_id: str


@dataclass(frozen=True, slots=True)
class FormToken:
    """What a form was given when it was shown: when, and a name that no other showing has."""

    issued_at_seconds: int
    name: str


@dataclass(frozen=True, slots=True)
class FileToken:
    """A link to a file, read back: which, and until when it is good (seconds of the Unix epoch)."""

    attachment_id: str
    until_seconds: int


def secrets_to_sign(text: str) -> tuple[bytes | None, ...]:
    """Secrets as they are set: base64, parted by commas or lines; None for DERIVED. Raises ValueError, which quotes none."""
    listed = [one for one in (part.strip() for part in text.replace("\n", ",").split(",")) if one]
    if not listed:
        raise ValueError("there is no secret to sign with")
    return tuple(None if one == DERIVED else _secret(one) for one in listed)


def _secret(text: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"a secret to sign with is the base64 of at least {SECRET_BYTES} bytes, or '{DERIVED}'")
    return secret


class Signer:
    """Signs with the first of its secrets (64 bits of HMAC-SHA256 a name); what any of them signed is ours."""

    __slots__ = ("_secrets",)

    def __init__(self, secret: bytes, *others: bytes) -> None:
        self._secrets = (secret, *others)

    def reply_address(self, ticket_id: str, inbox_address: str) -> str:
        """`support+<ticket>.<signature>@host`: whoever writes to it writes to this ticket."""
        local, _, host = inbox_address.partition("@")
        name = _short(ticket_id)
        return f"{local}+{name}.{self._sign('reply', name)}@{host}"

    def ticket_of_address(self, address: str) -> str | None:
        """The ticket of one of our reply addresses, None for any other address."""
        found = _REPLY.search(address.lower())
        if found is None or not self._holds("reply", found[1], found[2]):
            return None
        return _long(found[1])

    def message_ref(self, message_id: str, ticket_id: str, host: str) -> str:
        """The Message-ID of a mail of ours: the same for each attempt to send it."""
        name = f"{_short(message_id)}.{_short(ticket_id)}"
        return f"<{name}.{self._sign('message', name)}@{host}>"

    def own_message(self, ref: str) -> OwnMessage | None:
        """What one of our Message-IDs names, None for any other."""
        found = _MESSAGE.match(ref.strip().lower())
        if found is None or not self._holds("message", f"{found[1]}.{found[2]}", found[3]):
            return None
        message_id, ticket_id = _long(found[1]), _long(found[2])
        return OwnMessage(message_id, ticket_id) if message_id and ticket_id else None

    def history_token(self, ticket_id: str) -> str:
        """The secret part of a link to a ticket's status with all that was written: for whom it reached at their address."""
        name = _short(ticket_id)
        return name + self._sign("history", name)

    def ticket_of_history(self, token: str) -> str | None:
        """The ticket of such a link, None when the signature is not ours."""
        found = _NAMED.match(token)
        return _long(found[1]) if found and self._holds("history", found[1], found[2]) else None

    def status_token(self, ticket_id: str) -> str:
        """The secret part of a ticket's status link."""
        name = _short(ticket_id)
        return name + self._sign("status", name)

    def ticket_of_status(self, token: str) -> str | None:
        """The ticket of a status link, None when the signature is not ours."""
        found = _NAMED.match(token)
        return _long(found[1]) if found and self._holds("status", found[1], found[2]) else None

    def survey_token(self, survey_id: str) -> str:
        """The secret part of the link under which a question is answered."""
        name = _short(survey_id)
        return name + self._sign("survey", name)

    def survey_of(self, token: str) -> str | None:
        """The question of such a link, None when the signature is not ours."""
        found = _NAMED.match(token)
        return _long(found[1]) if found and self._holds("survey", found[1], found[2]) else None

    def form_token(self, form_id: str, issued_at_seconds: int, nonce: bytes) -> str:
        """What a form is given when it is shown, to bring back with what was filled in. `nonce` is eight random bytes."""
        name = base64.b32encode(issued_at_seconds.to_bytes(5) + nonce).decode().rstrip("=").lower()
        return name + self._sign("form", f"{form_id}:{name}")

    def read_form_token(self, form_id: str, token: str) -> FormToken | None:
        """A token of this form, None for anything else."""
        found = _FORM.match(token)
        if found is None or not self._holds("form", f"{form_id}:{found[1]}", found[2]):
            return None
        issued = base64.b32decode(found[1].upper() + "===")[:5]
        return FormToken(int.from_bytes(issued), found[1])

    def file_token(self, attachment_id: str, until_seconds: int) -> str:
        """The secret part of a link to a file, good until then."""
        name = _short(attachment_id) + base64.b32encode(until_seconds.to_bytes(5)).decode().lower()
        return name + self._sign("file", name)

    def read_file_token(self, token: str) -> FileToken | None:
        """What a link to a file names, None when the signature is not ours."""
        found = _FILE.match(token)
        if found is None or not self._holds("file", found[1] + found[2], found[3]):
            return None
        attachment_id = _long(found[1])
        until = int.from_bytes(base64.b32decode(found[2].upper()))
        return FileToken(attachment_id, until) if attachment_id else None

    def loop_mark(self) -> str:
        """What our mails carry to be known when they come back to us: nobody else's is the same."""
        return self._sign("loop", "mail")

    def is_loop_mark(self, text: str) -> bool:
        """Whether a mail with this mark is one of ours."""
        return self._holds("loop", "mail", text.strip())

    def veil(self, name: str) -> bytes:
        """What stands for a name where nobody has to read it back: neither guessed nor tried out without the secret."""
        return hmac.digest(self._secrets[0], f"veil:{name}".encode("utf-8", "replace"), hashlib.sha256)[:16]

    def _sign(self, purpose: str, name: str) -> str:
        return _signature(self._secrets[0], purpose, name)

    def _holds(self, purpose: str, name: str, signature: str) -> bool:
        given = signature.encode("utf-8", "replace")
        held = [hmac.compare_digest(_signature(one, purpose, name).encode(), given) for one in self._secrets]
        return any(held)


def _signature(secret: bytes, purpose: str, name: str) -> str:
    digest = hmac.digest(secret, f"{purpose}:{name}".encode(), hashlib.sha256)
    return base64.b32encode(digest[:8]).decode().rstrip("=").lower()


def _short(uuid: str) -> str:
    return base64.b32encode(UUID(uuid).bytes).decode().rstrip("=").lower()


def _long(short: str) -> str | None:
    try:
        return str(UUID(bytes=base64.b32decode(short.upper() + "======")))
    except ValueError:
        return None
