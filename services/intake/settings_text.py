"""What settings say in a variable, or in a file in its place."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr


def given(secret: SecretStr, file: Path | None) -> str:
    """The variable, or where it is empty the file. Raises OSError when it cannot be read."""
    text = secret.get_secret_value()
    return text if text or file is None else file.read_text()


def listed(secret: SecretStr, file: Path | None) -> tuple[str, ...]:
    """What they list, separated by commas, in a file also a line each; nothing where the file is not there yet."""
    return parts(given(secret, file if file is not None and file.exists() else None).replace("\n", ","))


def parts(text: str) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(part for part in (one.strip() for one in text.split(",")) if part)
