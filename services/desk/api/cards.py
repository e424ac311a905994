"""A customer's card, from records, orders, answers and promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.desk.api.shown_customers import (
    AnswerShown,
    CustomerCard,
    HandleShown,
    OrderShown,
    OwedShown,
    SuggestionShown,
    TotalShown,
)
from services.desk.api.telling import tell_promise
from services.desk.domain.customers import Box, Record
from services.desk.domain.filters import Sight
from services.desk.domain.words import direction_of
from services.desk.opening import open_box, open_fact
from services.desk.store import reading
from services.desk.store.reading import AnswerRow
from shared.events.codec import decode_data
from shared.events.message import SurveyAnswered, SurveyPersonal
from shared.events.people import OrderRecorded
from shared.personal import KeyRing

SHOWN = 50  # orders, answers and tickets with promises, the newest or nearest


async def tell_card(
    conn: AsyncConnection, keys: KeyRing, sight: Sight, customer_id: str, family: Sequence[Record], ids: Sequence[str]
) -> CustomerCard:
    """The card without its tickets. `family`: the record that stays, then those that were merged into it; `ids` all of theirs."""
    own = next((record for record in family if record.id == customer_id), Record(id=customer_id))
    answers = await reading.answers(conn, ids, sight, SHOWN)
    people = {box.sealed.customer_id for record in family for box in _boxes(record)}
    await keys.load(conn, people | {row.person for row in answers if row.person is not None})
    name, fields = _who(keys, family)
    owed = await reading.standing(conn, ids, sight, SHOWN)
    return CustomerCard(
        customer_id=customer_id,
        asked_for=customer_id,
        merged_ids=[record.id for record in family if record.id != customer_id],
        name=name,
        name_direction=direction_of(name or ""),
        fields=fields,
        handles=[shown for record in family for shown in _handles(keys, record)],
        vip=bool(own.vip),
        plan=own.plan or None,
        tier=own.tier or None,
        language=own.language,
        zone=own.zone,
        consents=own.consents,
        created_at=min((record.created_at for record in family if record.created_at is not None), default=None),
        joined_on=own.joined_on,
        renewed_on=own.renewed_on,
        paid_until=own.paid_until,
        left_on=own.left_on,
        totals=[TotalShown(status=s, channel=c, tickets=n) for s, c, n in sorted(await reading.totals(conn, ids, sight))],
        tickets=[],
        tickets_cursor=None,
        orders=[_order(at, order) for at, order in await reading.orders(conn, ids, SHOWN)],
        satisfaction=_answers(keys, answers),
        promises=[
            OwedShown(**tell_promise(one).model_dump(), ticket_id=ticket_id, number=number)
            for ticket_id, number, standing in owed
            for one in standing
        ],
        suggestions=_suggestions(family, ids),
        names={},
    )


def _boxes(record: Record) -> Iterator[Box]:
    yield from record.names
    yield from (handle.box for handle in record.handles.values() if handle.box is not None)


def _who(keys: KeyRing, family: Sequence[Record]) -> tuple[str | None, dict[str, str]]:
    """Name and fields: as the record that stays has them, else as one that was merged into it. What a person was called where
    they wrote (a box with their address) counts only where no record says it.
    """
    opened = [content for record in family for box in reversed(record.names) if (content := open_box(keys, box)) is not None]
    said = [content for content in opened if not content.handles]
    name = next((content.name for content in (*said, *opened) if content.name), None)
    return name, next((content.fields for content in said if content.fields), {})


def _handles(keys: KeyRing, record: Record) -> Iterator[HandleShown]:
    """The ways to reach them that can still be read."""
    for handle_id, handle in sorted(record.handles.items()):
        content = open_box(keys, handle.box) if handle.box is not None else None
        if content is not None and content.handles:
            yield HandleShown(
                handle_id=handle_id,
                kind=handle.kind,
                value=content.handles[0],
                scope=content.handle_scope,
                verified_by=handle.verified_by,
            )


def _order(at: datetime, order: OrderRecorded) -> OrderShown:
    return OrderShown(
        order_id=order.order_id,
        kind=order.kind,
        status=order.status,
        amount_minor=order.amount_minor,
        currency=order.currency,
        product=order.product,
        occurred_at=order.occurred_at,
        due_at=order.due_at,
        recorded_at=at,
    )


def _answers(keys: KeyRing, rows: Sequence[AnswerRow]) -> list[AnswerShown]:
    """The last answer to each question, the newest first."""
    found: dict[str, AnswerShown] = {}
    for row in rows:
        fact = decode_data(row.data.encode(), SurveyAnswered)
        if fact.survey_id in found:
            continue
        content = open_fact(keys, fact.TYPE, row.event_id, row.person, row.box).content
        comment = content.comment if isinstance(content, SurveyPersonal) else ""
        found[fact.survey_id] = AnswerShown(
            ticket_id=row.ticket_id,
            number=row.number,
            survey_id=fact.survey_id,
            kind=fact.kind,
            score=fact.score,
            scale_min=fact.scale_min,
            scale_max=fact.scale_max,
            at=row.at,
            comment=comment or None,
            comment_direction=direction_of(comment),
        )
    return list(found.values())


def _suggestions(family: Sequence[Record], ids: Sequence[str]) -> list[SuggestionShown]:
    """Who may be the same person, and has not become one."""
    return [
        SuggestionShown(customer_id=one.customer_id, evidence=one.evidence, suggested_at=one.at)
        for record in family
        for one in record.suggested
        if one.customer_id not in ids
    ]
