"""Access tokens for mailboxes that take no password: Gmail and Microsoft 365.

They come from a file that some other program renews, or from the token endpoint of the settings (RFC 6749, 6 and 4.4): by a
refresh token, or where none is given by the client's own credentials. Secrets and tokens are in no log and in no error.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from imap_tools.errors import ImapToolsError

from services.intake.imap_settings import Mailbox, OAuth
from shared.telemetry import log

ASK_SECONDS = 15.0
EARLY_SECONDS = 60.0  # so long before a token ends it is used no more
LIVES_SECONDS = 3600.0  # where the endpoint does not say
_CODE = re.compile(r"[a-z_]{1,40}")


class NotAdmitted(ImapToolsError):
    """There is no token, or the server does not take it; the message says what to look at, and holds no secret."""


@dataclass(slots=True)
class Tokens:
    """The token of one mailbox, asked for anew when it ends or was refused. Its calls block."""

    mailbox: Mailbox
    _token: str = ""
    _until: float = 0.0
    _refresh: str = field(default="")

    def current(self) -> str:
        """A token. Raises NotAdmitted, ConnectionError, and OSError when a file cannot be read."""
        if self.mailbox.token_file:
            return Path(self.mailbox.token_file).read_text().strip()
        oauth = self.mailbox.oauth
        assert oauth is not None
        if not self._token or time.monotonic() >= self._until:
            said = _asked(oauth, self._form(oauth))
            lives = said.get("expires_in")
            self._token = str(said["access_token"])
            self._until = time.monotonic() + _seconds(lives) - EARLY_SECONDS
            self._keep(oauth, said.get("refresh_token"))
        return self._token

    def refused(self) -> None:
        """The server did not take the token: the next one is a new one."""
        self._token = ""

    def _form(self, oauth: OAuth) -> dict[str, str]:
        refresh = self._refresh or oauth.refreshing()
        form = {"client_id": oauth.client_id, "grant_type": "refresh_token" if refresh else "client_credentials"}
        secret = oauth.secret()
        return form | {
            name: value
            for name, value in (("client_secret", secret), ("refresh_token", refresh), ("scope", oauth.scope))
            if value
        }

    def _keep(self, oauth: OAuth, refresh: object) -> None:
        """The refresh token may be a new one each time; it replaces the one in the file."""
        if not isinstance(refresh, str) or not refresh or refresh == (self._refresh or oauth.refreshing()):
            return
        self._refresh = refresh
        if not oauth.refresh_token_file:
            return
        fresh = Path(f"{oauth.refresh_token_file}.new")
        try:
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(refresh)
            fresh.replace(oauth.refresh_token_file)
        except OSError as error:
            log().warning("a new refresh token cannot be stored", mailbox=self.mailbox.name, error=error.strerror)


def _asked(oauth: OAuth, form: dict[str, str]) -> dict[str, Any]:
    try:
        response = httpx.post(oauth.token_url, data=form, timeout=ASK_SECONDS, follow_redirects=False, trust_env=False)
        said = response.json() if response.content else {}
    except ValueError:
        said = {}
    except httpx.HTTPError as error:
        raise ConnectionError(f"the token endpoint does not answer: {type(error).__name__}") from None
    if not isinstance(said, dict):
        said = {}
    if response.status_code != 200 or not isinstance(said.get("access_token"), str) or not said["access_token"].strip():
        code = said.get("error")
        named = code if isinstance(code, str) and _CODE.fullmatch(code) else f"status {response.status_code}"
        raise NotAdmitted(f"the token endpoint gives no token ({named}); check the client and its refresh token")
    return said


def _seconds(said: object) -> float:
    """`expires_in`, which some servers write as text."""
    try:
        return max(float(str(said)), 0.0) if said is not None else LIVES_SECONDS
    except ValueError:
        return LIVES_SECONDS
