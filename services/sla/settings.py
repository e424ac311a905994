"""The service's settings, beside those that all services share."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings


class SlaSettings(Settings):
    """Each is an environment variable: `sla_port` is PATCHBAY_SLA_PORT."""

    sla_port: int = Field(8103, description="HTTP port of sla")
    sla_grace_ms: int = Field(
        100, ge=0, le=10_000, description="how long after a deadline its breach is published at the earliest"
    )
    sla_hold_at_most_seconds: int = Field(
        900, ge=1, le=86_400, description="how long breaches wait for input that is behind, before they go out as unconfirmed"
    )
    sla_timers_at_once: int = Field(500, ge=1, le=10_000, description="tickets whose timers fire in one transaction")
