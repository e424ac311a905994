"""Promises about what goes out: every reply arrives or is told failed, in order; a repeat is counted and is the same."""

from __future__ import annotations

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from uuid import UUID

from shared.events.message import (
    ConfirmationSent,
    ConfirmationSkipped,
    DeliveryUncertain,
    MessageDelivered,
    MessageFailed,
    MessageReceived,
    ReplyRequested,
)
from shared.events.ticket import TicketClosed, TicketOpened
from tests.faults.history import Mail
from tests.faults.index import Index

BY_MAIL = frozenset({"email", "form"})
BY_TEXT = frozenset({"sms"})
NUMBER = re.compile(r"#[0-9]+")
Text = tuple[str, str]
"""To whom, and what."""


def arrived(index: Index) -> Iterator[str]:
    """Every requested reply arrived as the agent wrote it, or is told failed; and the table says the same as the log."""
    rows = {row.message_id: row for row in index.tables.deliveries}
    delivered = {said.fact.message_id for said in index.said(MessageDelivered)}
    failed = {said.fact.message_id for said in index.said(MessageFailed)}
    mails = mails_of(index)
    for reply in index.said(ReplyRequested):
        message_id = reply.fact.message_id
        row, fates = rows.get(message_id), (message_id in delivered, message_id in failed)
        if row is None or fates not in ((True, False), (False, True)):
            yield f"ticket {reply.key}: reply {message_id} neither arrived nor failed, or both"
        elif row.state != ("delivered" if fates[0] else "failed"):
            yield f"ticket {reply.key}: reply {message_id} is {row.state} in the table, delivered on the log: {fates[0]}"
        elif fates[0] and reply.fact.channel in BY_MAIL:
            text = index.history.replies.get(message_id)
            if not any(text is None or _same(mail.text, text) for mail in mails.get(message_id, ())):
                yield f"ticket {reply.key}: reply {message_id} was delivered, and no mail of it came with its text"
    requested = {said.fact.message_id for said in index.said(ReplyRequested)}
    for message_id, came in mails.items():
        if message_id not in requested and not all(mail.automatic for mail in came):
            yield f"mail {came[0].ref} to a customer is no reply that was requested"


def texts_arrived(index: Index) -> Iterator[str]:
    """Every SMS that was delivered came to its customer, and none came more often than it was sent or is counted uncertain."""
    delivered = {said.fact.message_id for said in index.said(MessageDelivered)}
    uncertain = Counter(said.fact.message_id for said in index.said(DeliveryUncertain))
    sent = Counter((text.to, text.body) for text in index.history.texts)
    wanted: Counter[tuple[str, str]] = Counter()
    spare: Counter[tuple[str, str]] = Counter()
    sent = _by_ticket(index, sent, wanted, spare)
    for reply in index.said(ReplyRequested):
        text = index.history.replies.get(reply.fact.message_id)
        numbers = index.tables.phones.get(reply.fact.customer_id, frozenset())
        if reply.fact.channel not in BY_TEXT or text is None or len(numbers) != 1:
            continue
        place = (next(iter(numbers)), text)
        wanted[place] += reply.fact.message_id in delivered
        spare[place] += uncertain[reply.fact.message_id] + (reply.fact.message_id not in delivered)
    if index.history.poisoned:
        sent = Counter({place: times for place, times in sent.items() if place in wanted})
    for place in wanted.keys() | sent.keys():
        if not wanted[place] <= sent[place] <= wanted[place] + spare[place]:
            yield (
                f"an SMS to {place[0]} came {sent[place]} times; {wanted[place]} were delivered, "
                f"{spare[place]} more may have been sent"
            )


def _by_ticket(index: Index, sent: Counter[Text], wanted: Counter[Text], spare: Counter[Text]) -> Counter[Text]:
    """Texts that confirm a ticket to its customer, counted as `#number` whatever else they say; and how many there should be."""
    confirmations = {said.key: said.fact.message_id for said in index.said(ConfirmationSent) if said.fact.channel in BY_TEXT}
    requested = {said.fact.message_id for said in index.said(ReplyRequested)}
    tried = Counter(said.key for said in index.said(DeliveryUncertain) if said.fact.message_id not in requested)
    places: set[Text] = set()
    for opened in index.said(TicketOpened):
        numbers = index.tables.phones.get(opened.fact.customer_id, frozenset())
        if opened.fact.channel in BY_TEXT and len(numbers) == 1:
            place = (next(iter(numbers)), f"#{opened.fact.number}")
            places.add(place)
            wanted[place] += opened.key in confirmations
            spare[place] += tried[opened.key] + (opened.key not in confirmations)
    counted: Counter[Text] = Counter()
    replies = set(index.history.replies.values())
    for (to, body), times in sent.items():
        number = NUMBER.search(body)
        confirms = (to, number[0]) if number is not None and body not in replies else None
        counted[confirms if confirms is not None and confirms in places else (to, body)] += times
    return counted


