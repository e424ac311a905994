"""JSON Schemas (draft 7) of the envelope and of every fact, made from the types."""

from __future__ import annotations

from typing import cast

import msgspec
from msgspec import inspect

from shared.events.base import Fact, PersonalFact
from shared.events.topics import FACT_BY_TYPE, TOPIC_OF

Schema = dict[str, object]

# RFC 3339, section 5.6; `format` alone is an annotation that many validators do not check.
RFC3339 = (
    r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)
TYPE_NAME = r"^[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*\.v[1-9][0-9]*$"

# CloudEvents 1.0.2 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md): which attributes are required and
# that they are not empty, names of lower-case letters and digits, source a URI-reference, time RFC 3339, integers of 32 bits,
# extensions of simple types only; structured mode in JSON: cloudevents/formats/json-format.md of the same version.
# traceparent: W3C Trace Context (https://www.w3.org/TR/trace-context/), section 3.2. The rest are rules of ours.
ENVELOPE: Schema = {
    "title": "Envelope",
    "description": "CloudEvents 1.0, structured JSON, with the extensions seq, seen and traceparent.",
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "description": "Derived from its cause: a repeat is the same event."},
        "source": {
            "type": "string",
            "format": "uri-reference",
            "pattern": "^/(intake|routing|sla|metrics|desk)/[0-9]{1,9}$",
            "description": "The service, and its database's incarnation, raised when a backup is restored.",
        },
        "type": {"type": "string", "pattern": TYPE_NAME, "description": "Past tense, with a version."},
        "subject": {"type": "string", "minLength": 1, "description": "The record's key."},
        "time": {
            "type": "string",
            "format": "date-time",
            "pattern": RFC3339,
            "description": "The database's clock when the fact was accepted or decided.",
        },
        "datacontenttype": {"const": "application/json"},
        "seq": {
            "type": "integer",
            "minimum": 1,
            "maximum": 2**31 - 1,
            "description": "Counts 1, 2, 3 … per topic, source and key. Absent on topics that are not folded.",
        },
        "seen": {
            "type": "string",
            "pattern": "^[0-9]{1,9}:[0-9]{1,10}$",
            "description": "The last position (incarnation:seq) of the other writer that the writer of this had applied.",
        },
        "traceparent": {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"},
        "data": {"type": "object"},
    },
    "additionalProperties": {"type": ["string", "boolean", "integer"]},
}


def personal_shape(fact: type[Fact]) -> type[msgspec.Struct] | None:
    """What is inside the sealed box of `fact`; None for a fact without personal data."""
    return fact.PERSONAL if issubclass(fact, PersonalFact) else None


def structs() -> tuple[type[msgspec.Struct], ...]:
    """Every struct of the contract: the facts, what is in their boxes, and the parts they are made of."""
    facts = list(FACT_BY_TYPE.values())
    boxes = {box for fact in facts if (box := personal_shape(fact)) is not None}
    found: dict[str, type[msgspec.Struct]] = {}
    for struct in [*facts, *sorted(boxes, key=lambda box: box.__name__)]:
        _collect(inspect.type_info(struct), found)
    return tuple(found.values())


def struct_schemas(ref: str = "#/components/schemas/{name}") -> dict[str, Schema]:
    """The schema of each struct by its name; `ref` is how they point at each other."""
    _, found = msgspec.json.schema_components(structs(), ref_template=ref)
    schemas = cast(dict[str, Schema], found)
    for struct in structs():
        _mark_times(struct, cast(dict[str, Schema], schemas[struct.__name__]["properties"]))
    return schemas


def contract() -> Schema:
    """What may never change, as it is now: topic, box and fields of each type, without descriptions; as read from JSON."""
    now: Schema = {
        "types": {
            name: {
                "topic": TOPIC_OF[fact].name,
                "fields": fact.__name__,
                "box": box.__name__ if (box := personal_shape(fact)) else None,
            }
            for name, fact in FACT_BY_TYPE.items()
        },
        "structs": {name: _bare(schema) for name, schema in sorted(struct_schemas("{name}").items())},
    }
    return cast(Schema, msgspec.json.decode(msgspec.json.encode(now)))  # defaults are tuples in Python, lists when read


def _collect(info: inspect.Type, found: dict[str, type[msgspec.Struct]]) -> None:
    """Put the structs that a type is made of into `found`, depth first."""
    match info:
        case inspect.StructType(cls=cls, fields=fields):
            if cls.__name__ not in found:
                found[cls.__name__] = cls
                for field in fields:
                    _collect(field.type, found)
        case inspect.UnionType(types=parts):
            for part in parts:
                _collect(part, found)
        case inspect.VarTupleType(item_type=item):
            _collect(item, found)
        case inspect.DictType(value_type=value):
            _collect(value, found)
        case _:
            pass


def _mark_times(struct: type[msgspec.Struct], properties: dict[str, Schema]) -> None:
    """Say `date-time` where the type is an instant: msgspec leaves it out as a zone is not demanded by the type."""
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    for field in info.fields:
        parts = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if any(isinstance(part, inspect.DateTimeType) for part in parts):
            schema = properties[field.encode_name]
            for option in cast(list[Schema], schema.get("anyOf", [schema])):
                if option.get("type") == "string":
                    option["format"] = "date-time"


def _bare(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in ("title", "description")}
