"""A filter as SQL: which conditions, with which values, from where, in which order, behind which place."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import product

import pytest

from services.desk.domain.filters import NATURAL, Filter, Order, Place, Sight, Sort
from services.desk.store.listing import BY, Where, after, conditions, joined, ordered, seen

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def where_of(asked: Filter, me: str | None = "dana") -> Where:
    where = Where()
    conditions(where, asked, me)
    return where


@pytest.mark.parametrize(
    ("asked", "condition", "value"),
    [
        (Filter(statuses=("open",)), "t.status = $1::text", "open"),
        (Filter(queue_ids=("billing", "support")), "t.queue_id = ANY($1::text[])", ["billing", "support"]),
        (Filter(team_ids=("first",)), "t.team_id = $1::text", "first"),
        (Filter(owners=("me",)), "t.agent_id = $1::text", "dana"),
        (Filter(owners=("omar", "me")), "t.agent_id = ANY($1::text[])", ["omar", "dana"]),
        (Filter(owners=("none", "me")), "(t.agent_id IS NULL OR t.agent_id = ANY($1::text[]))", ["dana"]),
        (Filter(channels=("email",)), "t.channel = $1::text", "email"),
        (Filter(languages=("he",)), "t.language = $1::text", "he"),
        (Filter(priorities=(3,)), "t.priority = $1::smallint", 3),
        (Filter(priorities=(3, 4)), "t.priority = ANY($1::smallint[])", [3, 4]),
        (Filter(plans=("gold",)), "t.plan = $1::text", "gold"),
        (Filter(topics=("billing",)), "t.topic = $1::text", "billing"),
        (Filter(products=("lamp",)), "t.product = $1::text", "lamp"),
        (Filter(inboxes=("help",)), "t.inbox = $1::text", "help"),
        (Filter(customer_ids=("c-1",)), "t.customer_id = $1::text", "c-1"),
        (Filter(tags=("a", "b")), "t.tags @> $1::text[]", ["a", "b"]),
        (Filter(opened_after=AT), "t.opened_at >= $1::timestamptz", AT),
        (Filter(opened_before=AT), "t.opened_at < $1::timestamptz", AT),
        (Filter(updated_after=AT), "t.updated_at >= $1::timestamptz", AT),
        (Filter(updated_before=AT), "t.updated_at < $1::timestamptz", AT),
        (Filter(due_before=AT), "p.due_at < $1::timestamptz", AT),
    ],
)
def test_each_field_is_one_condition_on_one_value(asked: Filter, condition: str, value: object) -> None:
    where = where_of(asked)
    assert condition in where.conditions
    assert where.values == [value]


@pytest.mark.parametrize(
    ("asked", "condition"),
    [
        (Filter(), "t.merged_into IS NULL"),
        (Filter(), "NOT t.spam"),
        (Filter(spam=True), "t.spam"),
        (Filter(vip=True), "t.vip"),
        (Filter(vip=False), "NOT t.vip"),
        (Filter(breached=True), "p.breached"),
        (Filter(breached=False), "p.breached IS NOT TRUE"),
        (Filter(owners=("none",)), "t.agent_id IS NULL"),
        (Filter(statuses=("new", "open", "pending", "on_hold")), "t.live"),
    ],
)
def test_what_is_yes_or_no_needs_no_value(asked: Filter, condition: str) -> None:
    assert condition in where_of(asked).conditions


def test_nothing_asked_for_is_everything_but_spam_and_what_was_merged() -> None:
    assert where_of(Filter()).conditions == ["t.merged_into IS NULL", "NOT t.spam"]
    assert where_of(Filter(spam=None)).conditions == ["t.merged_into IS NULL"]


def test_only_where_nothing_closed_is_asked_for_the_indexes_of_live_tickets_hold_it() -> None:
    assert "t.live" not in where_of(Filter(statuses=("open", "resolved"))).conditions
    assert "t.live" not in where_of(Filter()).conditions


def test_mine_are_nobodys_for_a_key_without_an_agent() -> None:
    assert where_of(Filter(owners=("me",)), None).values == [""]


def test_every_value_is_a_parameter_and_every_parameter_has_its_value() -> None:
    asked = Filter(statuses=("open",), queue_ids=("q",), owners=("me", "none"), tags=("x",), due_before=AT, vip=True)
    where = Where()
    seen(where, Sight("north"))
    conditions(where, asked, "dana")
    after(where, "updated", "desc", Place(AT, 17))
    numbers = {int(found) for found in re.findall(r"\$(\d+)", where.sql)}
    assert numbers == set(range(1, len(where.values) + 1))
    assert where.values[0] == "north"


def test_a_partner_sees_only_what_is_theirs_and_the_house_everything() -> None:
    where = Where()
    seen(where, Sight("north"))
    assert (where.sql, where.values) == ("t.partner_id = $1::text", ["north"])
    house = Where()
    seen(house, Sight())
    assert house.sql == "true"


@pytest.mark.parametrize(
    ("sort", "order", "expected"),
    [
        ("updated", "desc", "t.updated_at DESC, t.number DESC"),
        ("updated", "asc", "t.updated_at ASC, t.number ASC"),
        ("opened", "desc", "t.number DESC"),
        ("priority", "desc", "t.priority DESC, t.number ASC"),
        ("priority", "asc", "t.priority ASC, t.number DESC"),
        ("due", "asc", "p.due_at ASC, t.number ASC"),
    ],
)
def test_of_the_equally_urgent_the_oldest_is_first_and_turned_round_last(sort: Sort, order: Order, expected: str) -> None:
    assert ordered(sort, order) == expected


ROWS = [(value, number) for value, number in product(range(3), range(4))]


@pytest.mark.parametrize("sort", ["updated", "priority", "due"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_what_stands_behind_a_place_is_what_comes_after_it_in_the_order(sort: Sort, order: Order) -> None:
    """The condition and ORDER BY, carried out here by hand, say the same."""
    _, tie = ordered(sort, order).split(", ")
    in_order = sorted(ROWS, key=lambda row: (_turned(row[0], order.upper()), _turned(row[1], tie.split()[1])))
    for n, (value, number) in enumerate(in_order):
        where = Where()
        after(where, sort, order, Place(value, number))
        behind = [row for row in in_order if _holds(where, BY[sort], row)]
        assert behind == in_order[n + 1 :]


def _turned(value: int, order: str) -> int:
    return value if order == "ASC" else -value


def _holds(where: Where, column: str, row: tuple[int, int]) -> bool:
    sql = where.sql.replace(f"{column} IS NOT NULL AND ", "").replace(column, str(row[0])).replace("t.number", str(row[1]))
    for n, value in enumerate(where.values, start=1):
        sql = re.sub(rf"\${n}::\w+", str(value), sql)
    return bool(eval(sql.replace("AND", "and").replace("OR", "or")))  # noqa: S307 - our own conditions, with numbers in them


def test_what_is_due_is_read_from_the_promises() -> None:
    assert " LEFT JOIN " in joined(Filter())
    assert " LEFT JOIN " not in joined(Filter(), "due")
    assert " LEFT JOIN " not in joined(Filter(due_before=AT))
    assert " LEFT JOIN " not in joined(Filter(breached=True))
    assert " LEFT JOIN " in joined(Filter(breached=False))


def test_every_sort_has_a_column_and_a_way_that_it_runs_by_nature() -> None:
    assert BY.keys() == NATURAL.keys()
