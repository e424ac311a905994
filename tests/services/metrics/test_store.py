"""The folds and cells on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.metrics.domain.cells import Cell, Changes, Dims
from services.metrics.store import projections
from shared import db
from shared.events import topics
from shared.events.base import Event
from shared.events.codec import decode
from shared.events.topics import TOPIC_OF
from tests.contract.examples import type_of
from tests.services.metrics.conftest import Metrics
from tests.unit.metrics import random_log
from tests.unit.metrics.teller import Teller, booked

EXAMPLES = sorted((db.ROOT / "shared" / "events" / "examples").glob("*.json"))
OPENED = db.ROOT / "shared" / "events" / "examples" / "ticket.opened.v1.json"
CONSUMED = {fact.TYPE for projection in projections() for fact in projection.topic.facts}
TICKET_FACTS = {fact.TYPE for fact in topics.TICKETS.facts}
TICKETS = 12


def a_log(seed: int, name: str = "t") -> list[list[Event[Any]]]:
    """What each writer said on each key: the order within each list is the log's."""
    dice = random.Random(seed)
    streams: list[list[Event[Any]]] = [random_log.agent(dice, f"{name}-dana"), random_log.agent(dice, f"{name}-omar")]
    for number in range(TICKETS):
        streams.append(random_log.ticket(dice, f"{name}-{number}"))
        streams.extend(random_log.promises(dice, f"{name}-{number}"))
    return [stream for stream in streams if stream]


def interleaved(streams: list[list[Event[Any]]], seed: int) -> list[Event[Any]]:
    """One of the ways in which the streams can come: each in its order, all mixed, some facts twice."""
    dice = random.Random(seed)
    rest = [list(stream) for stream in streams]
    mixed: list[Event[Any]] = []
    while rest:
        stream = dice.choice(rest)
        mixed.append(stream.pop(0))
        if dice.random() < 0.1:
            mixed.append(dice.choice(mixed))
        rest = [stream for stream in rest if stream]
    return mixed


async def fold_in_batches(metrics: Metrics, events: list[Event[Any]], seed: int) -> None:
    dice = random.Random(seed)
    while events:
        size = dice.choice((1, 2, 7, 60, 400))
        assert await metrics.fold(events[:size]) == []
        events = events[size:]


async def test_every_interleaving_and_batching_gives_the_same_tables_byte_for_byte(metrics: Metrics) -> None:
    streams = a_log(seed=7)
    await metrics.fold([event for stream in streams for event in stream])
    whole = await metrics.tables()
    assert len(whole["cell"]) > 100
    for seed in range(5):
        await _empty(metrics)
        await fold_in_batches(metrics, interleaved(streams, seed), seed)
        assert await metrics.tables() == whole


async def test_replicas_that_fold_side_by_side_into_the_same_cells_lose_nothing(metrics: Metrics) -> None:
    streams = a_log(seed=5)
    await metrics.fold([event for stream in streams for event in stream])
    whole = await metrics.tables()
    await _empty(metrics)
    shares = [[stream for stream in streams if hash_of(stream) % 4 == share] for share in range(4)]

    async def replica(share: list[list[Event[Any]]], seed: int) -> None:
        events = interleaved(share, seed)
        for start in range(0, len(events), 5):
            await db.retrying(partial(metrics.fold, events[start : start + 5]), attempts=10)

    await asyncio.gather(*(replica(share, seed) for seed, share in enumerate(shares)))
    assert await metrics.tables() == whole


def hash_of(stream: list[Event[Any]]) -> int:
    """Which replica reads the stream: as partitions do, all facts of a key on a topic go to one."""
    return zlib.crc32(f"{TOPIC_OF[type(stream[0].data)].name} {stream[0].key}".encode())


async def _empty(metrics: Metrics) -> None:
    async with db.transaction(metrics.engine) as conn:
        await conn.exec_driver_sql("TRUNCATE metrics.cell, metrics.fold, metrics.key_position")


async def test_what_stands_in_the_tables_is_what_the_pure_fold_says(metrics: Metrics) -> None:
    events = random_log.ticket(random.Random(3), "t1")
    await fold_in_batches(metrics, events, seed=1)
    columns = ", ".join(f"d.{name}" for name in Dims._fields)
    rows = await metrics.rows(
        f"SELECT measure, hour, bin, n, total_us, {columns} FROM metrics.cell c JOIN metrics.dims d ON d.id = c.dims"
    )
    stored: Changes = {Cell(row[0], row[1], Dims(*row[5:]), row[2]): row[3:5] for row in rows}  # type: ignore[arg-type, misc]
    assert stored == booked(events)


def an_example(path: Path, key: str, seq: int) -> Event[Any]:
    """The example as the nth fact of its writer on a key of its own."""
    return decode(json.dumps({**json.loads(path.read_text()), "seq": seq, "subject": key}).encode())


@pytest.mark.parametrize("path", [path for path in EXAMPLES if type_of(path.name) in CONSUMED], ids=lambda path: path.stem)
async def test_the_example_of_each_fact_is_taken(module_metrics: Metrics, path: Path) -> None:
    events = []
    if type_of(path.name) in TICKET_FACTS and path.stem != OPENED.stem:
        events.append(an_example(OPENED, path.stem, 1))
    seq = 2 if events and an_example(path, path.stem, 1).writer == "intake" else 1
    assert await module_metrics.fold([*events, an_example(path, path.stem, seq)]) == []


async def test_a_ticket_without_an_opening_is_parked_and_changes_no_figure(metrics: Metrics) -> None:
    events = random_log.ticket(random.Random(3), "t1")
    failures = await metrics.fold(events[1:])
    assert failures
    assert await metrics.rows("SELECT count(*) FROM metrics.cell") == [(0,)]


async def test_a_label_that_postgresql_cannot_hold_does_not_stop_the_others(metrics: Metrics) -> None:
    odd, plain = Teller("t1"), Teller("t2")
    odd.opened(topic="bill\x00ing")
    plain.opened(topic="billing")
    assert await metrics.fold([*odd.events, *plain.events]) == []
    assert await metrics.rows("SELECT topic FROM metrics.dims WHERE topic <> '' ORDER BY length(topic)") == [
        ("billing",),
        ("bill\ufffding",),
    ]
