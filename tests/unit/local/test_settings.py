"""Settings, rendered configurations, pins and the sentences people read."""

import errno
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from deploy.local import errors, jars, kafka, postgres, settings, unprivileged
from deploy.local.errors import LocalError
from deploy.local.instance import Instance
from deploy.local.ports import address, is_ready
from deploy.local.preflight import check, check_distinct, ports
from services.intake.acceptor import GROUP
from services.intake.domain.contacts import COPIES_CAP, REFS_CAP

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.LocalSettings.model_fields:
        monkeypatch.delenv(f"PATCHBAY_{name.upper()}", raising=False)


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "patchbay.env").write_text("PATCHBAY_SLA_PORT=9001\nPATCHBAY_SMTP_PORT=9002\nOTHER=1\n", encoding="utf-8")
    monkeypatch.setenv("PATCHBAY_SMTP_PORT", "9003")
    loaded = settings.load(tmp_path)
    assert (loaded.intake_port, loaded.sla_port, loaded.smtp_port) == (8101, 9001, 9003)
    assert settings.from_env_file(tmp_path) == {"PATCHBAY_SLA_PORT": "9001", "PATCHBAY_SMTP_PORT": "9002"}


@pytest.mark.parametrize("value", ["abc", "0", "65536", ""])
def test_a_setting_that_is_no_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PATCHBAY_SMTP_PORT", value)
    with pytest.raises(LocalError, match="PATCHBAY_SMTP_PORT is not usable"):
        settings.load(tmp_path)


def test_services_are_told_where_everything_is(tmp_path: Path) -> None:
    told = settings.render_environment(settings.load(tmp_path), "127.0.0.1:1", "postgresql://x")
    assert told["PATCHBAY_KAFKA"] == "127.0.0.1:1"
    assert told["PATCHBAY_DATABASE"] == "postgresql://x"
    assert Path(told["PATCHBAY_MASTER_KEY_FILE"]).is_absolute()
    assert [told[f"PATCHBAY_{name}_PORT"] for name in ("INTAKE", "ROUTING", "SLA", "METRICS", "DESK", "SMTP")] == [
        "8101",
        "8102",
        "8103",
        "8104",
        "8105",
        "8125",
    ]


def test_servers_of_ones_own_need_no_ports_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"Kafka", "PostgreSQL"} <= {purpose for _, purpose, _ in ports(settings.load(tmp_path))}
    monkeypatch.setenv("PATCHBAY_KAFKA", "kafka:9092")
    monkeypatch.setenv("PATCHBAY_DATABASE", "postgresql://db/x")
    assert not {"Kafka", "Kafka's controller", "PostgreSQL"} & {p for _, p, _ in ports(settings.load(tmp_path))}


def test_two_uses_of_one_port_are_said_before_anything_starts() -> None:
    with pytest.raises(LocalError, match=r"PATCHBAY_B is not usable \(port 1 is also used for a"):
        check_distinct([(1, "a", "PATCHBAY_A"), (1, "b", "PATCHBAY_B")])


def test_a_master_key_is_made_at_its_own_place_only_and_never_where_the_user_says_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHBAY_SECRETS_DIR", str(tmp_path / "ours"))
    settings.require_master_key(settings.load(tmp_path))
    assert (tmp_path / "ours" / "master.key").exists()
    named = tmp_path / "mounted" / "key"
    monkeypatch.setenv("PATCHBAY_MASTER_KEY_FILE", str(named))
    with pytest.raises(LocalError, match=f"no master key in {named}, which PATCHBAY_MASTER_KEY_FILE names"):
        settings.require_master_key(settings.load(tmp_path))
    assert not named.parent.exists()
    named.parent.mkdir()
    named.write_text("kept\n", encoding="utf-8")
    settings.require_master_key(settings.load(tmp_path))
    assert named.read_text(encoding="utf-8") == "kept\n"


MAIL, TWILIO = "PATCHBAY_INTAKE_MAIL", "PATCHBAY_INTAKE_TWILIO"


