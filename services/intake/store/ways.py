"""Pieces of statements: by which address or number the customer of a ticket is reached. Who is whom may have turned out otherwise
since their messages came, so who has a handle by now decides.
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
# kind `k.kind` to reach them, which is known to be theirs.
WAY = f"""(
    (SELECT handle_kind, handle, received_at AS at, 0 AS place FROM intake.message m
     WHERE m.ticket_id = d.ticket_id AND m.handle IS NOT NULL AND (k.kind IS NULL OR m.handle_kind = k.kind) AND {THEIRS}
     ORDER BY m.received_at <= d.created_at DESC, human DESC, received_at DESC LIMIT 1)
    UNION ALL
    (SELECT o.kind, o.value, NULL, 1 FROM intake.handle o
     WHERE o.customer_id = t.customer_id AND o.kind = k.kind AND o.scope = '' ORDER BY o.id LIMIT 1)
    ORDER BY place LIMIT 1)"""
# Who began the ticket `t`, by the id that was theirs before they were merged: under it is sealed what is said about the ticket.
BEGUN_BY = """coalesce(
    (SELECT coalesce(h.origin, m.customer_id) FROM intake.message m
     LEFT JOIN intake.handle h ON h.customer_id = t.customer_id AND h.kind = m.handle_kind AND h.value = m.handle
     WHERE m.ticket_id = t.id ORDER BY m.opened DESC, m.received_at LIMIT 1), t.customer_id)"""
