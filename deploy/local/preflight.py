"""What must be true of a machine before anything is started."""

import shutil
import sys
from pathlib import Path

from deploy.local.errors import LocalError, bad_setting, disk_full, port_taken
from deploy.local.ports import HOST, is_free, is_here
from deploy.local.settings import LocalSettings

NEEDED_MB = 500
"""Fresh data folders and the first write-ahead logs take about 200 MB; the rest is air to breathe."""


def check(settings: LocalSettings, data: Path) -> None:
    """Raises LocalError for the first of: unsupported platform, full disk, foreign address, two uses of a port, a taken port."""
    if sys.platform not in ("linux", "darwin"):
        raise LocalError(f"Patchbay does not run on {sys.platform}: use Linux or macOS (on Windows: WSL 2).")
    free_mb = shutil.disk_usage(data).free // 2**20
    if free_mb < NEEDED_MB:
        raise disk_full(data, free_mb, NEEDED_MB)
    if not is_here(settings.host):
        raise bad_setting("PATCHBAY_HOST", f"this machine has no address {settings.host}")
    wanted = ports(settings)
    check_distinct(wanted)
    ours = {port for port, _, _ in settings.listening()}
    for port, purpose, setting in wanted:
        if not is_free(port, settings.host if port in ours else HOST):
            raise port_taken(port, purpose, setting)


def ports(settings: LocalSettings) -> list[tuple[int, str, str]]:
    """(port, what for, setting) of everything that will listen."""
    wanted = settings.listening()
    if settings.kafka is None:
        wanted.append((settings.kafka_port, "Kafka", "PATCHBAY_KAFKA_PORT"))
        controller = (settings.kafka_controller_port, "Kafka's controller", "PATCHBAY_KAFKA_CONTROLLER_PORT")
        wanted.append(controller)
    if settings.database is None:
        wanted.append((settings.database_port, "PostgreSQL", "PATCHBAY_DATABASE_PORT"))
    return wanted


def check_distinct(wanted: list[tuple[int, str, str]]) -> None:
    """Raises LocalError when one port is wanted for two things."""
    seen: dict[int, str] = {}
    for port, purpose, setting in wanted:
        if port in seen:
            raise bad_setting(setting, f"port {port} is also used for {seen[port]}")
        seen[port] = purpose
