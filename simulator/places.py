"""Where a running Patchbay takes traffic, and with which keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NO_ACCOUNT = "AC" + "0" * 32


@dataclass(frozen=True)
class Places:
    """Base URLs without a slash at the end, addresses and keys.

    `keys` is by role: `channels`, each agent's id, `admin`, `operations`. `agents` are those with a key of their own.
    `public_url` is the URL that intake knows as its own and that Twilio's signatures are over; `intake` where nothing
    stands between. The addresses are those of the configured inboxes.
    """

    intake: str
    routing: str
    sla: str
    metrics: str
    smtp_host: str
    smtp_port: int
    twilio_token: str
    keys: Mapping[str, str]
    agents: tuple[str, ...] = ("dana", "omar")
    twilio_account: str = NO_ACCOUNT
    public_url: str | None = None
    mail_inbox: str = "support"
    mail_address: str = "support@patchbay.example"
    sms_number: str = "+40312295500"
    phone_number: str = "+40312295501"
    form: str = "contact"
