"""Generated facts: a strategy for any struct of the contract, made from its types."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from shared.events.base import NOTHING_SEEN, Event, Fact, Position
from shared.events.topics import FACT_BY_TYPE
from shared.events.writers import writers_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
times = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is beside it
SIMPLE: dict[type[inspect.Type], st.SearchStrategy[object]] = {
    inspect.StrType: texts,
    inspect.IntType: st.integers(-(2**53), 2**53),
    inspect.BoolType: st.booleans(),
    inspect.DateTimeType: times,
    inspect.DateType: st.dates(date(1970, 1, 1), date(2200, 1, 1)),
    inspect.NoneType: st.none(),
}


def values(info: inspect.Type, depth: int = 3) -> st.SearchStrategy[object]:
    """Values of a field's type; trees of conditions end after `depth` levels."""
    match info:
        case inspect.UnionType(types=parts):
            return st.one_of([values(part, depth) for part in parts])
        case inspect.LiteralType(values=options):
            return st.sampled_from(options)
        case inspect.VarTupleType(item_type=item):
            return st.just(()) if depth == 0 else st.lists(values(item, depth - 1), max_size=3).map(tuple)
        case inspect.DictType(value_type=value):
            return st.dictionaries(texts, values(value, depth), max_size=3)
        case inspect.StructType(cls=cls):
            return structs(cls, depth)
        case _:
            return SIMPLE[type(info)]


def structs(cls: type[msgspec.Struct], depth: int = 3) -> st.SearchStrategy[msgspec.Struct]:
    """Instances of a struct, each optional field left out or given."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    given = {field.name: values(field.type, depth) for field in info.fields if field.required}
    perhaps = {field.name: values(field.type, depth) for field in info.fields if not field.required}
    return st.fixed_dictionaries(given, optional=perhaps).map(lambda found: cls(**found))


positions = st.builds(Position, st.integers(0, 10**9 - 1), st.integers(1, 2**31 - 1))


ANY_TYPE = st.sampled_from(list(FACT_BY_TYPE))


@st.composite
def events(draw: st.DrawFn, fact_types: st.SearchStrategy[str] = ANY_TYPE) -> Event[Fact]:
    """Any event of these types."""
    fact = FACT_BY_TYPE[draw(fact_types)]
    said = draw(structs(fact))
    assert isinstance(said, Fact)
    return Event(
        id=str(draw(st.uuids())),
        type=fact.TYPE,
        writer=draw(st.sampled_from(writers_of(fact))),
        position=draw(positions),
        key=draw(texts.filter(bool)),
        time=draw(times),
        data=said,
        seen=draw(st.just(NOTHING_SEEN) | positions),
        traceparent=draw(st.none() | st.just("00-" + "a" * 32 + "-" + "b" * 16 + "-01")),
    )
