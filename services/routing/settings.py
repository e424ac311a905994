"""Routing's own settings, beside those of all services."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings


class RoutingSettings(Settings):
    """From the environment: PATCHBAY_ROUTING_PORT and so on."""

    routing_port: int = Field(8102, description="port of the routing API", ge=1, le=65535)
    routing_presence_seconds: float = Field(20.0, description="how long an agent is there after the last sign", gt=0)
    routing_live_grace_seconds: float = Field(30.0, description="how long a chat waits for an agent whose presence ended", ge=0)
    routing_again_seconds: float = Field(60.0, description="how long who let an offer go is not asked again", ge=0)
    routing_match_tickets: int = Field(200, description="waiting tickets of one kind looked at in one pass", ge=1, le=5000)
    routing_tick_seconds: float = Field(0.25, description="how often offers and presence are looked at", gt=0, le=5)
    routing_decision_days: int = Field(7, description="how many days it is kept why an offer was made", ge=1, le=3650)
