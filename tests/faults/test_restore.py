"""The drill: a house at work is backed up, works on, is lost, and comes back from the older backup and the log."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.events.message import MessageReceived
from tests.faults.checker import broken
from tests.faults.drill import SAME_AGAIN, SOON, Drill
from tests.faults.history import collect
from tests.system import System, running_system, until


@pytest_asyncio.fixture
async def drill(kafka_bootstrap: str, database: str, tmp_path: Path) -> AsyncIterator[Drill]:
    async with running_system(
        kafka_bootstrap,
        database,
        tmp_path,
        PATCHBAY_INTAKE_ATTEMPT_SECONDS="3",
        PATCHBAY_ROUTING_AGAIN_SECONDS="1",
        PATCHBAY_INTAKE_FORM_PER_MINUTE="10000",
    ) as system:
        answer = await system.client("sla").put("/v1/policies/soon", json=SOON)
        answer.raise_for_status()
        yield Drill(system, tmp_path)


def differences(before: dict[str, set[tuple[object, ...]]], after: dict[str, set[tuple[object, ...]]]) -> list[str]:
    return [
        f"{name}: {kind} {row}"
        for name in before
        for kind, rows in (("lost", before[name] - after[name]), ("new", after[name] - before[name]))
        for row in sorted(rows, key=repr)[:3]
    ]


async def test_what_happened_after_the_backup_is_there_again_and_until_then_nothing_is_taken(drill: Drill) -> None:
    system, backup = drill.system, drill.folder / "a.backup"
    await drill.contact("left-alone-before", "unattended")
    async with asyncio.TaskGroup() as group:  # it is backed up while everything runs
        group.create_task(drill.work("before", 15))
        made = group.create_task(drill.patchbay("backup", str(backup)))
    assert made.result()[0] == 0, made.result()[1]
    await drill.contact("left-alone-after", "unattended")
    await drill.work("letters", 8)
    await drill.work("after", 15, SAME_AGAIN)
    await drill.letter()
    (await system.client("routing").put("/v1/skills/patience", json={"name": {"en": "Patience"}})).raise_for_status()
    await drill.broken_promises(2)
    refused, said = await drill.patchbay("restore", str(backup), "--yes")
    assert (refused, "intake" in said) == (1, True), said
    await drill.told()
    await drill.lose()
    before = await drill.state()
    mails = len(system.mailbox.mails)

    done, said = await drill.patchbay("restore", str(backup), "--yes")
    assert done == 0, said
    await drill.takes_nothing_while_it_catches_up()
    await drill.start()
    await drill.told()
    assert not (wrong := differences(before, await drill.state())), "\n".join(wrong)
    assert len(system.mailbox.mails) == mails, "nothing went out a second time"

    received = len(await messages(system))
    await drill.work("after", 15, SAME_AGAIN)  # the providers send it again
    await drill.letter()
    assert len(await messages(system)) == received, "a repeat is known again"
    await new_work(drill)
    history = await collect(system, drill.truth)
    assert not (wrong := broken(history)), "\n".join(wrong)


async def messages(system: System) -> set[str]:
    return {event.data.message_id for event in await system.log_of("tickets") if isinstance(event.data, MessageReceived)}


async def new_work(drill: Drill) -> None:
    """What comes now is taken, worked and answered, with a number beyond all others and under the new incarnation."""
    await drill.work("anew", 8)
    rows = await drill.system.rows(
        "SELECT count(*) AS n, count(DISTINCT number) AS numbers, max(number) AS last FROM intake.ticket"
    )
    answer = await drill.contact("the-last")
    assert (answer.number or 0) > rows[0]["last"]
    assert rows[0]["n"] == rows[0]["numbers"]
    await drill.told()
    events = await drill.system.log_of("tickets")
    assert {e.position.incarnation for e in events if e.key == answer.ticket_id} == {2}


@pytest.mark.proof
async def test_what_was_not_answered_when_it_was_lost_is_answered_after(drill: Drill) -> None:
    system, backup = drill.system, drill.folder / "a.backup"
    made, said = await drill.patchbay("backup", str(backup))
    assert made == 0, said
    await drill.contact("replied-to")
    await drill.agent_owns("dana", "replied-to")
    await until("it is confirmed", lambda: drill.attempted("replied-to", "state = 'delivered'"))
    await drill.contact("asked-to-close")
    system.processes["intake"].kill()
    for command, body in (("reply", {"text": "We look into it."}), ("close", {})):
        ticket = drill.truth.sendings["replied-to"].answers[0].ticket_id
        (await system.client("routing", "dana").post(f"/v1/tickets/{ticket}/{command}", json=body)).raise_for_status()
    await until("routing told it", lambda: drill.outbox_is_empty("routing"))
    for service in ("routing", "sla"):
        system.processes[service].kill()
    system.start("intake", PATCHBAY_INTAKE_MAIL_PORT="1")  # no mail goes out
    await system.ready("intake")
    await drill.contact("nobody-heard", "unattended")
    await until("intake told it", lambda: drill.outbox_is_empty("intake"))
    await drill.lose()
    done, said = await drill.patchbay("restore", str(backup), "--yes")
    assert done == 0, said
    await drill.start()
    await drill.broken_promises(1)
    await drill.told()
    statuses = {row["number"]: row["status"] for row in await system.rows("SELECT number, status FROM routing.ticket")}
    assert sorted(statuses.values()) == ["closed", "new", "new"]
    assert len(system.mailbox.for_("replied-to@customers.example")) == 2, "the confirmation and the reply"
    history = await collect(system, drill.truth)
    assert not (wrong := broken(history)), "\n".join(wrong)


@pytest.mark.proof
async def test_a_mail_of_which_nobody_knows_whether_it_went_before_all_was_lost_goes_again_as_the_same_mail(drill: Drill) -> None:
    system, backup = drill.system, drill.folder / "a.backup"
    made, said = await drill.patchbay("backup", str(backup))
    assert made == 0, said
    came, killed = threading.Event(), threading.Event()

    def take_and_say_nothing(_recipient: str, _content: bytes) -> None:
        came.set()
        killed.wait(10)

    system.mailbox.listeners.append(take_and_say_nothing)
    await drill.contact("cut-off")
    assert await asyncio.to_thread(came.wait, 10)
    system.processes["intake"].kill()
    system.mailbox.listeners.clear()
    killed.set()
    system.start("intake", PATCHBAY_INTAKE_MAIL_PORT="1")  # no mail goes out
    await until("it is tried again", lambda: drill.attempted("cut-off", "attempts > 1"))
    await until("intake told it", lambda: drill.outbox_is_empty("intake"))
    await drill.lose()
    done, said = await drill.patchbay("restore", str(backup), "--yes")
    assert done == 0, said
    await drill.start()
    await drill.told()
    mails = system.mailbox.for_("cut-off@customers.example")
    assert [mail["Message-ID"] for mail in mails] == [mails[0]["Message-ID"]] * 2
    history = await collect(system, drill.truth)
    assert not (wrong := broken(history)), "\n".join(wrong)


@pytest.mark.proof
async def test_a_second_restore_of_the_same_backup_speaks_under_another_incarnation(drill: Drill) -> None:
    backup = drill.folder / "a.backup"
    assert (await drill.patchbay("backup", str(backup)))[0] == 0
    for number in (1, 2):
        await drill.work(f"round-{number}", 10)
        await drill.told()
        await drill.lose()
        done, said = await drill.patchbay("restore", str(backup), "--yes")
        assert done == 0, said
        await drill.killed_while_catching_up()
        await drill.start()
    await drill.work("round-3", 10)
    await drill.told()
    history = await collect(drill.system, drill.truth)
    assert not (wrong := broken(history)), "\n".join(wrong)
    assert {record.event.position.incarnation for record in history.log.records if record.event.writer == "intake"} == {1, 2, 3}
