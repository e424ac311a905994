"""Routing's own settings, beside those of all services."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from shared.auth import LOOPBACK, SCOPE
from shared.settings import Settings, SettingsError, secret_in


class RoutingSettings(Settings):
    """From the environment: PATCHBAY_ROUTING_PORT and so on."""

    routing_port: int = Field(8102, description="port of the routing API", ge=1, le=65535)
    routing_presence_seconds: float = Field(20.0, description="how long an agent is there after the last sign", gt=0)
    routing_live_grace_seconds: float = Field(30.0, description="how long a chat waits for an agent whose presence ended", ge=0)
    routing_again_seconds: float = Field(60.0, description="how long who let an offer go is not asked again", ge=0)
    routing_match_tickets: int = Field(200, description="waiting tickets of one kind looked at in one pass", ge=1, le=5000)
    routing_tick_seconds: float = Field(0.25, description="how often offers and presence are looked at", gt=0, le=5)
    routing_standstill_seconds: float = Field(
        3.0, description="a process that stands still in a transaction for so long loses it, and another goes on", ge=0.1, le=60
    )
    routing_wait_seconds: float = Field(
        2.0, description="how often places and waits of those who wait on live channels are estimated anew", gt=0, le=60
    )
    routing_wait_tickets: int = Field(10_000, description="the first so many of each queue are told theirs", ge=1, le=100_000)
    routing_wait_days: int = Field(
        90, description="how many days it is kept what was said of waits and what it was worth", ge=15, le=3650
    )
    routing_decision_days: int = Field(7, description="how many days it is kept why an offer was made", ge=1, le=3650)
    routing_attending_seconds: float = Field(
        30.0, description="how long others see that an agent looks at a ticket or writes on it, after the last sign", ge=1, le=600
    )
    routing_draft_days: int = Field(30, description="how many days a draft is kept that nobody goes on with", ge=1, le=3650)
    routing_public_url: str = Field(
        "", description="the URL under which people's browsers reach routing; http://127.0.0.1 and its port by default"
    )
    routing_session_idle_seconds: int = Field(1800, description="a session that nobody uses for so long ends", ge=60, le=604_800)
    routing_session_seconds: int = Field(43_200, description="no session lasts longer, however it is used", ge=60, le=2_592_000)
    routing_oidc_issuer: str = Field(
        "", description="issuer of your OpenID Connect provider, `https://…`; with it people may sign in there"
    )
    routing_oidc_client_id: str = Field("", description="what Patchbay is called there")
    routing_oidc_client_secret: SecretStr | None = Field(None, description="its secret there; none: PKCE alone")
    routing_oidc_client_secret_file: Path | None = Field(None, description="file with the secret, instead of the variable")
    routing_oidc_scope: str = Field("openid email profile", description="what is asked for there")
    routing_oidc_match: Literal["email", "sub"] = Field(
        "email", description="by what a person is known who comes from there: the address (verified there), or the subject"
    )
    routing_oidc_groups_claim: str = Field("groups", description="the claim that names groups")
    routing_oidc_groups: str = Field(
        "",
        description="what groups may do, `group=scope,scope;group=…`; `agent` is the agent of the person's login. Where set,"
        " groups alone decide; else what the person may do here",
    )

    @property
    def standstill_seconds(self) -> float:
        """Customers wait meanwhile: whoever holds the turn to match holds up all others."""
        return min(self.routing_standstill_seconds, self.transaction_seconds)

    @property
    def public_url(self) -> str:
        """Where browsers reach us, without a slash at its end."""
        return (self.routing_public_url or f"http://127.0.0.1:{self.routing_port}").rstrip("/")

    @property
    def on_loopback(self) -> bool:
        """Whether browsers reach us on this machine only, so that a cookie may go without TLS."""
        return urlsplit(self.public_url).hostname in LOOPBACK

    @property
    def oidc_secret(self) -> str | None:
        """The client's secret. Raises SettingsError when its file cannot be read."""
        if self.routing_oidc_client_secret is not None:
            return self.routing_oidc_client_secret.get_secret_value()
        return secret_in(self.routing_oidc_client_secret_file) if self.routing_oidc_client_secret_file is not None else None

    @property
    def oidc_groups(self) -> Mapping[str, tuple[str, ...]]:
        """Scopes by group. Raises SettingsError for what is no scope."""
        found: dict[str, tuple[str, ...]] = {}
        for part in filter(None, (part.strip() for part in self.routing_oidc_groups.split(";"))):
            group, _, scopes = part.rpartition("=")
            named = tuple(scope.strip() for scope in scopes.split(","))
            wrong = [scope for scope in named if scope != "agent" and not SCOPE.fullmatch(scope)]
            if not group or wrong:
                raise SettingsError(
                    f"PATCHBAY_ROUTING_OIDC_GROUPS: '{part}' is not group=scope,scope with scopes that there are."
                )
            found[group.strip()] = named
        return found

    @field_validator("routing_oidc_issuer", "routing_public_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
            raise ValueError("begins with https://, or on this machine with http://127.0.0.1")
        return url
