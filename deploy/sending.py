"""`patchbay send <channel>`: a contact as that channel brings it, sent to a running Patchbay, and what it answered."""

from __future__ import annotations

import base64
import json
import smtplib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import quote, urlencode
from uuid import uuid4

import typer

from deploy import sending_imap, sending_mail
from deploy.command_line import CANNOT, NOT_DONE, WRONG_USAGE, end, guarded
from deploy.local.ports import address
from deploy.local.screen import Screen
from deploy.posting import (
    FROM,
    SUBJECT,
    TEXT,
    TO,
    WAIT_SECONDS,
    Files,
    MailFrom,
    MailTo,
    Subject,
    Text,
    contents,
    get,
    mail_of,
    post,
    settings,
    shown,
    type_of,
)
from services.intake.channels import outgoing_webhook
from services.routing.settings import RoutingSettings
from shared.settings import read
from simulator import twilio

app = typer.Typer(no_args_is_help=True, help="Send a contact by a channel, to try it.")
ACCOUNT = "AC" + "0" * 32

Inbox = Annotated[str, typer.Option(help="The inbox's id.")]
JSON = {"Content-Type": "application/json"}


class ByHand(StrEnum):
    """Where somebody was spoken to."""

    in_person = "in_person"
    phone = "phone"
    other = "other"


@app.command("email")
def send_email(
    sender: MailFrom = FROM, to: MailTo = TO, subject: Subject = SUBJECT, text: Text = TEXT, attach: Files = None
) -> None:
    """A mail, by SMTP."""
    chosen = settings()
    mail = mail_of(sender, to, subject, text, attach)
    try:
        with smtplib.SMTP(chosen.host, chosen.smtp_port, timeout=WAIT_SECONDS) as server:
            server.ehlo_or_helo_if_needed()
            server.mail(sender)
            code, answer = server.rcpt(to)
            if code == 250:
                code, answer = server.data(mail.as_bytes())
    except (OSError, smtplib.SMTPException) as error:
        end(f"No mail is taken on {chosen.host}:{chosen.smtp_port} ({error}). Does it run (make run)?", CANNOT)
    said = f"{code} {answer.decode('utf-8', 'replace')}"
    if code != 250:
        end(f"The mail was refused: {said}", NOT_DONE)
    Screen().done(f"The mail was taken: {said}")


@app.command("sms")
def send_sms(
    sender: Annotated[str, typer.Option("--from", help="Who writes, with + and country.")] = "+40721234567",
    to: Annotated[str, typer.Option(help="A number of ours.")] = "+40312295500",
    text: Text = TEXT,
) -> None:
    """A text message, as Twilio posts and signs it."""
    fields = twilio.message(f"SM{uuid4().hex}", ACCOUNT, sender, to, text)
    _by_twilio("/v1/providers/twilio/sms", fields)
    Screen().done(f"The message was taken as {fields['MessageSid']}")


@app.command("call")
def send_call(
    caller: Annotated[str, typer.Option("--from", help="Who calls, with + and country.")] = "+40721234567",
    to: Annotated[str, typer.Option(help="A number of ours.")] = "+40312295501",
    seconds: Annotated[int, typer.Option(min=0, help="How long they wait until they hang up.")] = 20,
) -> None:
    """A call that rings and that its caller ends, as Twilio tells and signs it."""
    ringing = twilio.call(f"CA{uuid4().hex}", ACCOUNT, caller, to, "ringing")
    _by_twilio("/v1/providers/twilio/voice", ringing)
    ended = twilio.call_status({**ringing, "CallStatus": "completed"}, 1, seconds)
    _by_twilio("/v1/providers/twilio/voice/status", ended)
    Screen().done(f"The call was taken as {ringing['CallSid']}")


def _by_twilio(path: str, fields: Mapping[str, str]) -> None:
    chosen = settings()
    if not chosen.twilio_tokens:
        end("No Twilio token is set, so nothing can be signed. Set PATCHBAY_INTAKE_TWILIO_TOKENS.", WRONG_USAGE)
    url = f"{chosen.public_url}{path}"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": twilio.signature(url, fields, chosen.twilio_tokens[0]),
    }
    post(url, urlencode(fields).encode(), headers)


@app.command("form")
def send_form(
    inbox: Inbox = "contact",
    email: Annotated[str, typer.Option(help="The e-mail address given.")] = "dana@customers.example",
    name: Annotated[str, typer.Option(help="The name given.")] = "Dana",
    text: Text = TEXT,
    token: Annotated[
        bool, typer.Option("--token", help="Get a token first, and wait as long as a person needs: for a form that asks for one.")
    ] = False,
    signed: Annotated[
        bool, typer.Option("--signed", help="As a server of yours sends it: signed with a secret of the form.")
    ] = False,
) -> None:
    """A web form, as a page posts it, or (--signed) a server."""
    url = f"{settings().public_url}/v1/forms/{inbox}"
    filled_in = {"name": name, "email": email, "text": text}
    if token:
        given = get(f"{url}/token").json()
        time.sleep(given["seconds_until_usable"])
        filled_in["token"] = given["token"]
    body = json.dumps(filled_in).encode()
    answer = post(url, body, _by_server(inbox, body) if signed else JSON)
    Screen().done(f"The form was taken: {shown(answer)}")


