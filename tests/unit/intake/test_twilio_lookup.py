"""After an attempt with an unknown outcome, Twilio is asked what became of it before the message is sent again."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from services.intake.channels.twilio_sms import TwilioAccount, send
from services.intake.domain.delivery import Accepted, NotNow

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ACCOUNT = TwilioAccount("http://twilio.test", "AC1", "token")


class Twilio:
    """Twilio's message resource, with what was sent before."""

    def __init__(self, *before: tuple[str, str, datetime]) -> None:
        self.messages = [{"sid": sid, "body": body, "date_created": format_datetime(at)} for sid, body, at in before]
        self.posted = 0
        self.lookup: httpx.Response | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return self.lookup or httpx.Response(200, json={"messages": self.messages})
        self.posted += 1
        return httpx.Response(201, json={"sid": "SMnew"})

    async def deliver(self, tried_since: datetime | None) -> object:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self.answer)) as client:
            return await send(
                client, ACCOUNT, "+1", "+2", "We are on it.", channel="sms", tried_since=tried_since, callback="https://us/"
            )


async def test_an_attempt_that_got_through_is_not_made_again() -> None:
    twilio = Twilio(("SMfirst", "We are on it.", NOW + timedelta(seconds=3)))
    assert await twilio.deliver(NOW) == Accepted("SMfirst")
    assert twilio.posted == 0


async def test_the_same_words_of_last_week_are_not_taken_for_this_message() -> None:
    twilio = Twilio(("SMold", "We are on it.", NOW - timedelta(days=7)))
    assert await twilio.deliver(NOW) == Accepted("SMnew")
    assert twilio.posted == 1


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(429), httpx.Response(500), httpx.Response(503), httpx.Response(401), httpx.Response(200, text="<html>")],
)
async def test_nothing_is_sent_again_while_twilio_does_not_say_what_became_of_it(answer: httpx.Response) -> None:
    twilio = Twilio()
    twilio.lookup = answer
    assert await twilio.deliver(NOW) == NotNow(f"twilio-lookup-{answer.status_code}")
    assert twilio.posted == 0


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_with_a_provider_who_cannot_be_asked_it_is_sent_again(status: int) -> None:
    twilio = Twilio()
    twilio.lookup = httpx.Response(status)
    assert await twilio.deliver(NOW) == Accepted("SMnew")
    assert twilio.posted == 1


async def test_a_first_attempt_asks_nothing() -> None:
    twilio = Twilio(("SMold", "We are on it.", NOW + timedelta(seconds=1)))
    assert await twilio.deliver(None) == Accepted("SMnew")
