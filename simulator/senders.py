"""One planned request as it goes over the wire, and what the sender learns from an attempt at it.

The bytes are made once: a provider that tries again sends what it sent before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlencode

import msgspec

import client
from client import NoAnswer, Service
from client.intake_types import ContactBody
from simulator import twilio
from simulator.errands import Contact, Request
from simulator.mail import Mail, MailServer, compose, deliver, quoted
from simulator.places import Places
from simulator.post import Letter
from simulator.texts import WORDINGS
from simulator.truth import Answer

FORM_TYPE = "application/x-www-form-urlencoded"
TRY_LATER = frozenset({408, 425, 429})
_NUMBER = re.compile(r"#(\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt brought: an answer for each contact of the request, and how long the receiver asks us to wait.

    `refused`: trying again is of no use.
    """

    answers: Mapping[str, Answer]
    wait_seconds: float | None = None
    refused: bool = False


def _is_final(status: int) -> bool:
    """Whether an HTTP status says that the same request will never be taken."""
    return 400 <= status < 500 and status not in TRY_LATER


# An attempt; True: hang up before the answer.
Attempt = Callable[[bool], Awaitable[Outcome]]


@dataclass(slots=True)
class Senders:
    """Connectors, mail servers, browsers and Twilio. `clock` gives the seconds of the run; `hanging_up` is intake for those who
    do not wait for the answer.
    """

    places: Places
    intake: Service
    hanging_up: Service
    mail: MailServer
    clock: Callable[[], float]
    _by_channel: Mapping[str, Callable[[Request, Sequence[Request], Letter | None], Attempt]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_channel = {
            "generic": self._generic,
            "email": self._mailed,
            "sms": self._texted,
            "form": self._filled_in,
            "voice": self._called,
        }

    def prepare(self, request: Request, earlier: Sequence[Request], letter: Letter | None = None) -> Attempt:
        """The request, ready to be tried. `earlier`: those before it in its errand; `letter`: the mail that it answers."""
        return self._by_channel[request.channel](request, earlier, letter)

    def _generic(self, request: Request, earlier: Sequence[Request], _letter: Letter | None) -> Attempt:
        refs = [before.key for before in reversed(earlier)] if request.refers == "own" else []
        posted = [self._contact(contact, refs, named=len(request.contacts) == 1) for contact in request.contacts]
        is_list = request.key != request.contacts[0].key
        body = msgspec.json.encode(posted if is_list else posted[0])
        headers = {
            "Authorization": f"Bearer {self.places.keys['channels']}",
            "Content-Type": "application/json",
            "Idempotency-Key": request.key,
        }

        async def attempt(hang_up: bool) -> Outcome:
            reply = await self._post(request, "/v1/contacts", headers, body, hang_up)
            if isinstance(reply, Outcome):
                return reply
            if reply.status == 200 and is_list:
                return self._listed(request, reply.json()["results"])
            return self._all(request, reply, self._accepted(reply.status, reply.json() if reply.status == 201 else {}))

        return attempt

    def _listed(self, request: Request, results: Sequence[Mapping[str, object]]) -> Outcome:
        answers = {
            contact.key: self._accepted(int(str(result["status"])), result)
            for contact, result in zip(request.contacts, results, strict=True)
        }
        return Outcome(answers, refused=any(_is_final(answer.status or 0) for answer in answers.values()))

    def _contact(self, contact: Contact, refs: Sequence[str], *, named: bool) -> ContactBody:
        letter = "@" in contact.sender
        body: ContactBody = {
            "channel": "email" if letter else "sms",
            "inbox": self.places.mail_inbox if letter else "sms",
            "handle": {"kind": "email" if letter else "phone", "value": contact.sender},
            "text": contact.text,
            "language": contact.language,
        }
        if letter:
            body["name"], body["subject"] = contact.name, contact.subject
        if letter and named:
            body["id"], body["in_reply_to"] = contact.key, list(refs)
        return body

    def _mailed(self, request: Request, earlier: Sequence[Request], letter: Letter | None) -> Attempt:
        contact = request.contacts[0]
        refs = [before.key for before in earlier if before.channel == "email"]
        quotes, to_our_name = request.style % 2 == 0, request.style < 2
        mail = Mail(
            message_ref=request.key,
            name=contact.name,
            sender=contact.sender,
            to=letter.reply_to if letter and to_our_name else self.places.mail_address,
            subject=contact.subject,
            text=contact.text,
            language=contact.language,
            at=datetime.now(UTC),
            refs=[*refs, letter.message_ref] if letter else refs,
            quoted=quoted(earlier[-1].contacts[0].text, WORDINGS[contact.language].quote) if earlier and quotes else "",
        )
        content = compose(mail, request.style)

        async def attempt(hang_up: bool) -> Outcome:
            try:
                code, said = await deliver(self.mail, contact.sender, mail.to, content, hang_up=hang_up)
            except NoAnswer:
                return self._none(request)
            number = _NUMBER.search(said)
            answer = Answer(self.clock(), code, number=int(number[1]) if number else None)
            return Outcome({request.key: answer}, refused=code >= 500)

        return attempt

    def _texted(self, request: Request, _earlier: Sequence[Request], _letter: Letter | None) -> Attempt:
        contact, places = request.contacts[0], self.places
        fields = twilio.message(request.key, places.twilio_account, contact.sender, places.sms_number, contact.text)
        return self._signed(request, "/v1/providers/twilio/sms", fields)

    def _called(self, request: Request, _earlier: Sequence[Request], _letter: Letter | None) -> Attempt:
        contact, places, word = request.contacts[0], self.places, request.word
        assert word is not None
        fields = twilio.call(word.sid, places.twilio_account, contact.sender, places.phone_number, word.status)
        if word.sequence is None:
            return self._signed(request, "/v1/providers/twilio/voice", fields)
        fields = twilio.call_status(fields, word.sequence, word.seconds, time.time())
        return self._signed(request, "/v1/providers/twilio/voice/status", fields)

    def _signed(self, request: Request, path: str, fields: Mapping[str, str]) -> Attempt:
        url = (self.places.public_url or self.places.intake) + path
        headers = {
            "Content-Type": FORM_TYPE,
            "X-Twilio-Signature": twilio.signature(url, fields, self.places.twilio_token),
            "I-Twilio-Idempotency-Token": request.key,
        }
        return self._posting(request, path, headers, urlencode(fields).encode())

    def _filled_in(self, request: Request, _earlier: Sequence[Request], _letter: Letter | None) -> Attempt:
        contact = request.contacts[0]
        as_json, by_header = request.style % 2 == 0, request.style < 2
        fields = {"name": contact.name, "email": contact.sender, "subject": contact.subject, "text": contact.text}
        if not by_header:
            fields["submission_id"] = request.key
        headers = {
            "Content-Type": "application/json" if as_json else FORM_TYPE,
            # Browsers come from many addresses, and are counted by them; we are the proxy in front.
            "X-Forwarded-For": _address_of(contact.sender),
            **({"Idempotency-Key": request.key} if by_header else {}),
        }
        body = msgspec.json.encode(fields) if as_json else urlencode(fields).encode()
        return self._posting(request, f"/v1/forms/{self.places.form}", headers, body)

    def _posting(self, request: Request, path: str, headers: Mapping[str, str], body: bytes) -> Attempt:
        async def attempt(hang_up: bool) -> Outcome:
            reply = await self._post(request, path, headers, body, hang_up)
            if isinstance(reply, Outcome):
                return reply
            number = int(reply.json()["ticket_number"]) if reply.status == 201 else None
            return self._all(request, reply, Answer(self.clock(), reply.status, number=number))

        return attempt

    async def _post(
        self, request: Request, path: str, headers: Mapping[str, str], body: bytes, hang_up: bool
    ) -> client.Answer | Outcome:
        service = self.hanging_up if hang_up else self.intake
        try:
            return await service.attempt(client.Request("POST", path, headers, body))
        except NoAnswer:
            return self._none(request)

    def _accepted(self, status: int, body: Mapping[str, object]) -> Answer:
        if status != 201:
            return Answer(self.clock(), status)
        ticket, message, number = body["ticket_id"], body["message_id"], body["ticket_number"]
        assert isinstance(number, int)
        return Answer(self.clock(), status, str(ticket), str(message), number)

    def _all(self, request: Request, reply: client.Answer, answer: Answer) -> Outcome:
        """The same answer for every contact of the request."""
        answers = {contact.key: answer for contact in request.contacts}
        return Outcome(answers, reply.retry_after_seconds, _is_final(reply.status))

    def _none(self, request: Request) -> Outcome:
        return Outcome({contact.key: Answer(self.clock(), None) for contact in request.contacts})


def _address_of(sender: str) -> str:
    """An IP address of the customer's own, from the network for documentation and tests (RFC 2544)."""
    number = sum(ord(letter) * 31**n for n, letter in enumerate(sender)) % 131_072
    return f"198.{18 + number // 65_536}.{number // 256 % 256}.{number % 256}"
