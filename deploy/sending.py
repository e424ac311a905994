"""`patchbay send <channel>`: a contact as that channel brings it, sent to a running Patchbay, and what it answered."""

from __future__ import annotations

import base64
import json
import mimetypes
import smtplib
from email.message import EmailMessage
from email.utils import make_msgid
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import typer

from deploy.command_line import CANNOT, NOT_DONE, WRONG_USAGE, end, guarded
from deploy.local.screen import Screen
from deploy.running import adopt_settings
from services.intake.settings import IntakeSettings
from shared.settings import read
from simulator import twilio

app = typer.Typer(no_args_is_help=True, help="Send a contact by a channel, to try it.")
WAIT_SECONDS = 20.0
ACCOUNT = "AC" + "0" * 32

Text = Annotated[str, typer.Option(help="What is said.")]
Inbox = Annotated[str, typer.Option(help="The inbox's id.")]
Files = Annotated[list[Path] | None, typer.Option("--attach", help="A file to send along; repeat for more.")]


@app.command("email")
def send_email(
    sender: Annotated[str, typer.Option("--from", help="Who writes.")] = "dana@customers.example",
    to: Annotated[str, typer.Option(help="An address of ours.")] = "support@patchbay.example",
    subject: Annotated[str, typer.Option(help="The subject.")] = "Trying it out",
    text: Text = "Hello, does this arrive?",
    attach: Files = None,
) -> None:
    """A mail, by SMTP."""
    chosen = _settings()
    mail = EmailMessage()
    try:
        mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, to, subject, make_msgid(domain="try.example")
        mail.set_content(text)
    except (ValueError, IndexError) as error:
        end(f"This is no mail: {error}.", WRONG_USAGE)
    for path, content in _contents(attach):
        kind, _, subtype = _type_of(path).partition("/")
        mail.add_attachment(content, maintype=kind, subtype=subtype, filename=path.name)
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
    text: Text = "Hello, does this arrive?",
) -> None:
    """A text message, as Twilio posts and signs it."""
    chosen = _settings()
    if not chosen.twilio_tokens:
        end("No Twilio token is set, so nothing can be signed. Set PATCHBAY_INTAKE_TWILIO_TOKENS.", WRONG_USAGE)
    url = f"{chosen.public_url}/v1/providers/twilio/sms"
    fields = twilio.message(f"SM{uuid4().hex}", ACCOUNT, sender, to, text)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Twilio-Signature": twilio.signature(url, fields, chosen.twilio_tokens[0]),
    }
    _post(url, urlencode(fields).encode(), headers)
    Screen().done(f"The message was taken as {fields['MessageSid']}")


@app.command("form")
def send_form(
    inbox: Inbox = "contact",
    email: Annotated[str, typer.Option(help="The e-mail address given.")] = "dana@customers.example",
    name: Annotated[str, typer.Option(help="The name given.")] = "Dana",
    text: Text = "Hello, does this arrive?",
) -> None:
    """A web form, as a page posts it."""
    body = json.dumps({"name": name, "email": email, "text": text}).encode()
    answer = _post(f"{_settings().public_url}/v1/forms/{inbox}", body, {"Content-Type": "application/json"})
    Screen().done(f"The form was taken: {_shown(answer)}")


@app.command("generic")
def send_generic(
    key: Annotated[str, typer.Option(envvar="PATCHBAY_KEY", help="An API key with the scope intake:write.")],
    channel: Annotated[str, typer.Option(help="chat, other, review …")] = "chat",
    inbox: Inbox = "chat",
    handle: Annotated[str, typer.Option(help="kind:value, such as provider_id:17 or email:a@b.example.")] = "provider_id:try-17",
    text: Text = "Hello, does this arrive?",
    attach: Files = None,
) -> None:
    """A contact of any channel, as a connector posts it."""
    kind, colon, value = handle.partition(":")
    if not colon:
        end("A handle is kind:value, such as provider_id:17.", WRONG_USAGE)
    files = [
        {"name": path.name, "media_type": _type_of(path), "content": base64.b64encode(content).decode()}
        for path, content in _contents(attach)
    ]
    contact = {"channel": channel, "inbox": inbox, "handle": {"kind": kind, "value": value}, "text": text, "attachments": files}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    answer = _post(f"{_settings().public_url}/v1/contacts", json.dumps(contact).encode(), headers)
    Screen().done(f"The contact was taken: {_shown(answer)}")


def _settings() -> IntakeSettings:
    def chosen() -> IntakeSettings:
        adopt_settings()
        return read(IntakeSettings)

    return guarded(chosen)


def _post(url: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
    """Post it; an answer that is no success ends the command with what it says."""
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=WAIT_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        end(f"Nobody answers at {url} ({error}). Does it run (make run)? Is PATCHBAY_INTAKE_PUBLIC_URL right?", CANNOT)
    if not answer.is_success:
        end(_refusal(answer), NOT_DONE)
    return answer


def _refusal(answer: httpx.Response) -> str:
    """A problem (RFC 9457) in a few lines."""
    try:
        said = answer.json()
        lines = [f"Refused with {answer.status_code} {said['code']}: {said.get('detail', '')}"]
        return "\n".join([*lines, *(f"  {error['field']} {error['reason']}" for error in said.get("errors", []))])
    except (ValueError, KeyError, TypeError):
        return f"Refused with {answer.status_code}."


def _shown(answer: httpx.Response) -> str:
    said = answer.json()
    return ", ".join(
        f"{name} {said[name]}" for name in ("ticket_number", "ticket_id", "message_id", "status_url") if name in said
    )


def _contents(paths: list[Path] | None) -> list[tuple[Path, bytes]]:
    try:
        return [(path, path.read_bytes()) for path in paths or ()]
    except OSError as error:
        end(f"The file cannot be read: {error}.", WRONG_USAGE)


def _type_of(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
