"""`patchbay send mailgun`, `sendgrid`, `postmark`, `ses`: a mail as that provider posts and signs it.

What Mailgun signs with is a setting; SendGrid and SNS have private keys, of which a setting names the public part: of those
one of our own signs, which `make run` makes (deploy/local/trying.py).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import uuid4

import httpx
import typer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.command_line import WRONG_USAGE, end, guarded
from deploy.local import trying
from deploy.local.screen import Screen
from deploy.posting import (
    FROM,
    SUBJECT,
    TEXT,
    TO,
    Files,
    MailFrom,
    MailTo,
    Subject,
    Text,
    contents,
    mail_of,
    post,
    settings,
    type_of,
)
from deploy.running import secrets_folder
from services.intake.channels.provided import Provider
from services.intake.channels.sns import NOTIFICATION, TRYING, signed_part
from services.intake.settings import IntakeSettings

PrivateKey = Annotated[Path | None, typer.Option("--key", help="PEM file of the private key; by default that of `make run`.")]
Plain = Annotated[bool, typer.Option("--plain", help="Taken apart, as without “POST the raw, full MIME message”.")]
SENDGRID_HEADER = "X-Twilio-Email-Event-Webhook-"
Form = list[tuple[str, tuple[str | None, str] | tuple[str | None, bytes, str]]]


def send_mailgun(
    sender: MailFrom = FROM, to: MailTo = TO, subject: Subject = SUBJECT, text: Text = TEXT, attach: Files = None
) -> None:
    """A mail, as a route of Mailgun forwards and signs it."""
    chosen, mail = settings(), mail_of(sender, to, subject, text, attach)
    if not chosen.mail_providers.mailgun:
        _nothing_signs("Mailgun's key", "PATCHBAY_INTAKE_MAILGUN_KEYS")
    stamp, token = str(int(time.time())), secrets.token_hex(25)
    signed = hmac.digest(chosen.mail_providers.mailgun[0].encode(), (stamp + token).encode(), hashlib.sha256).hex()
    fields = {"recipient": to, "sender": parseaddr(sender)[1], "from": sender, "subject": subject, "body-mime": _text(mail)}
    fields |= {"timestamp": stamp, "token": token, "signature": signed}
    _take(chosen, "mailgun", httpx.Request("POST", "http://intake", data=fields))


def send_sendgrid(
    sender: MailFrom = FROM,
    to: MailTo = TO,
    subject: Subject = SUBJECT,
    text: Text = TEXT,
    attach: Files = None,
    key: PrivateKey = None,
    plain: Plain = False,
) -> None:
    """A mail, as SendGrid's Inbound Parse posts it, raw or (--plain) taken apart, and signs it where a key of it is set."""
    chosen, mail = settings(), mail_of(sender, to, subject, text, attach)
    envelope = json.dumps({"to": [to], "from": parseaddr(sender)[1]})
    said: Form = [("to", (None, to)), ("from", (None, sender)), ("subject", (None, subject)), ("envelope", (None, envelope))]
    content: Form = _taken_apart(mail, text, attach) if plain else [("email", (None, _text(mail)))]
    request = httpx.Request("POST", "http://intake", files=[*said, *content])
    headers = {}
    if chosen.mail_providers.sendgrid_inbound:
        signer, stamp = _elliptic(key or _ours(trying.sendgrid_key)), str(int(time.time()))
        signature = signer.sign(stamp.encode() + request.read(), ec.ECDSA(hashes.SHA256()))
        headers = {f"{SENDGRID_HEADER}Timestamp": stamp, f"{SENDGRID_HEADER}Signature": base64.b64encode(signature).decode()}
    elif not chosen.mail_providers.credentials_of("sendgrid"):
        _nothing_signs("SendGrid's key or a credential", "PATCHBAY_INTAKE_SENDGRID_INBOUND_KEYS or …_PROVIDER_CREDENTIALS")
    _take(chosen, "sendgrid", request, headers)


def _taken_apart(mail: EmailMessage, text: str, attach: list[Path] | None) -> Form:
    """What Inbound Parse says of a mail field by field (SendGrid, "Setting up the Inbound Parse Webhook", default parameters)."""
    files = {f"attachment{n}": one for n, one in enumerate(contents(attach), 1)}
    charsets = dict.fromkeys(("to", "from", "subject", "text"), "UTF-8")
    said = {"headers": _text(mail).partition("\n\n")[0] + "\n", "text": text, "charsets": json.dumps(charsets)}
    said |= {"attachments": str(len(files)), "SPF": "none", "dkim": "none", "sender_ip": "127.0.0.1"}
    if files:
        about = {field: {"filename": path.name, "name": path.name, "type": type_of(path)} for field, (path, _) in files.items()}
        said["attachment-info"] = json.dumps(about)
    fields: Form = [(name, (None, value)) for name, value in said.items()]
    return fields + [(field, (path.name, content, type_of(path))) for field, (path, content) in files.items()]


