"""The operator's command line on a real PostgreSQL."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from deploy import cli, parked
from shared import auth, db, kafka
from shared.events.codec import encode
from shared.offsets import Offsets, Place
from shared.parking import code_version
from shared.records import Record
from tests.services.shared.conftest import Plumbing, SeenProjection, opened, plumbing, plumbing_template, received
from tests.services.shared.test_pipeline import connected, consumer_of, relay_of, running, until

__all__ = ["connected", "plumbing", "plumbing_template"]

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def patchbay(plumbing: Plumbing) -> Command:
    """Runs a command against the test's database."""
    environment = {
        "PATCHBAY_DATABASE": plumbing.settings.database.get_secret_value(),
        "PATCHBAY_KAFKA": plumbing.settings.kafka,
        "COLUMNS": "400",
    }

    async def run(*arguments: str, stdin: str = "", **settings: str) -> Result:
        return await asyncio.to_thread(
            lambda: CliRunner().invoke(cli.app, list(arguments), stdin, env={**environment, **settings})
        )

    return run


async def park(plumbing: Plumbing, *providers: str, skip: int = 0) -> None:
    """Messages of ticket a by these providers come to routing; `poison` is not taken; the first `skip` of them get lost."""
    drafts = [received("a", n, provider, text="canary words") for n, provider in enumerate(providers)]
    told = await plumbing.publish("intake", opened("a"), *drafts)
    records = [Record("tickets", 0, n, "a", encode(event)) for n, event in enumerate(told)]
    async with db.transaction(plumbing.engine) as conn:
        await Offsets("routing").load(conn, [Place("tickets", 0)])
        await plumbing.folder("routing").fold(conn, SeenProjection(), [records[0], *records[1 + skip :]])


async def work_off(plumbing: Plumbing) -> None:
    """What the running service does between two batches."""
    folder = plumbing.folder("routing", code_version("routing"))
    while True:
        await folder.parking.work_off(plumbing.engine, folder, [SeenProjection()], {("tickets", 0)})
        await asyncio.sleep(0.05)


async def test_parked_keys_are_listed_with_what_is_wrong_and_no_words_of_customers(plumbing: Plumbing, patchbay: Command) -> None:
    assert "Nothing is parked" in (await patchbay("parked", "list")).output
    await park(plumbing, "poison", "smtp")
    listed = await patchbay("parked", "list")
    assert listed.exit_code == 0
    for part in ("1 parked keys", "routing", "tickets", "failed", "RuntimeError at tests/services/shared/conftest.py"):
        assert part in listed.output
    assert "canary" not in listed.output
    assert "Nothing is parked" in (await patchbay("parked", "list", "--service", "intake")).output


async def test_a_discard_is_waited_for_and_its_outcome_said(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "poison", "smtp")
    async with running(lambda: work_off(plumbing)):
        done = await patchbay("parked", "discard", "routing", "tickets", "a")
    assert (done.exit_code, "all 2 records are settled" in done.output) == (0, True), done.output
    assert len(await plumbing.seen("a")) == 2


async def test_a_replay_that_fails_again_says_so(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "poison", "smtp")
    async with running(lambda: work_off(plumbing)):
        failed = await patchbay("parked", "replay", "routing", "tickets", "a")
    assert failed.exit_code == 1
    assert "failed again; 2 still wait, the first for: failed (RuntimeError" in failed.output


async def test_a_discard_before_another_poison_says_that_more_is_wrong(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "poison", "poison")
    async with running(lambda: work_off(plumbing)):
        half = await patchbay("parked", "discard", "routing", "tickets", "a")
    assert half.exit_code == 1
    assert "The first record is settled, but a later one could not be taken; 1 still wait" in half.output


async def test_only_a_gap_is_skipped(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "smtp", "smtp", skip=1)
    async with running(lambda: work_off(plumbing)):
        assert (await patchbay("parked", "skip", "routing", "tickets", "a")).exit_code == 0
    assert len(await plumbing.seen("a")) == 2


async def test_nothing_to_skip_and_nothing_parked_are_said(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "poison")
    no_gap = await patchbay("parked", "skip", "routing", "tickets", "a")
    assert (no_gap.exit_code, "nothing to skip" in no_gap.output) == (1, True)
    unknown = await patchbay("parked", "replay", "intake", "tickets", "b")
    assert (unknown.exit_code, "nothing parked" in unknown.output) == (1, True)
    assert (await patchbay("parked", "replay", "billing", "tickets", "b")).exit_code == 2


async def test_a_service_that_does_not_run_is_named_after_the_wait(plumbing: Plumbing) -> None:
    await park(plumbing, "poison")
    outcome = await parked.request(plumbing.engine, "routing", "tickets", "a", "replay", wait_seconds=0.3)
    assert not outcome.done
    assert "routing has not done it" in outcome.said
    assert await plumbing.rows("SELECT requested FROM routing.parked") == [("replay",)], "it will be done later"


