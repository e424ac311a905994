"""Who has a copy of a message that came: ids beside the message, and their addresses as nobody wrote from them. And in what they
write, once they do.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Contact, Handle, InboundMessage
from services.intake.domain.plan import FirstHeard, NewCustomer, NewMessage
from shared import db

SEEN = """
    SELECT h.kind, h.value, h.scope FROM unnest($1::text[], $2::text[], $3::text[]) AS w(kind, value, scope)
    JOIN intake.handle h USING (kind, scope, value)
    """
NOTE = """
    WITH unproven AS (
        UPDATE intake.handle h SET verified_by = 'not' FROM unnest($1::text[]) AS w(value)
        WHERE (h.kind, h.scope, h.value) = ('email', '', w.value)
    )
    UPDATE intake.message m SET cc = string_to_array(w.cc, ' '), cc_handles = string_to_array(nullif(w.handles, ''), ' ')
    FROM unnest($2::text[], $3::text[], $4::text[]) AS w(id, cc, handles) WHERE m.id = w.id
    """
FIRST_HEARD = """
    UPDATE intake.customer c SET language = w.language FROM unnest($1::text[], $2::text[]) AS w(id, language)
    WHERE c.id = w.id AND c.language = 'und'
    """


async def seen(conn: AsyncConnection, contacts: Sequence[Contact]) -> Set[Handle]:
    """Of those who have copies of what came, who is known already, as far as can be told before they are locked."""
    copied = {copy.handle for one in contacts if isinstance(one, InboundMessage) for copy in one.copies}
    if not copied:
        return copied
    columns = zip(*((handle.kind, handle.value, handle.scope) for handle in copied), strict=True)
    return {Handle(*row) for row in await db.fetch(conn, SEEN, *map(list, columns))}


async def note(conn: AsyncConnection, messages: Sequence[NewMessage], customers: Sequence[NewCustomer]) -> None:
    """Who has copies of these messages, where anybody does, and who of them is new."""
    copied = [step for step in messages if step.cc]
    if copied:
        new = [step.copy.handle.value for step in customers if step.copy is not None]
        cc, handles = [" ".join(step.cc) for step in copied], [" ".join(step.cc_handles) for step in copied]
        await db.fetch(conn, NOTE, new, [step.message_id for step in copied], cc, handles)


async def first_heard(conn: AsyncConnection, heard: Sequence[FirstHeard]) -> None:
    """In what these customers write, where that is not known."""
    await speak(conn, {step.customer_id: step.contact.language for step in heard})


async def speak(conn: AsyncConnection, languages: dict[str, str]) -> None:
    """The languages of customers, by id, where they are not known."""
    if languages:
        await db.fetch(conn, FIRST_HEARD, list(languages), list(languages.values()))
