"""What is said about settings, and where a running Patchbay's are found."""

import base64
import re
from pathlib import Path

import pytest

from deploy import settings_table
from deploy.local import trying
from deploy.running import adopt_settings
from shared.settings import Settings, SettingsError, read


def test_every_setting_is_listed_once_with_its_meaning() -> None:
    rows = list(settings_table.rows())
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names))
    assert {"PATCHBAY_KAFKA", "PATCHBAY_DATABASE", "PATCHBAY_METRICS_PORT", "PATCHBAY_DATA"} <= set(names)
    assert [name for name, _, meaning in rows if not meaning] == []


def test_the_table_is_markdown_with_three_columns() -> None:
    lines = settings_table.table().splitlines()
    assert lines[:2] == ["| setting | default | meaning |", "|---|---|---|"]
    assert all(re.fullmatch(r"\| `PATCHBAY_[A-Z0-9_]+` \| (`[^`|]+`)? \| [^|]+ \|", line) for line in lines[2:]), lines
    assert "| `PATCHBAY_LOG_JSON` | `true` |" in settings_table.table()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a `make run` with other ports."""
    secrets = tmp_path / ".patchbay" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "postgres.password").write_text("secret\n")
    (secrets / "master.key").write_text("key\n")
    (tmp_path / "patchbay.env").write_text("PATCHBAY_KAFKA_PORT=9777\nPATCHBAY_DATABASE_PORT=5777\n")
    return tmp_path


def test_the_settings_of_what_runs_here_are_found(project: Path) -> None:
    environment: dict[str, str] = {}
    adopt_settings(environment, project)
    assert environment["PATCHBAY_KAFKA"] == "127.0.0.1:9777"
    assert environment["PATCHBAY_DATABASE"] == "postgresql://patchbay:secret@127.0.0.1:5777/patchbay"
    assert environment["PATCHBAY_MASTER_KEY_FILE"] == str(project / ".patchbay" / "secrets" / "master.key")


def test_the_environment_goes_before_the_file_and_both_before_what_runs_here(project: Path) -> None:
    (project / "patchbay.env").write_text("PATCHBAY_KAFKA=file:1\nPATCHBAY_DATABASE=postgresql://file/x\nPATCHBAY_MASTER_KEY=m\n")
    environment = {"PATCHBAY_DATABASE": "postgresql://mine/x"}
    adopt_settings(environment, project)
    assert environment["PATCHBAY_DATABASE"] == "postgresql://mine/x"
    assert environment["PATCHBAY_KAFKA"] == "file:1"
    assert "PATCHBAY_MASTER_KEY_FILE" not in environment


def test_where_nothing_was_run_nothing_is_made(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    adopt_settings(environment, tmp_path)
    assert environment == {}
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_PARTITIONS", "canary")
    with pytest.raises(SettingsError, match="PATCHBAY_PARTITIONS: Input should be a valid integer") as wrong:
        read(Settings)
    assert "canary" not in str(wrong.value)


def test_a_log_level_that_there_is_not_is_named_with_those_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATCHBAY_LOG_LEVEL", "verbose")
    with pytest.raises(SettingsError, match="PATCHBAY_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"):
        read(Settings)


@pytest.mark.parametrize(("key", "said"), [(None, "No master key"), ("short", "exactly 32 bytes"), ("é", "exactly 32 bytes")])
def test_a_master_key_that_cannot_be_used_says_what_to_do(monkeypatch: pytest.MonkeyPatch, key: str | None, said: str) -> None:
    for name in ("PATCHBAY_MASTER_KEY", "PATCHBAY_MASTER_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    if key is not None:
        monkeypatch.setenv("PATCHBAY_MASTER_KEY", key)
    with pytest.raises(SettingsError, match=said):
        read(Settings).master_key_bytes()


@pytest.mark.parametrize("between", [",", "\n", " ,\n"])
def test_while_a_master_key_is_changed_for_another_there_are_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, between: str
) -> None:
    new, old = (base64.b64encode(letter * 32).decode() for letter in (b"n", b"o"))
    (tmp_path / "master.key").write_text(f"{new}{between}{old}\n")
    monkeypatch.delenv("PATCHBAY_MASTER_KEY", raising=False)
    monkeypatch.setenv("PATCHBAY_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    assert (read(Settings).master_keys(), read(Settings).master_key_bytes()) == ((b"n" * 32, b"o" * 32), b"n" * 32)
    monkeypatch.setenv("PATCHBAY_MASTER_KEY", f"{new},{old[:-5]}")
    with pytest.raises(SettingsError, match="exactly 32 bytes"):
        read(Settings).master_keys()


def test_a_master_key_file_that_is_a_folder_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PATCHBAY_MASTER_KEY", raising=False)
    monkeypatch.setenv("PATCHBAY_MASTER_KEY_FILE", str(tmp_path))
    with pytest.raises(SettingsError, match="cannot be read"):
        read(Settings).master_key_bytes()


def test_what_make_run_made_to_try_providers_with_is_found_where_none_is_set_up(project: Path) -> None:
    secrets = project / ".patchbay" / "secrets"
    trying.make(secrets)
    (secrets / "twilio.token").write_text("token\n")
    environment: dict[str, str] = {}
    adopt_settings(environment, project)
    assert environment["PATCHBAY_INTAKE_TWILIO_TOKENS_FILE"] == str(secrets / "twilio.token")
    assert environment["PATCHBAY_INTAKE_SES_TOPICS"] == trying.TOPIC
    assert environment["PATCHBAY_INTAKE_SENDGRID_INBOUND_KEYS"] == trying.sendgrid_public((secrets / "sendgrid.pem").read_bytes())
    before = {path: path.read_bytes() for path in secrets.iterdir()}
    trying.make(secrets)
    assert {path: path.read_bytes() for path in secrets.iterdir()} == before, "what is there stays"
    assert {path.stat().st_mode & 0o077 for path in secrets.glob("s*")} == {0}


def test_with_a_provider_of_ones_own_nothing_is_given_to_try_the_others(project: Path) -> None:
    trying.make(project / ".patchbay" / "secrets")
    environment = {"PATCHBAY_INTAKE_MAILGUN_KEYS": "key"}
    adopt_settings(environment, project)
    assert not {name for name in environment if "SES" in name or "CREDENTIALS" in name}