async def test_keys_are_made_listed_and_revoked(plumbing: Plumbing, patchbay: Command) -> None:
    made = await patchbay("keys", "create", "desk", "--scope", "agent:dana", "--scope", "ops:read", "--name", "Dana's desk")
    assert made.exit_code == 0
    key = made.stdout.strip()
    async with db.transaction(plumbing.engine) as conn:
        assert await auth.valid_keys(conn, [key]) == 1
    listed = (await patchbay("keys", "list")).output
    assert "agent:dana, ops:read" in listed
    assert "Dana's desk" in listed
    assert key.split("_", 2)[2] not in listed
    again = await patchbay("keys", "create", "desk", "--scope", "admin")
    assert (again.exit_code, "--replace" in again.output) == (1, True)
    async with db.transaction(plumbing.engine) as conn:
        assert await auth.valid_keys(conn, [key]) == 1, "a key in use is not replaced unasked"
    assert (await patchbay("keys", "create", "desk", "--scope", "admin", "--replace")).stdout.strip() != key
    assert (await patchbay("keys", "revoke", "desk")).exit_code == 0
    assert (await patchbay("keys", "revoke", "desk")).exit_code == 1


async def test_a_master_key_is_changed_for_another(plumbing: Plumbing, patchbay: Command) -> None:
    assert plumbing.settings.master_key is not None
    old, new = plumbing.settings.master_key.get_secret_value(), base64.b64encode(secrets.token_bytes(32)).decode()
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.keys.create(conn, ["c-1", "c-2"])
    cases = (
        (new, 3, "does not fit"),
        (f"{new},{old}", 0, "2 wrapped anew"),
        (new, 0, "All are wrapped"),
        (old, 3, "does not fit"),
    )
    for keys, code, said in cases:
        result = await patchbay("keys", "rewrap", PATCHBAY_MASTER_KEY=keys)
        assert (result.exit_code, said in result.output) == (code, True), result.output


@pytest.mark.parametrize(
    "arguments", [("desk",), ("desk", "--scope", "everything"), ("desk", "--scope", "agent:"), ("A b", "--scope", "admin")]
)
async def test_keys_with_wrong_ids_or_scopes_are_refused(patchbay: Command, arguments: tuple[str, ...]) -> None:
    assert (await patchbay("keys", "create", *arguments)).exit_code == 2
    assert "desk" not in (await patchbay("keys", "list")).output


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", "'Mail of RIVKA Cohen'"),
        ("text[]", "ARRAY['x', 'Rivka Cohen']"),
        ("jsonb", """'{"from": {"name": "rivka cohen"}}'"""),
        ("bytea", "convert_to('From: Rivka COHEN <r@c>', 'UTF8')"),
    ],
)
async def test_a_person_who_is_still_somewhere_is_found(plumbing: Plumbing, patchbay: Command, kind: str, value: str) -> None:
    await _add_column(plumbing, kind, value)
    found = await patchbay("customers", "verify-erased", "c-1", "--needle", "nobody@here", "--needle", "Rivka Cohen")
    assert found.exit_code == 1
    assert "String 2 stands in 1 rows of intake.left.what" in found.output
    assert "String 1" not in found.output
    assert "rivka" not in found.output.lower()


@pytest.mark.parametrize("value", ["convert_to('שלום Émile', 'UTF8')", "convert_to('\\u05e9\\u05dc\\u05d5\\u05dd', 'UTF8')"])
async def test_letters_of_other_scripts_are_found_in_bytes_and_in_ascii_json(
    plumbing: Plumbing, patchbay: Command, value: str
) -> None:
    await _add_column(plumbing, "bytea", value)
    assert (await patchbay("customers", "verify-erased", "c-1", stdin="שלום\n\n")).exit_code == 1


async def _add_column(plumbing: Plumbing, kind: str, value: str) -> None:
    async with db.transaction(plumbing.engine) as conn:
        await conn.exec_driver_sql(f"CREATE TABLE intake.left (id int, what {kind})")
        await conn.exec_driver_sql(f"INSERT INTO intake.left VALUES (1, {value}), (2, NULL)")


async def test_a_key_that_still_opens_is_found_and_a_destroyed_one_is_not(plumbing: Plumbing, patchbay: Command) -> None:
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.keys.create(conn, ["c-1", "c-2"])
        await plumbing.keys.destroy(conn, ["c-2"])
    alive = await patchbay("customers", "verify-erased", "c-1", "c-2", "--needle", "nobody@here")
    assert alive.exit_code == 1
    assert "The key of customer c-1 is not destroyed" in alive.output
    assert "c-2" not in alive.output
    gone = await patchbay("customers", "verify-erased", "c-2", stdin="nobody@here\n")
    assert (gone.exit_code, "none of the 1 strings" in gone.output) == (0, True)


