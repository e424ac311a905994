"""Settings that every service has. From the environment (prefix PATCHBAY_) or a file `patchbay.env`; secrets from files."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class SettingsError(ValueError):
    """A setting that is missing or unusable; the message says which and what to do."""


class Settings(BaseSettings):
    """What all services share. A service's own class adds its port and its own settings."""

    model_config = SettingsConfigDict(env_prefix="PATCHBAY_", env_file="patchbay.env", extra="ignore", hide_input_in_errors=True)

    kafka: str = Field("127.0.0.1:9492", description="Kafka bootstrap servers, comma-separated")
    database: SecretStr = Field(
        SecretStr("postgresql://patchbay@127.0.0.1:5492/patchbay"),
        description="PostgreSQL URL, as libpq's: `?sslmode=verify-full&sslrootcert=…` for TLS",
    )
    master_key: SecretStr | None = Field(
        None,
        description="base64 of 32 bytes; wraps the customers' keys. While it is changed for another there are two, by comma or by"
        " line: the first wraps, both open (docs/operations.md)",
    )
    master_key_file: Path | None = Field(None, description="file with the master key, instead of the variable")
    host: str = Field("127.0.0.1", description="address that the services listen on")
    partitions: int = Field(12, ge=1, le=256, description="partitions of the topics keyed by ticket, fixed at creation")
    replication: int = Field(1, ge=1, le=5, description="replicas of each partition")
    batch_records: int = Field(500, ge=1, le=10_000, description="records of one poll, and so of one transaction")
    database_pool: int = Field(10, ge=2, le=200, description="database connections of one process")
    transaction_seconds: int = Field(15, ge=1, le=600, description="longest transaction of a service")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    log_json: bool = Field(True, description="one JSON object a line; false prints for people")

    @property
    def standstill_seconds(self) -> float:
        """How long a process may stand still in a transaction, before PostgreSQL ends it for those who wait."""
        return self.transaction_seconds

    def master_key_bytes(self) -> bytes:
        """The 32 bytes of the master key that wraps. Raises SettingsError when it is missing or malformed."""
        return self.master_keys()[0]

    def master_keys(self) -> tuple[bytes, ...]:
        """It, and those that it takes the place of, which only open. Raises SettingsError."""
        text = self.master_key.get_secret_value() if self.master_key else None
        if text is None and self.master_key_file is not None and self.master_key_file.exists():
            text = secret_in(self.master_key_file)
        if text is None:
            raise SettingsError(
                "No master key. Set PATCHBAY_MASTER_KEY_FILE to a file with the base64 of 32 random bytes "
                "(for example: head -c 32 /dev/urandom | base64) and keep it as safe as the data."
            )
        keys = tuple(_decoded(one.strip()) for one in text.replace("\n", ",").split(",") if one.strip())
        if not keys or any(len(key) != 32 for key in keys):
            raise SettingsError("The master key must be the base64 of exactly 32 bytes.")
        return keys

    @field_validator("database")
    @classmethod
    def _is_as_libpq_writes_it(cls, database: SecretStr) -> SecretStr:
        """asyncpg would tell most of this to nobody but PostgreSQL, and only when it connects."""
        try:
            parts = urlsplit(database.get_secret_value())
        except ValueError:
            raise ValueError("this is no URL; write postgresql://user:password@host:port/database") from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise ValueError("the URL begins with postgresql://")
        asked = parse_qs(parts.query)
        if "ssl" in asked:
            raise ValueError("TLS is asked for with sslmode=…, not with ssl=…")
        if wrong := set(asked.get("sslmode", ())) - set(SSL_MODES):
            raise ValueError(f"sslmode is {wrong.pop()}, which is none of {', '.join(SSL_MODES)}")
        return database


Chosen = TypeVar("Chosen", bound=Settings)


def read(kind: Callable[[], Chosen]) -> Chosen:
    """The settings of a process. Raises SettingsError, which names what is wrong but not the values: some are secret."""
    try:
        return kind()
    except ValidationError as error:
        wrong = [f"PATCHBAY_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}" for item in error.errors()]
        raise SettingsError(f"Correct in the environment or in patchbay.env: {'; '.join(wrong)}.") from None


def _decoded(text: str) -> bytes:
    """Empty where it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""


def secret_in(file: Path) -> str:
    """What stands in a file, without what surrounds it. Raises SettingsError when it cannot be read."""
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file} cannot be read ({type(error).__name__}). Give the user who runs this the right to."
        ) from None