@pytest.mark.parametrize(
    ("given", "filled"),
    [
        ((), {f"{MAIL}_HOST", f"{MAIL}_PORT", f"{TWILIO}_URL", f"{TWILIO}_ACCOUNT", f"{TWILIO}_TOKENS_FILE"}),
        ((f"{MAIL}_PORT", f"{TWILIO}_ACCOUNT"), {f"{MAIL}_HOST"}),
        ((f"{MAIL}_HOST", f"{TWILIO}_TOKENS_FILE"), {f"{TWILIO}_URL", f"{TWILIO}_ACCOUNT"}),
        ((f"{MAIL}_HOST", f"{TWILIO}_TOKENS", f"{TWILIO}_URL"), {f"{TWILIO}_ACCOUNT"}),
    ],
)
def test_the_demonstration_s_receivers_replace_nothing_that_is_set(
    tmp_path: Path, given: tuple[str, ...], filled: set[str]
) -> None:
    assert set(settings.demo_receivers(settings.load(tmp_path), dict.fromkeys(given, "x"))) == filled


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1", "127.0.0.1:1"),
        ("0.0.0.0", "127.0.0.1:1"),  # noqa: S104 - asked about, not listened on
        ("::", "[::1]:1"),
        ("192.0.2.7", "192.0.2.7:1"),
        ("fe80::1", "[fe80::1]:1"),
    ],
)
def test_a_service_is_asked_where_it_listens(host: str, asked: str) -> None:
    assert address(host, 1) == asked


def test_an_address_that_this_machine_does_not_have_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATCHBAY_HOST", "192.0.2.7")
    with pytest.raises(LocalError, match=r"PATCHBAY_HOST is not usable \(this machine has no address 192.0.2.7"):
        check(settings.load(tmp_path), tmp_path)


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_service_is_ready_whatever_proxy_the_environment_names() -> None:
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code = f"from deploy.local.ports import is_ready; raise SystemExit(not is_ready('http://127.0.0.1:{server.server_port}'))"
        environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
        done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, check=False, timeout=20)
        server.shutdown()
    assert done.returncode == 0
    assert not is_ready("http://127.0.0.1:9")


def test_a_download_that_hangs_holds_up_nobody_who_wants_to_end() -> None:
    hanging, asked = threading.Event(), iter(range(3))
    pins = jars.parse_pins(jars.PINS.read_text(encoding="utf-8"))

    def meanwhile() -> None:
        if next(asked, None) is None:
            raise KeyboardInterrupt

    def hang(_: jars.Jar) -> None:
        hanging.wait(30)

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            jars.in_threads(hang, pins, meanwhile)
        assert time.monotonic() - began < 5
    finally:
        hanging.set()


def test_the_error_of_one_download_ends_all_and_without_one_each_is_done_once() -> None:
    pins = jars.parse_pins(jars.PINS.read_text(encoding="utf-8"))
    done: list[jars.Jar] = []
    jars.in_threads(done.append, pins, lambda: None)
    assert sorted(jar.file_name for jar in done) == sorted(jar.file_name for jar in pins)

    def fail(jar: jars.Jar) -> None:
        if jar is pins[3]:
            raise errors.corrupt_download(jar.file_name, Path("/c"))

    with pytest.raises(LocalError, match=pins[3].file_name):
        jars.in_threads(fail, pins, lambda: None)


def test_a_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "master.key"
    first = settings.secret_file(path)
    assert settings.secret_file(path) == first
    assert len(first) == 44
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert settings.secret_file(tmp_path / "p", "password").isalnum()


def _properties(text: str) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in text.splitlines())}


def test_the_broker_listens_on_loopback_only_makes_no_topics_and_forgets_nothing(tmp_path: Path) -> None:
    config = _properties(kafka.render_config(tmp_path, 1111, 2222))
    assert config["listeners"] == "CLIENTS://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222"
    assert config["auto.create.topics.enable"] == "false"
    assert config["log.retention.ms"] == "-1"


def test_a_broker_may_advertise_a_proxy_s_port_to_those_who_come_to_a_listener_of_their_own(tmp_path: Path) -> None:
    config = _properties(kafka.render_config(tmp_path, 1111, 2222, [kafka.Listener("SLA", 3333, 4444)]))
    assert config["listeners"] == "CLIENTS://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222,SLA://127.0.0.1:3333"
    assert config["advertised.listeners"] == "CLIENTS://127.0.0.1:1111,CONTROLLER://127.0.0.1:2222,SLA://127.0.0.1:4444"
    assert config["listener.security.protocol.map"] == "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT,SLA:PLAINTEXT"


