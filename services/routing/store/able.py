"""Who can take tickets of a lane and is free, the next in turn first: one statement for each strategy.

`$1` are the lanes as JSON, `$2` is how many agents of each. No plan fits all lanes: where few have what is needed they are looked
up one by one, where many have it those who are free are looked at in turn, until enough of them are able.
"""

from __future__ import annotations

from shared.events.config import Strategy

# What of a seat a strategy looks at before the idle time; `best_skill` looks at the agents' abilities.
BEFORE_IDLE_TIME: dict[Strategy, str] = {
    "longest_idle": "",
    "sticky": "",
    "least_versatile": "versatility,",
    "least_loaded": "used_share,",
    "round_robin": "given_at,",
    "best_skill": "",
}
FEW = 500
# Of what each lane needs, the ability that fewest have; whether these are few.
LANES = f"""
    WITH lanes AS MATERIALIZED (
        SELECT l.*, rarest.need AS rarest, coalesce(rarest.agents < {FEW}, false) AS rare
        FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS l(teams text[], needs text[], counted text[])
        LEFT JOIN LATERAL (
            SELECT need, agents FROM unnest(l.needs) need CROSS JOIN LATERAL (
                SELECT count(*) AS agents FROM (SELECT FROM routing.ability WHERE ability = need LIMIT {FEW}) these) counted
            ORDER BY agents, need LIMIT 1) rarest ON true)
"""
ABLE = """
    NOT EXISTS (SELECT FROM unnest(l.needs) AS n(ability) WHERE NOT EXISTS (
        SELECT FROM routing.ability b WHERE b.ability = n.ability AND b.agent_id = one.agent_id))
"""
SCORE = "(SELECT count(*) FROM routing.ability b WHERE b.agent_id = one.agent_id AND b.ability = ANY(l.counted))"


def _among_few(strategy: Strategy) -> str:
    # An aggregate over each one's own seats: without it PostgreSQL reads all seats to join them, however few are able.
    first = BEFORE_IDLE_TIME[strategy]
    column = first.removesuffix(",")
    before = f"min({column}) AS {column}," if column else ""
    order = f"{SCORE} DESC," if strategy == "best_skill" else first
    return f"""
    SELECT found.agent_id FROM lanes l CROSS JOIN LATERAL (
        SELECT one.agent_id FROM routing.ability one CROSS JOIN LATERAL (
            SELECT {before} min(s.idle_since) AS idle_since FROM routing.seat s
            WHERE s.agent_id = one.agent_id AND s.team_id = ANY(l.teams) AND s.ready) seated
        WHERE one.ability = l.rarest AND seated.idle_since IS NOT NULL AND {ABLE}
        ORDER BY {order} seated.idle_since, one.agent_id LIMIT $2) found
    WHERE l.rare
    """


def _among_many(strategy: Strategy) -> str:
    # Who is free is looked at in turn, until enough are able.
    if strategy == "best_skill":
        return MOST_ABLE
    order = f"{BEFORE_IDLE_TIME[strategy]} idle_since, agent_id"
    return f"""
    SELECT found.agent_id FROM lanes l CROSS JOIN LATERAL (SELECT DISTINCT unnest(l.teams) AS team) t CROSS JOIN LATERAL (
        SELECT agent_id FROM (SELECT * FROM routing.seat WHERE team_id = t.team AND ready ORDER BY {order} OFFSET 0) one
        WHERE {ABLE} ORDER BY {order} LIMIT $2) found
    WHERE NOT l.rare AND l.needs <> '{{}}'
    """


# Who is best can only be said of all who are able.
MOST_ABLE = """
    SELECT found.agent_id FROM lanes l CROSS JOIN LATERAL (
        SELECT s.agent_id FROM (
            SELECT agent_id, count(*) AS score FROM routing.ability WHERE ability = ANY(l.counted)
            GROUP BY agent_id HAVING count(*) FILTER (WHERE ability = ANY(l.needs)) = cardinality(l.needs)) able
        JOIN routing.seat s USING (agent_id)
        WHERE s.team_id = ANY(l.teams) AND s.ready
        GROUP BY s.agent_id ORDER BY max(able.score) DESC, min(s.idle_since), s.agent_id LIMIT $2) found
    WHERE NOT l.rare AND l.needs <> '{}'
"""


def _next_able(strategy: Strategy) -> str:
    return f"""
    {LANES} {_among_few(strategy)} UNION {_among_many(strategy)} UNION
    SELECT found.agent_id FROM (SELECT DISTINCT unnest(teams) AS team FROM lanes WHERE needs = '{{}}') t CROSS JOIN LATERAL (
        SELECT agent_id FROM routing.seat WHERE team_id = team AND ready
        ORDER BY {BEFORE_IDLE_TIME[strategy]} idle_since, agent_id LIMIT $2) found
    """


NEXT_ABLE = {strategy: _next_able(strategy) for strategy in BEFORE_IDLE_TIME}
