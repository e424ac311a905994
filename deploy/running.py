"""Where the servers of a Patchbay that was started here with `make run` are, for programs started beside it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from deploy.local import settings as local_settings
from deploy.local import trying
from deploy.local.ports import HOST
from deploy.local.postgres import LocalPostgres
from deploy.local.settings import LocalSettings

PROJECT = Path(__file__).resolve().parent.parent


def adopt_settings(environment: MutableMapping[str, str] = os.environ, project: Path = PROJECT) -> None:
    """Fill in the settings that `make run` gives its services, where neither the environment nor patchbay.env says otherwise.

    Raises LocalError for a setting that is wrong.
    """
    local = local_settings.load(project)
    secrets = _secrets(local, project)
    found = local_settings.from_env_file(project)
    password = secrets / "postgres.password"
    if password.exists():
        found.setdefault("PATCHBAY_KAFKA", f"{HOST}:{local.kafka_port}")
        found.setdefault("PATCHBAY_DATABASE", _url(local.database_port, password))
    key = secrets / "master.key"
    if key.exists() and not {"PATCHBAY_MASTER_KEY", "PATCHBAY_MASTER_KEY_FILE"} & (found.keys() | environment.keys()):
        found["PATCHBAY_MASTER_KEY_FILE"] = str(key)
    given = {**found, **environment}
    if (secrets / "twilio.token").exists():
        found |= local_settings.demo_receivers(local.model_copy(update={"secrets_dir": secrets}), given)
    found |= trying.environment(local, secrets, given)
    for name, value in found.items():
        environment.setdefault(name, value)


def secrets_folder(project: Path = PROJECT) -> Path:
    """Where `make run` keeps its secrets. Raises LocalError for a setting that is wrong."""
    return _secrets(local_settings.load(project), project)


def _secrets(local: LocalSettings, project: Path) -> Path:
    return project / local.data / "secrets" if local.secrets_dir is None else local.secrets_folder


def _url(port: int, password: Path) -> str:
    return LocalPostgres(password.parent / "unused", port, local_settings.secret_file(password, "password")).url