def test_a_broker_of_three_knows_the_others_and_keeps_three_copies_of_groups_offsets(tmp_path: Path) -> None:
    node = kafka.Node(2, {1: 11, 2: 12, 3: 13}, kafka.new_cluster_id())
    config = _properties(kafka.render_config(tmp_path, 1111, 12, node=node))
    assert config["node.id"] == "2"
    assert config["controller.quorum.voters"] == "1@127.0.0.1:11,2@127.0.0.1:12,3@127.0.0.1:13"
    assert config["offsets.topic.replication.factor"] == "3"


def test_postgres_listens_on_loopback_only_and_keeps_what_it_acknowledged() -> None:
    config = _properties(postgres.render_config(1111, fsync=True))
    assert config["listen_addresses"] == "'127.0.0.1'"
    assert config["unix_socket_directories"] == "''"
    assert (config["fsync"], config["full_page_writes"], config["synchronous_commit"]) == ("on", "on", "on")
    assert _properties(postgres.render_config(1111, fsync=False))["synchronous_commit"] == "on"


def test_postgres_has_room_for_the_names_that_a_group_of_mails_with_copies_holds() -> None:
    config = _properties(postgres.render_config(1111, fsync=True))
    of_a_mail = 1 + COPIES_CAP + REFS_CAP + 1  # its writer, who has copies, what it answers, itself
    assert int(config["max_locks_per_transaction"]) * int(config["max_connections"]) > 4 * GROUP * of_a_mail


def test_every_pinned_jar_has_a_version_and_a_sha256_and_kafka_is_4_4_0() -> None:
    pins = jars.parse_pins(jars.PINS.read_text(encoding="utf-8"))
    assert len({pin.file_name for pin in pins}) == len(pins) > 30
    assert all(len(pin.sha256) == 64 and pin.size > 0 for pin in pins)
    assert {pin.version for pin in pins if pin.group == "org.apache.kafka"} == {"4.4.0"}


def test_a_line_that_is_no_pin_is_refused() -> None:
    with pytest.raises(ValueError, match="unpack"):
        jars.parse_pins("abc  org.apache.kafka:kafka-clients  12")


def test_the_cache_is_the_users_and_respects_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert jars.default_cache() == Path("/elsewhere/patchbay")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert jars.default_cache() == Path.home() / ".cache" / "patchbay"


def test_a_folder_that_others_cannot_enter_is_seen(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not unprivileged.is_open_to_others(closed / "data")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.port_taken(9492, "Kafka", "PATCHBAY_KAFKA_PORT"), ["9492", "Kafka", "PATCHBAY_KAFKA_PORT"]),
        (errors.disk_full(Path("/d"), 3, 500), ["/d", "3 MB", "500 MB", "free some space"]),
        (errors.no_network(41, "ConnectionError"), ["could not be downloaded", "network"]),
        (errors.missing_key(Path("/k")), ["/k", "PATCHBAY_MASTER_KEY_FILE", "mount"]),
        (errors.corrupt_download("kafka.jar", Path("/c")), ["kafka.jar", "SHA-256", "try again"]),
        (errors.unsupported_platform("Plan9", "mips"), ["Plan9 mips", "PATCHBAY_KAFKA"]),
        (errors.already_running(77), ["77", "make stop"]),
        (errors.did_not_start("PostgreSQL", Path("/l"), "out of luck"), ["PostgreSQL", "/l", "out of luck"]),
        (errors.from_os_error(OSError(errno.ENOSPC, "x"), Path("/d")), ["/d", "full"]),
        (errors.from_os_error(OSError(errno.EACCES, "x", "/d/f"), Path("/d")), ["/d/f", "PATCHBAY_DATA"]),
        (errors.from_os_error(OSError(errno.EIO, "x"), Path("/d")), ["/d", "try again"]),
    ],
)
def test_an_error_is_one_line_with_what_happened_and_what_to_do(error: LocalError, says: list[str]) -> None:
    text = str(error)
    assert all(part in text for part in says), text
    assert "\n" not in text
    assert ": " in text or ", " in text


def test_a_second_run_in_the_same_folder_is_refused_with_the_number_of_the_first(tmp_path: Path) -> None:
    first, second = Instance(tmp_path), Instance(tmp_path)
    with first.hold(), pytest.raises(LocalError, match=r"already running from this folder \(process"), second.hold():
        pass
    with second.hold():
        assert second.supervisor_pid() is not None
    assert second.supervisor_pid() is None


def test_stopping_what_does_not_run_says_so(tmp_path: Path) -> None:
    assert Instance(tmp_path).stop() is False
