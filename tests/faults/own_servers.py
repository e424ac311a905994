"""Systems on servers of their own, that a test may harm; whoever supervises servers is played by the test."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path

from shared.deadlines import within
from tests.faults.house import House
from tests.infra import LocalKafka, LocalPostgres
from tests.system import running_system, until

ANSWER_SECONDS = 12.0  # a provider gives up after 10 to 15
PAUSE_SECONDS = 0.3
UNPUBLISHED = "SELECT DISTINCT key FROM intake.outbox WHERE topic = 'tickets' AND key = ANY($1::text[])"


@asynccontextmanager
async def house_on(brokers: Sequence[LocalKafka], postgres: LocalPostgres, database: str, folder: Path) -> AsyncIterator[House]:
    """A system on these servers, without proxies; each partition on all brokers."""
    bootstrap = ",".join(broker.bootstrap for broker in brokers)
    async with running_system(
        bootstrap,
        database,
        folder,
        replication=len(brokers),
        PATCHBAY_INTAKE_FORM_PER_MINUTE="10000",
        PATCHBAY_ROUTING_AGAIN_SECONDS="1",
    ) as system:
        yield House(system, brokers[0], postgres)


async def assert_all_is_well(house: House) -> None:
    """No service ended, and every promise holds for the whole history. Some more contacts show that all goes on."""
    async with house.at_work(9, contacts=6, rate=4):
        pass
    wrong = await house.wrong(figures=True)
    ended = {name: process.tail() for name, process in house.system.processes.items() if process.exit_code is not None}
    assert (wrong, ended) == ([], {})


async def accepted(house: House, key: str) -> str:
    """A contact that is acknowledged in time. Returns the ticket's id."""
    return await within(house.write(key), ANSWER_SECONDS)


async def accepted_until(what: str, house: House, name: str, seen: Callable[[], bool], seconds: float) -> None:
    """One contact after the other, each acknowledged in time, until it is so. Raises TimeoutError that names it."""
    written = count()

    async def write_and_look() -> bool:
        await accepted(house, f"{name}-{next(written)}")
        with suppress(TimeoutError):
            await until(what, seen, PAUSE_SECONDS)
        return seen()

    await until(what, write_and_look, seconds)


async def assert_all_wait(house: House, tickets: list[str]) -> None:
    """The relay tries these tickets' events in vain, and has all of them still: it deletes what the log acknowledged."""
    said = house.system.processes["intake"].log
    enough = times(said, "relay waits") + 2  # the first failure may be of what it had in hand before these came
    await until("the relay fails twice", lambda: times(said, "relay waits") >= enough, 60)
    assert {row["key"] for row in await house.system.rows(UNPUBLISHED, tickets)} == set(tickets)


def times(log: Path, what: str) -> int:
    """How often it was logged."""
    return log.read_text(errors="replace").count(what)


async def has_rows(house: House, statement: str, *values: object) -> bool:
    """Whether there is any."""
    return bool(await house.system.rows(f"{statement} LIMIT 1", *values))
