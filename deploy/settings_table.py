"""The settings as a Markdown table, from the classes that read them: `python -m deploy.settings_table`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from deploy.local.settings import LocalSettings
from shared.settings import Settings

SERVICES = ("intake", "routing", "sla", "metrics", "desk")
# What `make run` reads beside the services' settings.
LOCAL = {
    "data": "folder of the data that `make run` keeps",
    "kafka_port": "port of the Kafka that `make run` starts",
    "kafka_controller_port": "port of its controller",
    "kafka_heap_mb": "memory of its Java heap, in MB",
    "database_port": "port of the PostgreSQL that `make run` starts",
    "demo": "whether `make run` brings the demonstration's company, keys and receivers",
    "demo_mail_port": "where `make demo` takes the customers' mail",
    "demo_twilio_port": "where `make demo` plays Twilio's REST API",
    "secrets_dir": "folder of the secrets that `make run` makes; by default in its data",
}


def settings_classes() -> list[type[Settings]]:
    """What all services share, then the class of each service that has one."""
    classes: list[type[Settings]] = [Settings]
    for service in SERVICES:
        name = f"services.{service}.settings"
        if (Path(__file__).resolve().parent.parent / "services" / service / "settings.py").exists():
            members = vars(importlib.import_module(name)).values()
            own = [m for m in members if isinstance(m, type) and issubclass(m, Settings) and m.__module__ == name]
            classes += own
    return classes


def rows() -> Iterator[tuple[str, str, str]]:
    """(name, default, meaning) of each setting, once; those of `make run` last."""
    told: set[str] = set()
    kinds: list[type[BaseSettings]] = [*settings_classes(), LocalSettings]
    for kind in kinds:
        for name, field in kind.model_fields.items():
            if name not in told:
                told.add(name)
                yield f"PATCHBAY_{name.upper()}", _default(field), field.description or LOCAL.get(name, "")


def table() -> str:
    """As Markdown."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, default, meaning in rows():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{name}` | {shown} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    return (
        value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


if __name__ == "__main__":
    print(table(), end="")
