"""What can be set about the local runtime, and what its processes are told."""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from deploy.local.errors import bad_setting, missing_key
from deploy.local.ports import HOST

ENV_FILE = "patchbay.env"


class LocalSettings(BaseSettings):
    """Read from the environment (`PATCHBAY_…`), else from `patchbay.env` in the project folder, else these defaults."""

    model_config = SettingsConfigDict(env_prefix="PATCHBAY_", env_file=ENV_FILE, extra="ignore", frozen=True)

    kafka: str | None = None
    """Bootstrap servers of a Kafka of one's own; none is started then."""
    database: str | None = None
    """URL of a PostgreSQL of one's own; none is started then."""
    data: Path = Path(".patchbay")
    kafka_port: int = Field(default=9492, ge=1, le=65535)
    kafka_controller_port: int = Field(default=9493, ge=1, le=65535)
    kafka_heap_mb: int = Field(default=320, ge=128, le=65536)
    database_port: int = Field(default=5492, ge=1, le=65535)
    host: str = HOST
    """The address that services listen on; the servers listen on the loopback only."""
    intake_port: int = Field(default=8101, ge=1, le=65535)
    routing_port: int = Field(default=8102, ge=1, le=65535)
    sla_port: int = Field(default=8103, ge=1, le=65535)
    metrics_port: int = Field(default=8104, ge=1, le=65535)
    desk_port: int = Field(default=8105, ge=1, le=65535)
    smtp_port: int = Field(default=8125, ge=1, le=65535)
    demo: bool = True
    """Whether the demonstration's company, keys and receivers are put in place; false for a house of one's own."""
    demo_mail_port: int = Field(default=8126, ge=1, le=65535)
    """Where `make demo` takes the customers' mail; until another server is named, replies go there."""
    demo_twilio_port: int = Field(default=8127, ge=1, le=65535)
    """Where `make demo` plays Twilio's REST API; until an account is named, SMS go there."""
    master_key_file: Path | None = None
    secrets_dir: Path | None = None

    @property
    def secrets_folder(self) -> Path:
        return (self.secrets_dir or self.data / "secrets").absolute()

    @property
    def key_file(self) -> Path:
        return (self.master_key_file or self.secrets_folder / "master.key").absolute()

    @property
    def twilio_token_file(self) -> Path:
        """The token with which `make demo` signs as Twilio does."""
        return self.secrets_folder / "twilio.token"

    def service_ports(self) -> dict[str, int]:
        """HTTP port by service, in the order of their start."""
        return {
            "intake": self.intake_port,
            "routing": self.routing_port,
            "sla": self.sla_port,
            "metrics": self.metrics_port,
            "desk": self.desk_port,
        }

    def listening(self) -> list[tuple[int, str, str]]:
        """(port, what for, setting) of all that services listen on."""
        ports = [(port, name, f"PATCHBAY_{name.upper()}_PORT") for name, port in self.service_ports().items()]
        return [*ports, (self.smtp_port, "incoming mail", "PATCHBAY_SMTP_PORT")]


def load(project: Path) -> LocalSettings:
    """Read the settings. Raises LocalError with the name of the setting that is wrong."""
    try:
        return LocalSettings(_env_file=project / ENV_FILE)
    except ValidationError as error:
        first = error.errors()[0]
        raise bad_setting(f"PATCHBAY_{str(first['loc'][0]).upper()}", first["msg"]) from error


def render_environment(settings: LocalSettings, kafka: str, database: str) -> dict[str, str]:
    """The settings every service and `deploy.setup` is started with."""
    ports = {f"PATCHBAY_{name.upper()}_PORT": str(port) for name, port in settings.service_ports().items()}
    return {
        "PATCHBAY_KAFKA": kafka,
        "PATCHBAY_DATABASE": database,
        "PATCHBAY_MASTER_KEY_FILE": str(settings.key_file),
        "PATCHBAY_SECRETS_DIR": str(settings.secrets_folder),
        "PATCHBAY_HOST": settings.host,
        "PATCHBAY_SMTP_PORT": str(settings.smtp_port),
        **ports,
    }


def demo_receivers(settings: LocalSettings, given: Mapping[str, str]) -> dict[str, str]:
    """Where replies go while no mail server and no Twilio account are named in `given`: to the receivers of `make demo`.

    Of these, what is given stays as it is.
    """
    if not settings.demo:
        return {}
    receivers = {}
    if "PATCHBAY_INTAKE_MAIL_HOST" not in given:
        receivers["PATCHBAY_INTAKE_MAIL_HOST"] = HOST
        receivers["PATCHBAY_INTAKE_MAIL_PORT"] = str(settings.demo_mail_port)
    if "PATCHBAY_INTAKE_TWILIO_ACCOUNT" not in given:
        receivers["PATCHBAY_INTAKE_TWILIO_URL"] = f"http://{HOST}:{settings.demo_twilio_port}"
        receivers["PATCHBAY_INTAKE_TWILIO_ACCOUNT"] = "AC" + "0" * 32
        if "PATCHBAY_INTAKE_TWILIO_TOKENS" not in given:
            receivers["PATCHBAY_INTAKE_TWILIO_TOKENS_FILE"] = str(settings.twilio_token_file)
    return {name: value for name, value in receivers.items() if name not in given}


def from_env_file(project: Path) -> dict[str, str]:
    """The settings of `patchbay.env`, for the services, which read the environment only."""
    values = dotenv_values(project / ENV_FILE) if (project / ENV_FILE).is_file() else {}
    return {name: value for name, value in values.items() if name.startswith("PATCHBAY_") and value is not None}


def require_master_key(settings: LocalSettings) -> None:
    """Have a file with the master key: made at the first start in our own folder, never where the user says that one is.

    Raises LocalError.
    """
    if settings.master_key_file is None:
        secret_file(settings.key_file)
    elif not settings.key_file.exists():
        raise missing_key(settings.key_file)


def secret_file(path: Path, make: str = "key") -> str:
    """The secret in a file that only its owner can read; made at the first call.

    `key` makes 32 random bytes in base64, `password` a password without characters that URLs treat specially.
    """
    if not path.exists():
        write_secret(path, base64.b64encode(secrets.token_bytes(32)).decode() if make == "key" else secrets.token_hex(16))
    return path.read_text(encoding="utf-8").strip()


def write_secret(path: Path, value: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(value.rstrip("\n") + "\n", encoding="utf-8")
    draft.replace(path)