async def test_a_person_whose_messages_are_only_on_the_log_is_erased_with_the_key(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "poison", "smtp")
    assert (await patchbay("customers", "verify-erased", "customer-a", stdin="canary words")).exit_code == 1
    async with db.transaction(plumbing.engine) as conn:
        await plumbing.keys.destroy(conn, ["customer-a"])
    assert (await patchbay("customers", "verify-erased", "customer-a", stdin="canary words")).exit_code == 0


@pytest.mark.parametrize("stdin", ["", "ab\n"])
async def test_a_check_without_strings_worth_looking_for_is_refused(patchbay: Command, stdin: str) -> None:
    assert (await patchbay("customers", "verify-erased", "c-1", stdin=stdin)).exit_code == 2


async def test_status_tells_what_waits_even_without_a_broker(plumbing: Plumbing, patchbay: Command) -> None:
    await park(plumbing, "poison", "smtp")
    shown = await patchbay("status")
    assert shown.exit_code == 0
    rows = {line.split()[0]: line for line in shown.output.splitlines() if line.split()[:1] in (["intake"], ["routing"])}
    assert rows["intake"].split()[-3:-2] == ["3"], "three events to send"
    assert "Kafka does not answer" in rows["routing"]
    assert rows["routing"].split()[-1] == "1"


async def test_status_counts_the_records_not_yet_read(connected: Plumbing, patchbay: Command) -> None:
    key = f"{secrets.token_hex(6)}-lag"
    await connected.publish("intake", opened(key), received(key, 1))
    async with running(relay_of(connected).run):

        async def sent() -> bool:
            return await connected.rows("SELECT count(*) FROM intake.outbox") == [(0,)]

        await until(sent)
    behind = await patchbay("status", PATCHBAY_KAFKA=connected.settings.kafka)
    assert _lag(behind.output) == "2"
    async with running(consumer_of(connected, key).run):

        async def read() -> bool:
            return len(await connected.seen(key)) == 2

        await until(read)
    assert _lag((await patchbay("status", PATCHBAY_KAFKA=connected.settings.kafka)).output) == "0"


def _lag(output: str) -> str:
    return next(line.split()[1] for line in output.splitlines() if line.split()[:1] == ["routing"])


async def test_topics_are_created_once(patchbay: Command, connected: Plumbing) -> None:
    there = await patchbay("topics", "create", PATCHBAY_KAFKA=connected.settings.kafka)
    assert (there.exit_code, "All topics are there" in there.output) == (0, True)


async def test_migrate_may_be_run_on_a_database_that_is_ready(database: str, patchbay: Command) -> None:
    done = await patchbay("migrate", PATCHBAY_DATABASE=database)
    assert (done.exit_code, "newest revision" in done.output) == (0, True), done.output


@pytest.mark.parametrize("arguments", [("status",), ("parked", "list"), ("migrate",), ("keys", "list")])
async def test_a_database_that_does_not_answer_is_a_sentence(patchbay: Command, arguments: tuple[str, ...]) -> None:
    answer = await patchbay(*arguments, PATCHBAY_DATABASE="postgresql://patchbay@127.0.0.1:1/patchbay")
    assert (answer.exit_code, "PostgreSQL does not answer" in answer.output) == (3, True), answer.output


async def test_a_broker_that_does_not_answer_is_a_sentence(patchbay: Command) -> None:
    answer = await patchbay("topics", "create", PATCHBAY_KAFKA="127.0.0.1:1")
    assert (answer.exit_code, "PATCHBAY_KAFKA" in answer.output) == (3, True), answer.output


async def test_wrong_settings_and_missing_databases_are_sentences(patchbay: Command, plumbing: Plumbing) -> None:
    wrong = await patchbay("status", PATCHBAY_PARTITIONS="many")
    assert (wrong.exit_code, "PATCHBAY_PARTITIONS" in wrong.output) == (3, True)
    url = plumbing.settings.database.get_secret_value()
    missing = await patchbay("status", PATCHBAY_DATABASE=f"{url}_not_there")
    assert (missing.exit_code, "PATCHBAY_DATABASE" in missing.output) == (3, True), missing.output
    async with db.transaction(plumbing.engine) as conn:
        await conn.execute(sa.text("DROP SCHEMA auth CASCADE"))
    unready = await patchbay("keys", "list")
    assert (unready.exit_code, "patchbay migrate" in unready.output) == (3, True), unready.output


def test_waiting_for_the_broker_has_an_end() -> None:
    assert kafka.START_SECONDS <= 10
