"""Pieces of statements: by which address or number the customer of a ticket is reached, and in which time zone. Who is whom may
have turned out otherwise since their messages came, so who has a handle by now decides.
"""

from __future__ import annotations

# Whether the customer of the ticket `t` wrote the message `m`, for the delivery `d`: it came from a handle that is theirs by now;
# or it was said to be theirs, and its handle is nobody else's.
THEIRS = """(
    EXISTS (SELECT FROM intake.handle x WHERE x.customer_id = t.customer_id AND x.kind = m.handle_kind AND x.value = m.handle)
    OR (m.participant OR m.customer_id IN (d.customer_id, t.customer_id))
    AND NOT EXISTS (SELECT FROM intake.handle x
                    WHERE x.kind = m.handle_kind AND x.scope IN ('', 'claimed') AND x.value = m.handle))"""
# Where the customer wrote from on the ticket, as far as it was known when the delivery was asked for; else another way of the
# kind `k.kind` to reach them, which is known to be theirs. For a ticket that was opened by hand they wrote nothing: there the
# address or number that they gave counts too, as that of a form does.
WAY = f"""(
    (SELECT handle_kind, handle, received_at AS at, 0 AS place FROM intake.message m
     WHERE m.ticket_id = d.ticket_id AND m.handle IS NOT NULL AND (k.kind IS NULL OR m.handle_kind = k.kind) AND {THEIRS}
     ORDER BY m.received_at <= d.created_at DESC, human DESC, received_at DESC LIMIT 1)
    UNION ALL
    (SELECT o.kind, o.value, NULL, 1 FROM intake.handle o
     WHERE o.customer_id = t.customer_id AND o.kind = k.kind
       AND (o.scope = '' OR o.scope = 'claimed' AND t.inbox = 'by_hand')
     ORDER BY o.scope, o.id LIMIT 1)
    ORDER BY place LIMIT 1)"""
# Who wrote the first message of the ticket `t`, by the id that was theirs before they were merged.
_WRITER = """
    SELECT coalesce(h.origin, m.customer_id) FROM intake.message m
    LEFT JOIN intake.handle h ON h.customer_id = t.customer_id AND h.kind = m.handle_kind AND h.value = m.handle
    WHERE m.ticket_id = t.id"""
# Who began the ticket `t`, by that id: under it is sealed what is said about the ticket. A ticket by telephone began with a call.
BEGUN_BY = f"""coalesce(
    ({_WRITER} AND m.opened ORDER BY m.received_at LIMIT 1),
    (SELECT coalesce(nullif(s.state ->> 'person', ''), s.state ->> 'customer_id') FROM intake.call c
     CROSS JOIN LATERAL (SELECT convert_from(c.state, 'UTF8')::json AS state) s
     WHERE c.ticket_id = t.id AND t.channel = 'phone' ORDER BY s.state ->> 'rang_at', c.id LIMIT 1),
    ({_WRITER} ORDER BY m.received_at LIMIT 1), t.customer_id)"""
# In which time zone the customer of the ticket `t` is, by what was said under their id, else under one that was merged into it.
ZONE = """(
    WITH RECURSIVE family(id, depth) AS (
        SELECT t.customer_id, 0 UNION ALL
        SELECT m.id, depth + 1 FROM family JOIN intake.customer m ON m.merged_into = family.id WHERE depth < 10
    )
    SELECT f.profile ->> 'zone' FROM family JOIN intake.customer f USING (id) WHERE f.profile ->> 'zone' IS NOT NULL
    ORDER BY depth, id LIMIT 1)"""


def returned_to(handle: str, customer_id: str) -> str:
    """Whether mail to the address of this row came back for good, and nobody wrote from it since on a ticket of this customer."""
    return f"""({handle}.returned_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM intake.ticket o JOIN intake.message w ON w.ticket_id = o.id
        WHERE o.customer_id = {customer_id} AND w.handle = {handle}.value AND w.human
          AND w.received_at > {handle}.returned_at))"""
