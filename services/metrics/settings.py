"""The service's settings, beside those that all services share."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from shared.settings import Settings


class MetricsSettings(Settings):
    """Each is an environment variable: `metrics_port` is PATCHBAY_METRICS_PORT."""

    metrics_port: int = Field(8104, description="HTTP port of metrics")
    metrics_zone: str = Field("UTC", description="time zone whose days the figures' days are, e.g. Asia/Jerusalem")
    metrics_rebuild_records: int = Field(5_000, ge=1, le=50_000, description="records of one transaction of a rebuild")

    @field_validator("metrics_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"'{name}' is no time zone; use a name of the IANA database such as Asia/Jerusalem") from None
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the figures' days."""
        return ZoneInfo(self.metrics_zone)
