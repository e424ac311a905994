"""What the commands of `patchbay send` share: settings, files, a mail, and posting a request as a provider does."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Annotated

import httpx
import typer

from deploy.command_line import CANNOT, NOT_DONE, WRONG_USAGE, end, guarded
from deploy.running import adopt_settings
from services.intake.settings import IntakeSettings
from shared.settings import read

WAIT_SECONDS = 20.0
Text = Annotated[str, typer.Option(help="What is said.")]
Files = Annotated[list[Path] | None, typer.Option("--attach", help="A file to send along; repeat for more.")]
MailFrom = Annotated[str, typer.Option("--from", help="Who writes.")]
MailTo = Annotated[str, typer.Option("--to", help="An address of ours.")]
Subject = Annotated[str, typer.Option(help="The subject.")]
FROM, TO, SUBJECT, TEXT = "dana@customers.example", "support@patchbay.example", "Trying it out", "Hello, does this arrive?"


def mail_of(sender: str, to: str, subject: str, text: str, attach: list[Path] | None) -> EmailMessage:
    """A mail as its sender's program writes it; what is none ends the command."""
    mail = EmailMessage()
    try:
        mail["From"], mail["To"], mail["Subject"] = sender, to, subject
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="try.example")
        mail.set_content(text)
    except (ValueError, IndexError) as error:
        end(f"This is no mail: {error}.", WRONG_USAGE)
    for path, content in contents(attach):
        kind, _, subtype = type_of(path).partition("/")
        mail.add_attachment(content, maintype=kind, subtype=subtype, filename=path.name)
    return mail


def settings() -> IntakeSettings:
    """Those of the Patchbay that runs here, or that the environment names."""

    def chosen() -> IntakeSettings:
        adopt_settings()
        return read(IntakeSettings)

    return guarded(chosen)


def get(url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Ask for it; an answer that is no success ends the command with what it says."""
    return _answered("GET", url, None, headers or {})


def post(url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    """Post it; as `get`."""
    return _answered("POST", url, body, headers)


def _answered(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> httpx.Response:
    try:
        answer = httpx.request(method, url, content=body, headers=headers, timeout=WAIT_SECONDS, trust_env=False)
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


def shown(answer: httpx.Response) -> str:
    """Where a contact came to be, as it was answered; or that it was kept."""
    said = answer.json()
    if answer.status_code == 202:
        return str(said["detail"])
    return ", ".join(
        f"{name} {said[name]}" for name in ("ticket_number", "ticket_id", "message_id", "status_url") if name in said
    )


def contents(paths: list[Path] | None) -> list[tuple[Path, bytes]]:
    """What is in the files."""
    try:
        return [(path, path.read_bytes()) for path in paths or ()]
    except OSError as error:
        end(f"The file cannot be read: {error}.", WRONG_USAGE)


def type_of(path: Path) -> str:
    """The media type of a file, by its name."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
