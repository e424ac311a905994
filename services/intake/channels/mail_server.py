"""The mail server that takes our mail on, and being let in there."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

import aiosmtplib

from services.intake.domain.delivery import NotNow

SEND_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class MailServer:
    """`tls`: from the first byte; else as soon as the server offers it."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: bool = False

    @property
    def hears_by_tls_only(self) -> bool:
        """Whether others would hear our password on its way: the server is not on this machine."""
        return self.password is not None and not _is_here(self.host)


async def let_in(server: MailServer) -> aiosmtplib.SMTP | NotNow:
    """A connection on which mail may be sent, to be closed; or why there is none. Never raises.

    Where the server offers TLS (STARTTLS) it is used, and its certificate has to be good. Where it does not, no password is said:
    who stands between could have hidden the offer.
    """
    client = aiosmtplib.SMTP(hostname=server.host, port=server.port, use_tls=server.tls, timeout=SEND_SECONDS)
    try:
        await client.connect()
        if server.hears_by_tls_only and client.get_transport_info("sslcontext") is None:
            client.close()
            return NotNow("mail-server-without-tls")
        if server.username is not None:
            await client.login(server.username, server.password or "")
    except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError):
        client.close()
        return NotNow("mail-server-away")
    except BaseException:
        client.close()
        raise
    return client


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
