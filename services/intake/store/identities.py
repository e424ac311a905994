"""People for whom connectors vouch: by which ids your records know them, and which handles are theirs by such a word."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.domain.contacts import Contact, InboundMessage
from services.intake.domain.known import Known
from services.intake.domain.plan import NewHandle, Plan
from shared import db

EXTERNAL = """
    SELECT customer_id, array_agg(value) FROM intake.handle WHERE kind = 'external_id' AND customer_id = ANY($1::text[])
    GROUP BY customer_id
    """

VOUCHED = """
    UPDATE intake.handle h SET verified_by = 'signed_identity'
    FROM unnest($1::text[], $2::text[], $3::text[]) AS w(kind, scope, value)
    WHERE (h.kind, h.scope, h.value) = (w.kind, w.scope, w.value)
    """


async def find(conn: AsyncConnection, contacts: Sequence[Contact], known: Known) -> None:
    """Note them in `known`, whose customers are loaded; contacts for which nobody vouches cost no statement."""
    if not any(isinstance(contact, InboundMessage) and contact.vouched for contact in contacts):
        return
    ids = sorted({customer.customer_id for customer in known.customers.values()})
    known.external = {customer_id: frozenset(values) for customer_id, values in await db.fetch(conn, EXTERNAL, ids)}


async def note(conn: AsyncConnection, plan: Plan) -> None:
    """Say by whose word these handles are their owners'; they are written already."""
    vouched = [step.handle for step in plan.steps if isinstance(step, NewHandle) and step.vouched]
    if vouched:
        await db.fetch(conn, VOUCHED, *zip(*[(handle.kind, handle.scope, handle.value) for handle in vouched], strict=True))