def send_postmark(
    sender: MailFrom = FROM, to: MailTo = TO, subject: Subject = SUBJECT, text: Text = TEXT, attach: Files = None
) -> None:
    """A mail, as Postmark posts it taken apart, with the credential that its URL has."""
    chosen, mail = settings(), mail_of(sender, to, subject, text, attach)
    if not chosen.mail_providers.credentials_of("postmark"):
        _nothing_signs("a credential", "PATCHBAY_INTAKE_PROVIDER_CREDENTIALS")
    body = {
        "From": parseaddr(sender)[1],
        "FromFull": _person(sender),
        "ToFull": [_person(to)],
        "OriginalRecipient": to,
        "Subject": subject,
        "MessageID": str(uuid4()),
        "Date": str(mail["Date"]),
        "TextBody": text,
        "HtmlBody": "",
        "Headers": [{"Name": "Message-ID", "Value": str(mail["Message-ID"])}],
        "Attachments": [
            {"Name": path.name, "Content": base64.b64encode(content).decode(), "ContentType": type_of(path)}
            for path, content in contents(attach)
        ],
    }
    _take(chosen, "postmark", httpx.Request("POST", "http://intake", json=body))


def send_ses(
    sender: MailFrom = FROM,
    to: MailTo = TO,
    subject: Subject = SUBJECT,
    text: Text = TEXT,
    attach: Files = None,
    key: PrivateKey = None,
) -> None:
    """A mail, as Amazon SES brings it by SNS: signed with a key of ours, whose certificate intake is told to trust."""
    chosen, mail = settings(), mail_of(sender, to, subject, text, attach)
    if not chosen.mail_providers.ses_topics or chosen.ses_certificate is None:
        _nothing_signs("a topic with a certificate", "PATCHBAY_INTAKE_SES_TOPICS and PATCHBAY_INTAKE_SES_CERTIFICATE_FILE")
    address, at = parseaddr(sender)[1], datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    receipt = {"recipients": [to], "action": {"type": "SNS", "encoding": "BASE64"}, "spamVerdict": {"status": "PASS"}}
    said = {
        "notificationType": "Received",
        "mail": {"source": address, "destination": [to], "timestamp": at, "messageId": secrets.token_hex(20)},
        "receipt": receipt,
        "content": base64.b64encode(mail.as_bytes()).decode(),
    }
    message = {
        "Type": NOTIFICATION,
        "MessageId": str(uuid4()),
        "TopicArn": sorted(chosen.mail_providers.ses_topics)[0],
        "Message": json.dumps(said),
        "Timestamp": at,
        "SignatureVersion": "2",
        "SigningCertURL": TRYING,
    }
    signer = _rsa(key or _ours(trying.sns_key))
    message["Signature"] = base64.b64encode(signer.sign(signed_part(message), padding.PKCS1v15(), hashes.SHA256())).decode()
    content = json.dumps(message).encode()
    _take(chosen, "ses", httpx.Request("POST", "http://intake", content=content, headers={"Content-Type": "text/plain"}))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "mailgun": send_mailgun,
    "sendgrid": send_sendgrid,
    "postmark": send_postmark,
    "ses": send_ses,
}


def _take(chosen: IntakeSettings, provider: Provider, request: httpx.Request, headers: Mapping[str, str] | None = None) -> None:
    """Post it to the provider's URL, with the credential that stands in it."""
    url, sent = f"{chosen.public_url}/v1/providers/{provider}/inbound", {"Content-Type": request.headers["Content-Type"]}
    if credential := next(iter(chosen.mail_providers.credentials_of(provider)), ""):
        if ":" in credential:
            sent["Authorization"] = "Basic " + base64.b64encode(credential.encode()).decode()
        else:
            url = str(httpx.URL(url, params={"token": credential}))
    post(url, request.read(), {**sent, **(headers or {})})
    Screen().done("The mail was taken")


def _text(mail: EmailMessage) -> str:
    return mail.as_bytes().decode()


def _person(written: str) -> dict[str, str]:
    name, address = parseaddr(written)
    return {"Email": address, "Name": name, "MailboxHash": ""}


def _ours(place: Callable[[Path], Path]) -> Path:
    return place(guarded(secrets_folder))


def _elliptic(path: Path) -> ec.EllipticCurvePrivateKey:
    key = _private(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        end(f"{path} holds no private key of an elliptic curve.", WRONG_USAGE)
    return key


def _rsa(path: Path) -> rsa.RSAPrivateKey:
    key = _private(path)
    if not isinstance(key, rsa.RSAPrivateKey):
        end(f"{path} holds no private key of RSA.", WRONG_USAGE)
    return key


def _private(path: Path) -> object:
    try:
        return load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        end(f"There is no private key in {path} ({error}). The provider has its own: give one of yours with --key.", WRONG_USAGE)


def _nothing_signs(what: str, setting: str) -> NoReturn:
    end(f"Without {what} intake takes nothing of this provider. Set {setting}, or let `make run` make them.", WRONG_USAGE)
