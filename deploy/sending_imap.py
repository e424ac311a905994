"""`patchbay send imap`: a mail, put into a mailbox that intake reads."""

from __future__ import annotations

from imaplib import IMAP4
from typing import Annotated

import typer
from imap_tools.errors import ImapToolsError

from deploy.command_line import CANNOT, WRONG_USAGE, end
from deploy.local.screen import Screen
from deploy.posting import FROM, SUBJECT, TEXT, TO, Files, MailFrom, MailTo, Subject, Text, mail_of, settings
from services.intake.imap_connection import Connection
from services.intake.imap_tokens import Tokens

OfInbox = Annotated[str, typer.Option(help="The id of the inbox whose mailbox it is; by default that of the first mailbox.")]


def send_imap(
    sender: MailFrom = FROM,
    to: MailTo = TO,
    subject: Subject = SUBJECT,
    text: Text = TEXT,
    attach: Files = None,
    inbox: OfInbox = "",
) -> None:
    """A mail, put into a mailbox that intake reads by IMAP."""
    mail = mail_of(sender, to, subject, text, attach)
    mailbox = next((one for one in settings().mailboxes if inbox in ("", one.inbox)), None)
    if mailbox is None:
        end("No such mailbox is read. Set PATCHBAY_INTAKE_IMAP_MAILBOXES (docs/providers.md).", WRONG_USAGE)
    connection = Connection(mailbox, Tokens(mailbox))
    try:
        connection.open()
        connection.box.append(mail.as_bytes(), mailbox.folder)
    except (OSError, IMAP4.error, ImapToolsError) as error:
        end(f"The mail could not be put into {mailbox.name} at {mailbox.host} ({error}). Check its settings.", CANNOT)
    finally:
        connection.close()
    Screen().done(f"The mail is in {mailbox.name}; intake takes it from there")