def _by_server(inbox: str, body: bytes) -> dict[str, str]:
    """The headers with which a server sends it (Standard Webhooks)."""
    secrets = settings().webhook_secrets.get(inbox, ())
    if not secrets:
        end(f"No secret of '{inbox}' is set, so nothing can be signed. Set PATCHBAY_INTAKE_WEBHOOK_SECRETS.", WRONG_USAGE)
    return outgoing_webhook.signed(secrets[:1], f"msg_{uuid4().hex}", body, datetime.now(UTC))


@app.command("generic")
def send_generic(
    key: Annotated[str, typer.Option(envvar="PATCHBAY_KEY", help="An API key with the scope intake:write.")],
    channel: Annotated[str, typer.Option(help="chat, other, review …")] = "chat",
    inbox: Inbox = "chat",
    handle: Annotated[str, typer.Option(help="kind:value, such as provider_id:17 or email:a@b.example.")] = "provider_id:try-17",
    text: Text = TEXT,
    attach: Files = None,
) -> None:
    """A contact of any channel, as a connector posts it."""
    kind, colon, value = handle.partition(":")
    if not colon:
        end("A handle is kind:value, such as provider_id:17.", WRONG_USAGE)
    files = [
        {"name": path.name, "media_type": type_of(path), "content": base64.b64encode(content).decode()}
        for path, content in contents(attach)
    ]
    contact = {"channel": channel, "inbox": inbox, "handle": {"kind": kind, "value": value}, "text": text, "attachments": files}
    headers = {**JSON, "Authorization": f"Bearer {key}"}
    answer = post(f"{settings().public_url}/v1/contacts", json.dumps(contact).encode(), headers)
    Screen().done(f"The contact was taken: {shown(answer)}")


@app.command("by-hand")
def send_by_hand(
    key: Annotated[str, typer.Option(envvar="PATCHBAY_KEY", help="An agent's API key.")],
    customer: Annotated[str, typer.Option(help="Who is known: an id, email:…, phone:… or external:….")] = "",
    name: Annotated[str, typer.Option(help="What somebody whom nobody knows is called.")] = "",
    email: Annotated[str, typer.Option(help="The e-mail address that they give.")] = "",
    phone: Annotated[str, typer.Option(help="The number that they give, with + and country.")] = "",
    channel: Annotated[ByHand, typer.Option(help="Where they were spoken to.")] = ByHand.in_person,
    subject: Subject = SUBJECT,
) -> None:
    """A ticket that an agent opens for somebody at the counter or on the telephone, as a console asks routing for it: for one who
    is known (--customer), or is new (--name, --email, --phone).
    """
    by_agent = {"Authorization": f"Bearer {key}"}
    given = {part: said for part, said in (("name", name), ("email", email), ("phone", phone)) if said}
    if customer and given:
        end("Name somebody who is known (--customer), or tell who somebody new is; not both.", WRONG_USAGE)
    who = _made(given, channel, by_agent) if given else _known(customer or f"email:{FROM}", by_agent)
    routing = guarded(lambda: read(RoutingSettings))
    url = f"http://{address(routing.host, routing.routing_port)}/v1/tickets"
    wish = {"customer_id": who, "channel": channel.value, "subject": subject}
    answer = post(url, json.dumps(wish).encode(), {**JSON, **by_agent, "Idempotency-Key": uuid4().hex}).json()
    Screen().done(f"It was asked for as {answer['ticket_id']}, and has its number when intake says so")


def _known(customer: str, by_agent: Mapping[str, str]) -> str:
    return str(get(f"{settings().public_url}/v1/customers/{quote(customer, safe='')}", by_agent).json()["id"])


def _made(given: Mapping[str, str], channel: ByHand, by_agent: Mapping[str, str]) -> str:
    url, once = f"{settings().public_url}/v1/customers/by-hand", {"Idempotency-Key": uuid4().hex}
    made = post(url, json.dumps({**given, "channel": channel.value}).encode(), {**JSON, **by_agent, **once}).json()
    Screen().done("A customer was made" if made["made"] else "Somebody told that address or number before, and is the customer")
    return str(made["customer_id"])


app.command("imap")(sending_imap.send_imap)
for _name, _command in sending_mail.COMMANDS.items():
    app.command(_name)(_command)
