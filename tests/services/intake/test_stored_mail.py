"""Mail of Amazon SES that stands in S3: accepted by its notification, fetched afterwards, taken once as any other, or parked."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.message import EmailMessage

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from services.intake.channels.sns import Sns
from services.intake.domain.media import ATTEMPTS, BACK_OFF_SECONDS
from services.intake.guarded_http import guarded_client
from services.intake.mail import MailTaker
from services.intake.replaying import Replayer
from services.intake.s3_settings import reach_of
from services.intake.stored_mail import AT_ONCE, Storage, StoredMailFetcher
from shared.events.message import MessagePersonal, MessageReceived
from shared.events.ticket import SpamMarked
from tests.services.intake import provider_requests as ask
from tests.services.intake.provider_requests import FILE, Posted
from tests.services.intake.s3_server import BUCKET, S3, s3_server
from tests.services.intake.test_large_mail import FILES, large_mail, watched
from tests.services.intake.test_mail_providers import SUPPORT, TEXT, file_of, from_ses, waiting, whole
from tests.services.intake.test_parked import CURE, POISON
from tests.services.intake.world import World, process

KEY = "inbound/fqef5sop459utgdf4o9lqbsv7jeo73pejig34301"


@asynccontextmanager
async def house(
    database: str, played: S3, fetch_seconds: float = 0.3, **more: object
) -> AsyncIterator[tuple[World, StoredMailFetcher]]:
    """A process that knows SES and a bucket, and its fetcher."""
    values = {**ask.settings(), **played.settings(), **more}
    async with process(database, **values) as world, guarded_client(reach_of(world.intake.buckets.values())) as client:
        world.intake.sns = Sns(httpx.AsyncClient(transport=ask.SnsHost()))
        if await world.count("inbox") == 0:
            await world.inbox("support", channel="email", address=SUPPORT, confirm=False)
        intake = world.intake
        taker = MailTaker(intake.acceptor, world.signer, intake.inboxes, intake.limiter, world.settings.border)
        storage = Storage(intake.buckets, client, world.settings.smtp_max_bytes, fetch_seconds)
        yield world, StoredMailFetcher(world.parts.engine, storage, taker)


def from_s3(key: str = KEY, bucket: str = BUCKET, source: str = "ana@customers.example", **verdicts: str) -> Posted:
    """What SES tells by SNS of a mail that its receipt rule stored."""
    action = {"type": "S3", "topicArn": ask.TOPIC, "bucketName": bucket, "objectKeyPrefix": "inbound/", "objectKey": key}
    said = {name: {"status": status} for name, status in verdicts.items()}
    receipt = {"recipients": [SUPPORT], "action": action, **said}
    mail = {"source": source, "messageId": key.rpartition("/")[2], "destination": [SUPPORT], "headers": []}
    return ask.ses(json.dumps({"notificationType": "Received", "mail": mail, "receipt": receipt}), MessageId=f"sns-{key}")


async def due(world: World) -> None:
    """Time goes by: what was put off, or was begun by who died in it, is due."""
    await world.execute("UPDATE intake.stored_mail SET due_at = now(), leased_until = NULL")


async def tell(world: World, *told: Posted) -> None:
    for posted in told or (from_s3(),):
        answer = await posted.to(world.http)
        assert answer.status_code == 200, answer.text


async def reprocess(world: World, fetcher: StoredMailFetcher) -> None:
    """As `patchbay intake reprocess` does it."""
    await world.execute("UPDATE intake.parked_contact SET replay = true")
    intake = world.intake
    await Replayer(intake.acceptor, intake.inboxes, world.signer, world.settings.border, fetcher.storage).once()


async def standing(world: World) -> tuple[int, int, int]:
    """How many messages there are, mails to be fetched, and parked contacts."""
    return await world.count("message"), await world.count("stored_mail"), await world.count("parked_contact")


async def test_a_mail_in_s3_is_fetched_after_its_notification_was_accepted_and_taken_as_any_other(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = whole()
        await tell(world)
        assert (await standing(world), played.asked) == ((0, 1, 0), [])
        assert await fetcher.fetch_due() == 1
        assert await fetcher.fetch_due() == 0
        assert (await standing(world), played.asked) == ((1, 0, 0), [KEY])
        [received] = await world.events(MessageReceived)
        assert (received.data.provider, received.data.inbox, received.data.origin) == ("ses", "support", "human")
        told = await world.opened(received, MessagePersonal)
        assert isinstance(told, MessagePersonal)
        assert (told.text, told.handle, told.subject) == (TEXT, "ana@customers.example", "Coletul meu")
        assert await file_of(world) == (FILE, "application/pdf")


async def test_what_is_repeated_five_times_and_shuffled_with_the_mail_itself_is_one_message(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = played.objects["again"] = whole()
        played.fails[KEY] = ["500 InternalError", "cut"]
        told = [from_s3(), from_s3("again"), from_ses()] * 5
        random.Random(1).shuffle(told)
        for start in range(0, len(told), 3):
            await asyncio.gather(tell(world, *told[start : start + 3]), fetcher.fetch_due())
        for _ in range(3):
            await due(world)
            await fetcher.fetch_due()
        assert await standing(world) == (1, 0, 0)
        assert await world.count("ticket") == 1


FAILS = ["500 InternalError", "503 SlowDown", "cut", "slow", "silent", "429", "403 RequestTimeTooSkewed"]


async def test_a_mail_that_s3_does_not_give_at_first_is_tried_again_and_comes(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY], played.fails[KEY] = whole(), list(FAILS)
        await tell(world)
        for attempt in range(1, len(FAILS) + 1):
            assert await fetcher.fetch_due() == 1
            waits = f"due_at > now() + interval '{BACK_OFF_SECONDS[attempt - 1] - 5} s' AND leased_until IS NULL"
            assert await world.count("stored_mail", f"attempts = {attempt} AND {waits}") == 1
            await due(world)
        assert await fetcher.fetch_due() == 1
        assert await standing(world) == (1, 0, 0)


NEVER: Mapping[str, tuple[list[str], dict[str, object], str]] = {
    "not there": (["404 NoSuchKey"], {}, "it is not there (404 NoSuchKey)"),
    "not for us": (["403 AccessDenied"], {}, "S3 does not let us have it (403 AccessDenied)"),
    "elsewhere": (["301 PermanentRedirect"], {}, "S3 refuses it (301 PermanentRedirect)"),
    "too large": ([], {"smtp_max_bytes": 10_000}, "it is larger than PATCHBAY_SMTP_MAX_BYTES (too-large)"),
    "another bucket": ([], {"intake_s3_buckets": ""}, "PATCHBAY_INTAKE_S3_BUCKETS does not name its bucket (bucket-not-named)"),
}


@pytest.mark.parametrize("why", list(NEVER))
async def test_what_cannot_be_had_is_parked_once_with_its_reason_and_taken_when_that_is_mended(database: str, why: str) -> None:
    fails, more, reason = NEVER[why]
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = "ana@customers.example", SUPPORT, "Coletul", "<1@c>"
    mail.set_content("Unde este?\n" + 300 * "Nu-l văd nicăieri, și nimeni nu-mi răspunde.\n")
    async with s3_server() as played:
        played.objects[KEY], played.fails[KEY] = bytes(mail), fails * 2
        async with house(database, played, 0.3, **more) as (world, fetcher):
            for _ in range(2):
                await tell(world)
                await fetcher.fetch_due()
            [kept] = await waiting(world)
            assert (kept.way, kept.reason) == ("ses", f"the mail in S3 cannot be had: {reason}")
            assert await standing(world) == (0, 0, 1)
            played.fails[KEY] = list(fails)
            await reprocess(world, fetcher)
            assert [(one.attempts, one.reason) for one in await waiting(world)] == [(2, kept.reason)]
        async with house(database, played) as (world, fetcher):
            await reprocess(world, fetcher)
            await tell(world)
            await fetcher.fetch_due()
            assert await standing(world) == (1, 0, 0)


async def test_what_does_not_come_in_all_attempts_is_parked_and_tried_again_when_somebody_asks(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY], played.fails[KEY] = whole(), ["500 InternalError"] * (ATTEMPTS + 1)
        await tell(world)
        for _ in range(ATTEMPTS):
            await due(world)
            assert await fetcher.fetch_due() == 1
        [kept] = await waiting(world)
        assert kept.reason == "the mail in S3 could not be fetched until now (500 InternalError)"
        await reprocess(world, fetcher)
        assert await standing(world) == (0, 0, 1)
        await reprocess(world, fetcher)
        assert await standing(world) == (1, 0, 0)


async def test_a_process_that_ends_between_the_notification_and_the_mail_is_followed_by_another(database: str) -> None:
    async with s3_server() as played:
        played.objects[KEY] = whole()
        async with house(database, played) as (world, _):
            await tell(world)
            await world.execute("UPDATE intake.stored_mail SET attempts = 1, leased_until = now() + interval '1 minute'")
        async with house(database, played) as (world, fetcher):
            assert await fetcher.fetch_due() == 0, "somebody may be at it"
            await world.execute("UPDATE intake.stored_mail SET leased_until = now() - interval '1 second'")
            assert sum(await asyncio.gather(fetcher.fetch_due(), fetcher.fetch_due())) == 1
            assert (await standing(world), played.asked) == ((1, 0, 0), [KEY])


HOLDS = (
    "CREATE FUNCTION intake.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'killed here'; END $$",
    "CREATE TRIGGER hold BEFORE DELETE ON intake.stored_mail FOR EACH ROW EXECUTE FUNCTION intake.hold()",
)


async def test_a_mail_that_was_taken_by_a_process_killed_before_it_noted_that_is_one_message(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        nameless = EmailMessage()
        nameless["From"], nameless["To"] = "ana@customers.example", SUPPORT
        nameless.set_content("Unde este?")
        played.objects[KEY] = bytes(nameless)
        await tell(world)
        for statement in HOLDS:
            await world.execute(statement)
        with pytest.raises(asyncpg.RaiseError, match="killed here"):
            await fetcher.fetch_due()
        assert await standing(world) == (1, 1, 0)
        await world.execute("DROP TRIGGER hold ON intake.stored_mail")
        await due(world)
        assert await fetcher.fetch_due() == 1
        assert await standing(world) == (1, 0, 0)


async def asked(played: S3, fetching: asyncio.Task[int]) -> None:
    """Wait until S3 was asked by it."""
    async with asyncio.timeout(5):
        while not played.asked:
            assert not fetching.done()
            await asyncio.sleep(0.01)


async def test_a_mail_with_which_nobody_comes_to_an_end_is_parked_and_ends_nobody_any_more(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = whole()
        await tell(world)
        await world.execute(f"UPDATE intake.stored_mail SET attempts = {ATTEMPTS}")
        assert await fetcher.fetch_due() == 1
        [kept] = await waiting(world)
        assert (kept.reason.endswith("(interrupted)"), played.asked) == (True, [])
        await reprocess(world, fetcher)
        assert await standing(world) == (1, 0, 0)


async def test_who_was_too_slow_takes_nothing_that_another_has_taken(database: str) -> None:
    async with s3_server() as played, house(database, played, fetch_seconds=10.0) as (world, fetcher):
        played.objects[KEY], played.fails[KEY] = whole(), ["held"]
        await tell(world)
        late = asyncio.create_task(fetcher.fetch_due())
        await asked(played, late)
        await due(world)
        assert await fetcher.fetch_due() == 1
        played.objects[KEY] = whole().replace(b"<first@", b"<second@")  # so that a mail that is taken twice is seen
        played.released.set()
        assert await late == 1
        assert await standing(world) == (1, 0, 0)


async def test_what_ses_found_out_is_heeded_as_in_other_mail_of_it(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = whole()
        await tell(world, from_s3(spamVerdict="FAIL", virusVerdict="FAIL"))
        assert await fetcher.fetch_due() == 1
        [marked] = await world.events(SpamMarked)
        assert marked.data.rule_id == "virus"


async def test_of_who_sends_too_much_a_mail_in_s3_is_taken_into_quarantine(database: str) -> None:
    async with s3_server() as played, house(database, played, intake_mail_per_minute=1) as (world, fetcher):
        for n in range(3):
            played.objects[f"k{n}"] = whole().replace(b"<first@", b"<%d@" % n)
            await tell(world, from_s3(f"k{n}"))
        assert await fetcher.fetch_due() == 3
        assert await world.count("message") == 3
        assert {event.data.rule_id for event in await world.events(SpamMarked)} == {"flood"}


async def test_a_mail_that_was_fetched_and_cannot_be_stored_is_kept_itself_and_s3_is_asked_no_more(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = whole()
        await tell(world)
        await world.execute(POISON)
        assert await fetcher.fetch_due() == 1
        [kept] = await waiting(world)
        assert (kept.way, kept.media_type, await standing(world)) == ("ses", "message/rfc822", (0, 0, 1))
        await world.execute(CURE)
        played.objects.clear()
        await reprocess(world, fetcher)
        assert (await standing(world), played.asked) == ((1, 0, 0), [KEY])
        [received] = await world.events(MessageReceived)
        assert (received.data.provider, received.data.inbox) == ("ses", "support")


async def test_our_own_mail_come_round_by_s3_opens_no_ticket(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = whole().replace(b"Ana Pop <ana@customers.example>", SUPPORT.encode())
        await tell(world)
        assert await fetcher.fetch_due() == 1
        assert await standing(world) == (0, 0, 1)
        await reprocess(world, fetcher)
        assert await standing(world) == (0, 0, 1)


async def test_nothing_is_kept_of_a_notification_while_the_database_is_away(database: str) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    async with s3_server() as played, house(database, played) as (world, fetcher):
        played.objects[KEY] = whole()
        await world.parts.engine.dispose()
        sa.event.listen(world.parts.engine.sync_engine, "do_connect", refuse)
        try:
            answer = await from_s3().to(world.http)
        finally:
            sa.event.remove(world.parts.engine.sync_engine, "do_connect", refuse)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
        await tell(world)
        assert await fetcher.fetch_due() == 1
        assert await standing(world) == (1, 0, 0)


async def test_a_notification_that_was_changed_or_is_of_a_topic_of_others_leads_nowhere(database: str) -> None:
    async with s3_server() as played, house(database, played) as (world, fetcher):
        assert (await from_s3().altered(b"fqef5", b"fqef6").to(world.http)).status_code == 403
        other_topic = b"arn:aws:sns:eu-west-1:222222222222:mail"
        assert (await from_s3().altered(ask.TOPIC.encode(), other_topic).to(world.http)).status_code == 403
        assert await fetcher.fetch_due() == 0
        assert await standing(world) == (0, 0, 0)


async def test_a_mail_that_is_to_be_fetched_is_forgotten_with_its_sender_and_others_stay(database: str) -> None:
    async with s3_server() as played, house(database, played, fetch_seconds=10.0) as (world, fetcher):
        await tell(world, from_ses())
        [received] = await world.events(MessageReceived)
        played.objects["late"], played.fails["late"] = whole().replace(b"<first@", b"<second@"), ["held"]
        await tell(world, from_s3("late", source="Ana@Customers.Example"))
        late = asyncio.create_task(fetcher.fetch_due())
        await asked(played, late)
        await tell(world, from_s3(), from_s3("of others", source="banana@customers.example"))
        path = f"/v1/customers/{received.data.customer_id}/erase"
        assert (await world.http.post(path, headers=await world.key("admin"))).status_code == 200
        assert await world.count("stored_mail") == await world.count("stored_mail", "sender LIKE 'banana%'") == 1
        played.released.set()
        assert await late == 1
        assert await world.count("message") == 1, "what was just fetched is not taken either"


@pytest.mark.proof
async def test_mails_of_the_largest_size_come_a_few_at_a_time_while_the_loop_goes_on_turning(database: str) -> None:
    async with s3_server() as played, house(database, played, fetch_seconds=60.0) as (world, fetcher):
        for n in range(AT_ONCE + 1):
            played.objects[f"k{n}"] = whole().replace(b"<first@", b"<%d@" % n)
            await tell(world, from_s3(f"k{n}"))
        played.objects["k0"] = large_mail()
        async with watched() as turns:
            assert await fetcher.fetch_due() == AT_ONCE
        assert turns.went_on, turns
        assert await fetcher.fetch_due() == 1
        assert await standing(world) == (AT_ONCE + 1, 0, 0)
        assert max(len(event.data.attachments) for event in await world.events(MessageReceived)) == FILES
