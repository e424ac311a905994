"""The mailboxes that are read by IMAP, as settings name them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Word = Annotated[str, Meta(min_length=1, max_length=500)]


class OAuth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where access tokens come from: the token endpoint, over https (http on this machine only), and who asks there. Without a
    refresh token the client asks for itself (`client_credentials`).
    """

    token_url: Annotated[str, Meta(pattern=r"^(https://[^\s/?#@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)([/?][^\s#]*)?$")]
    client_id: Word
    client_secret: str = ""
    client_secret_file: str = ""
    refresh_token: str = ""
    refresh_token_file: str = ""
    scope: str = ""

    def secret(self) -> str:
        """The client's secret; empty where it has none. Raises OSError when its file cannot be read."""
        return Path(self.client_secret_file).read_text().strip() if self.client_secret_file else self.client_secret

    def refreshing(self) -> str:
        """The refresh token; empty where there is none. Raises OSError when its file cannot be read."""
        return Path(self.refresh_token_file).read_text().strip() if self.refresh_token_file else self.refresh_token


class Mailbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A folder of an account. `inbox` is the id of the inbox whose mail it is. What was taken stays as it is, or is marked as
    read (`seen`), or is moved to the folder `move_to`. Logged in to with a password, or by XOAUTH2 with a token that is in
    `token_file` or comes from where `oauth` says.
    """

    host: Word
    user: Word
    inbox: Word
    port: Annotated[int, Meta(ge=1, le=65535)] = 993
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    password: str = ""
    password_file: str = ""
    token_file: str = ""
    oauth: OAuth | None = None
    folder: Word = "INBOX"
    seen: bool = False
    move_to: str = ""

    @property
    def account(self) -> str:
        """Whose position it is: the same whatever the port or the way in."""
        return f"{self.user}@{self.host}"

    @property
    def name(self) -> str:
        """As logs and figures call it, without its address."""
        return f"{self.inbox}/{self.folder}"

    @property
    def by_token(self) -> bool:
        """Whether it is logged in to by XOAUTH2."""
        return bool(self.token_file) or self.oauth is not None

    def secret(self) -> str:
        """The password. Raises OSError when its file cannot be read."""
        return Path(self.password_file).read_text().strip() if self.password_file else self.password


_mailboxes = msgspec.json.Decoder(tuple[Mailbox, ...])


def mailboxes_of(text: str) -> tuple[Mailbox, ...]:
    """From a JSON list. Raises ValueError, whose text holds none of the values."""
    if not text.strip():
        return ()
    try:
        found = _mailboxes.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"mailboxes of IMAP: {error}") from None
    if len({(box.account, box.folder) for box in found}) < len(found):
        raise ValueError("mailboxes of IMAP: a folder is named twice")
    return found