def in_order(index: Index) -> Iterator[str]:
    """The replies of a ticket arrive in the order in which they were written."""
    first: dict[str, int] = {}
    for place, mail in enumerate(index.history.mails):
        first.setdefault(message_of(mail), place)
    written: dict[str, list[str]] = defaultdict(list)
    for reply in index.said(ReplyRequested):
        if reply.fact.message_id in first:
            written[reply.key].append(reply.fact.message_id)
    for ticket_id, message_ids in written.items():
        places = [first[message_id] for message_id in message_ids]
        if places != sorted(places):
            yield f"ticket {ticket_id}: replies {message_ids} arrived in the order {places}"


def repeats_counted(index: Index) -> Iterator[str]:
    """What came twice is the same message under the same Message-ID, and each time more than once is counted as uncertain."""
    uncertain = Counter(said.fact.message_id for said in index.said(DeliveryUncertain))
    for message_id, mails in mails_of(index).items():
        if len(mails) > 1 + uncertain[message_id]:
            yield f"{message_id} came {len(mails)} times; {uncertain[message_id]} attempts are counted as uncertain"
    by_ref: dict[str, set[tuple[str, str, str]]] = defaultdict(set)
    for mail in index.history.mails:
        by_ref[mail.ref].add((mail.recipient, mail.subject, mail.text))
    for ref, contents in by_ref.items():
        if len(contents) > 1:
            yield f"Message-ID {ref} stands on {len(contents)} different mails"


def said_once(index: Index) -> Iterator[str]:
    """What became of a message is said once, of an attempt too; a ticket is confirmed, or not, once, and closed once."""
    fates = Counter(said.fact.message_id for said in index.said(MessageDelivered))
    fates += Counter(said.fact.message_id for said in index.said(MessageFailed))
    fates += Counter(said.fact.message_id for said in index.said(ConfirmationSent))
    attempts = Counter((said.fact.message_id, said.fact.attempt) for said in index.said(DeliveryUncertain))
    confirmed = Counter(said.key for kind in (ConfirmationSent, ConfirmationSkipped) for said in index.said(kind))
    closed = Counter(said.key for said in index.said(TicketClosed))
    requests = Counter(said.fact.message_id for said in index.said(ReplyRequested))
    for what, counted in (
        ("the fate of message", fates),
        ("the uncertain attempt", attempts),
        ("the confirmation of ticket", confirmed),
        ("the closing of ticket", closed),
        ("reply", requests),
    ):
        for name, times in counted.items():
            if times > 1:
                yield f"{what} {name} was said {times} times"


def confirmed(index: Index) -> Iterator[str]:
    """Who wrote by mail or form got a confirmation, or it is said why not; what was sent arrived."""
    told = {said.key for kind in (ConfirmationSent, ConfirmationSkipped) for said in index.said(kind)}
    messages = {said.key for said in index.said(MessageReceived)}
    for opened in index.said(TicketOpened):
        if opened.fact.channel in BY_MAIL and opened.key in messages and opened.key not in told:
            yield f"ticket {opened.key} was neither confirmed nor is it said why not"
    mails = mails_of(index)
    for sent in index.said(ConfirmationSent):
        if sent.fact.channel not in BY_TEXT and not mails.get(sent.fact.message_id):
            yield f"ticket {sent.key}: confirmation {sent.fact.message_id} was sent, and no mail of it came"


@lru_cache(maxsize=1)
def mails_of(index: Index) -> dict[str, list[Mail]]:
    """The mails that came, by the message that their Message-ID names."""
    found: dict[str, list[Mail]] = defaultdict(list)
    for mail in index.history.mails:
        if not _poisoned(index, mail):
            found[message_of(mail)].append(mail)
    return dict(found)


def message_of(mail: Mail) -> str:
    """The id that its Message-ID carries: `<message>.<ticket>.<signature>@host`, ids in base32. Empty for another form."""
    return _id(mail.ref.lstrip("<").partition("@")[0].split(".")[0])


def _poisoned(index: Index, mail: Mail) -> bool:
    parts = mail.ref.lstrip("<").partition("@")[0].split(".")
    return len(parts) > 1 and _id(parts[1]) in index.history.poisoned


@lru_cache(maxsize=100_000)
def _id(short: str) -> str:
    try:
        return str(UUID(bytes=base64.b32decode(short.upper() + "======")))
    except ValueError:
        return ""


def _same(arrived_text: str, written: str) -> bool:
    """Line ends are the mail's own, and what is answered stands quoted below."""
    words = written.split()
    return arrived_text.split()[: len(words)] == words
