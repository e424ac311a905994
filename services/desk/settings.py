"""The service's settings, beside those that all services share."""

from __future__ import annotations

from pydantic import Field

from shared.settings import Settings


class DeskSettings(Settings):
    """Each is an environment variable: `desk_port` is PATCHBAY_DESK_PORT."""

    desk_port: int = Field(8105, description="HTTP port of desk")
    desk_index_tickets: int = Field(50, ge=1, le=1000, description="tickets whose words are indexed in one transaction")
