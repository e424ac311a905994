"""A process is recognised by number, start and command line, and ended with what it started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from deploy.local.instance import (
    KAFKA_STOP_SECONDS,
    POSTGRES_STOP_SECONDS,
    SERVICES_STOP_SECONDS,
    STOP_SECONDS,
    Instance,
)
from deploy.local.logs import keep_small, last_line
from deploy.local.processes import Child, PidRecord, end_recorded
from deploy.local.watch import LONGEST_DELAY_SECONDS, STEADY_SECONDS, Health, delay_after

SLEEPER = [sys.executable, "-c", "import time; time.sleep(300)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)",
]


def _child(folder: Path, command: list[str]) -> Child:
    return Child("trial", command, log=folder / "trial.log", pid_file=folder / "trial.pid")


def _until(log: Path, text: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if log.exists() and text in log.read_text(encoding="utf-8"):
            return
        time.sleep(0.02)
    pytest.fail(f"{text!r} never came")


RECORD = PidRecord(7, 1000.0, ("java", "-cp", "a"))


@pytest.mark.parametrize(
    ("started", "command", "same"),
    [
        (1000.0, ["java", "-cp", "a"], True),
        (1001.9, ["java", "-cp", "a"], True),
        (1003.0, ["java", "-cp", "a"], False),
        (1000.0, ["java", "-cp", "b"], False),
        (1000.0, ["java"], False),
        (1000.0, [], False),
    ],
)
def test_another_process_with_the_same_number_is_not_taken_for_ours(started: float, command: list[str], same: bool) -> None:
    assert RECORD.is_same(started, command) is same


def test_a_pid_file_survives_a_round_trip(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "run" / "x.pid")
    assert PidRecord.read(tmp_path / "run" / "x.pid") == RECORD


@pytest.mark.parametrize("content", ["", "12", "{}", '{"pid": "x", "started": 1, "command": []}', "\x00"])
def test_a_damaged_pid_file_names_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.pid").write_text(content, encoding="utf-8")
    assert PidRecord.read(tmp_path / "x.pid") is None
    assert end_recorded(tmp_path / "x.pid", signal.SIGTERM, 1.0) is False


def test_what_a_killed_supervisor_left_is_found_and_ended(tmp_path: Path) -> None:
    child = _child(tmp_path, SLEEPER)
    child.start()
    assert end_recorded(tmp_path / "trial.pid", signal.SIGTERM, 10.0)
    assert not child.alive
    assert not (tmp_path / "trial.pid").exists()


def test_a_stranger_with_the_recorded_number_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen(SLEEPER)
    try:
        PidRecord(stranger.pid, time.time(), ("postgres", "-D", "x")).write(tmp_path / "postgres.pid")
        assert end_recorded(tmp_path / "postgres.pid", signal.SIGTERM, 1.0) is False
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_process_that_does_not_listen_is_ended_by_force(tmp_path: Path) -> None:
    child = _child(tmp_path, STUBBORN)
    child.start()
    _until(child.log, "deaf")
    child.stop(timeout_seconds=0.2)
    assert child.exit_code == -signal.SIGKILL


def test_a_paused_process_ends_when_asked(tmp_path: Path) -> None:
    child = _child(tmp_path, SLEEPER)
    child.start()
    child.pause()
    assert child.alive
    child.stop(timeout_seconds=10)
    assert child.exit_code == -signal.SIGTERM


def test_killing_takes_the_children_of_the_process_too(tmp_path: Path) -> None:
    code = f"import subprocess, time; p = subprocess.Popen({SLEEPER!r}); print('pid', p.pid, flush=True); time.sleep(300)"
    child = _child(tmp_path, [sys.executable, "-c", code])
    child.start()
    _until(child.log, "pid ")
    grandchild = psutil.Process(int(child.log.read_text(encoding="utf-8").split()[1]))
    child.kill()
    assert not child.alive
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    code = (
        "import time; from pathlib import Path; from deploy.local.processes import Child\n"
        f"c = Child('x', {SLEEPER!r}, log=Path({str(tmp_path / 'x.log')!r}), pid_file=Path({str(tmp_path / 'x.pid')!r}))\n"
        "c.start(); print('up', flush=True); time.sleep(300)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
    assert parent.stdout is not None
    parent.stdout.readline()
    record = PidRecord.read(tmp_path / "x.pid")
    assert record is not None
    assert record.find() is not None
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while record.find() is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert record.find() is None


def test_the_output_of_a_process_can_be_kept_out_of_its_log(tmp_path: Path) -> None:
    code = "import sys; print('the key'); print('the trouble', file=sys.stderr)"
    output = tmp_path / "out"
    command = [sys.executable, "-c", code]
    child = Child("trial", command, log=tmp_path / "trial.log", pid_file=tmp_path / "trial.pid", output=output)
    child.start()
    assert child.wait(20)
    assert output.read_text(encoding="utf-8") == "the key\n"
    assert output.stat().st_mode & 0o777 == 0o600
    assert last_line(child.log) == "the trouble"


def test_the_log_of_a_process_that_goes_on_writing_stays_small_and_keeps_what_came_last(tmp_path: Path) -> None:
    code = "for n in range(60000): print('line', n, 'x' * 40, flush=True)\nprint('the end', flush=True)"
    child = _child(tmp_path, [sys.executable, "-c", code])
    child.start()
    largest = 0
    while not child.wait(0.005):
        keep_small(child.log, at_most=200_000)
        largest = max(largest, child.log.stat().st_size)
    assert largest < 1_500_000, "of some three million bytes"
    older = tmp_path / "trial.log.1"
    assert older.exists()
    assert b"\0" not in child.log.read_bytes() + older.read_bytes()
    assert child.last_line() == "the end"


def test_only_what_was_said_since_the_start_is_told_and_of_json_the_words(tmp_path: Path) -> None:
    child = _child(tmp_path, [sys.executable, "-c", ""])
    child.log.write_text("what the last run said\n", encoding="utf-8")
    child.start()
    assert child.wait(20)
    assert child.last_line() == ""
    child.log.write_text('{"event": "cannot go on", "reason": "No master key.", "level": "error"}\n\n', encoding="utf-8")
    assert last_line(child.log) == "cannot go on: No master key."
    child.log.write_text("[1]\n", encoding="utf-8")
    assert last_line(child.log) == "[1]"


def test_all_that_is_ended_in_turn_takes_ten_seconds_at_most() -> None:
    assert SERVICES_STOP_SECONDS + KAFKA_STOP_SECONDS + POSTGRES_STOP_SECONDS < STOP_SECONDS * 0.9
    assert STOP_SECONDS <= 10


def test_a_supervisor_and_services_that_do_not_listen_are_ended_within_the_time(tmp_path: Path) -> None:
    instance = Instance(tmp_path)
    deaf = {
        name: Child(name, STUBBORN, log=tmp_path / f"{name}.log", pid_file=instance.pid_file(name))
        for name in ("supervisor", "intake", "routing", "sla", "kafka")
    }
    for child in deaf.values():
        child.start()
    for child in deaf.values():
        _until(child.log, "deaf")
    began = time.monotonic()
    assert instance.stop(within_seconds=2.0)
    assert time.monotonic() - began < 3.0
    assert [name for name, child in deaf.items() if child.alive] == []


def test_a_pid_file_that_cannot_be_written_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    child = Child("trial", SLEEPER, log=tmp_path / "log", pid_file=tmp_path / "file" / "trial.pid")
    with pytest.raises(OSError, match="file"):
        child.start()
    assert not child.alive


def test_the_record_of_a_live_process_finds_it() -> None:
    found = PidRecord.of(os.getpid()).find()
    assert found is not None
    assert found.pid == os.getpid()


def test_waiting_before_a_new_start_doubles_and_is_bounded() -> None:
    assert [delay_after(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert delay_after(10_000) == LONGEST_DELAY_SECONDS


def test_a_process_that_ran_steadily_is_forgiven_its_older_failures() -> None:
    flapping = Health(started=0.0).died(1.0).restarted(2.0).died(3.0).restarted(4.0)
    assert flapping.failures == 2
    assert flapping.died(5.0).failures == 3
    assert flapping.died(4.0 + STEADY_SECONDS).failures == 1


def test_a_dead_process_is_due_only_when_its_delay_is_over() -> None:
    dead = Health(started=0.0).died(1.0)
    assert not dead.is_due(1.4)
    assert dead.is_due(1.5)
    assert not dead.restarted(1.5).is_due(100.0)
