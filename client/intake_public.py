"""What customers, their browsers and providers call at intake, mostly without a key."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from .exchange import Answer, Request
from .intake_settings import FormAccepted, FormBody, SurveyAnswer, TicketStatus, Token
from .service import Service, at

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


class IntakePublic(Service):
    """Forms, links that were sent to customers, and what providers post: signed, or with what is in their URL.

    What a provider posts is sent on as it is, `headers` with it, and never repeated.
    """

    async def get_file(self, token: str) -> Answer:
        """A file by its signed link."""
        return await self._fetched(at("/files/{}", token))

    async def show_form(self, form_id: str) -> Answer:
        """The form as a page."""
        return await self._fetched(at("/forms/{}", form_id))

    async def form_token(self, form_id: str) -> Token:
        """A token for a page that shows the form."""
        return await self._get(Token, at("/v1/forms/{}/token", form_id))

    async def submit_form(self, form_id: str, body: FormBody, idempotency_key: str | None = None) -> FormAccepted:
        """A form was filled in."""
        return await self._post(FormAccepted, at("/v1/forms/{}", form_id), body, idempotency_key)

    async def ticket_status(self, token: str) -> TicketStatus:
        """How a ticket stands, for whoever has its link."""
        return await self._get(TicketStatus, at("/status/{}", token))

    async def show_survey(self, token: str) -> Answer:
        """The question as a page. Records nothing."""
        return await self._fetched(at("/survey/{}", token))

    async def answer_survey(self, token: str, body: SurveyAnswer) -> Answer:
        """Answer the question, as its page does."""
        return await self.send(Request("POST", at("/survey/{}", token), URLENCODED, urlencode(body).encode()))

    async def mailgun_mail_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """A route of Mailgun forwards a mail."""
        return await self._hook("mailgun/inbound", content, headers)

    async def mailgun_event_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Mailgun tells what became of a mail."""
        return await self._hook("mailgun/events", content, headers)

    async def postmark_mail_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Postmark brings a mail."""
        return await self._hook("postmark/inbound", content, headers)

    async def postmark_event_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Postmark tells what became of a mail."""
        return await self._hook("postmark/events", content, headers)

    async def sendgrid_mail_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """SendGrid's Inbound Parse brings a mail."""
        return await self._hook("sendgrid/inbound", content, headers)

    async def sendgrid_events_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """SendGrid tells what became of mails."""
        return await self._hook("sendgrid/events", content, headers)

    async def ses_mail_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Amazon SES brings a mail by SNS."""
        return await self._hook("ses/inbound", content, headers)

    async def ses_event_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Amazon SES tells by SNS what became of a mail."""
        return await self._hook("ses/events", content, headers)

    async def twilio_sms_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """A text message came in."""
        return await self._hook("twilio/sms", content, headers)

    async def twilio_sms_status(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """What became of a text message."""
        return await self._hook("twilio/sms/status", content, headers)

    async def twilio_call_received(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """A call comes in. Answered with TwiML."""
        return await self._hook("twilio/voice", content, headers)

    async def twilio_call_status(self, content: bytes, headers: Mapping[str, str]) -> Answer:
        """What became of a call."""
        return await self._hook("twilio/voice/status", content, headers)

    async def _hook(self, path: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        return await self.send(Request("POST", f"/v1/providers/{path}", headers, content))

    async def _fetched(self, path: str) -> Answer:
        return await self.send(Request("GET", path))
