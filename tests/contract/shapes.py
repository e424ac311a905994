"""JSON Schemas reduced to which values may stand where, so that two of them can be compared; and written as Python's types."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import msgspec

Schema = Mapping[str, Any]
Shape = frozenset[Hashable]  # of alternatives
ANYTHING: Shape = frozenset({"any"})
FORMATS = {"date-time": "datetime", "date": "date", "base64": "bytes"}
KINDS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


def shape_of(schema: Schema | bool, defined: Mapping[str, Schema]) -> Shape:
    """What the schema takes. `defined` are those that it may refer to, by the last part of the reference."""
    if isinstance(schema, bool) or not schema:
        return ANYTHING
    defined = {**defined, **schema.get("$defs", {})}
    if "$ref" in schema:
        return shape_of(defined[schema["$ref"].rpartition("/")[2]], defined)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return frozenset[Hashable]().union(*(shape_of(one, defined) for one in schema[union]))
    if "enum" in schema:
        return frozenset(("is", value) for value in schema["enum"])
    return _of_kind(schema, defined)


def _of_kind(schema: Schema, defined: Mapping[str, Schema]) -> Shape:
    kind = schema.get("type")
    if kind is None:
        return ANYTHING
    if kind == "null":
        return frozenset({("is", None)})
    if kind == "array":
        return frozenset({("array", shape_of(schema.get("items", {}), defined))})
    if kind == "object":
        return frozenset({_object(schema, defined)})
    return frozenset({FORMATS.get(schema.get("format") or schema.get("contentEncoding", ""), KINDS[kind])})


def _object(schema: Schema, defined: Mapping[str, Schema]) -> Hashable:
    if "properties" in schema:
        required = schema.get("required", ())
        fields = ((name, name in required, shape_of(one, defined)) for name, one in schema["properties"].items())
        return ("object", frozenset(fields))
    values = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties", {}))
    return ("map", shape_of(values, defined))


def shape_of_type(kind: Any) -> Shape:
    """What a type takes, as msgspec reads it."""
    [schema], defined = msgspec.json.schema_components([kind], ref_template="#/{name}")
    return shape_of(schema, defined)


def differences(ours: Shape, documented: Shape, where: str) -> Iterator[str]:
    """What to change in our type, so that it is what is documented."""
    rest, documented_rest, found = ours, documented, list[str]()
    for kind in ("object", "array"):
        mine, theirs = _one(ours, kind), _one(documented, kind)
        if mine is not None and theirs is not None:
            rest, documented_rest = rest - {mine}, documented_rest - {theirs}
            found += _of_fields(mine[1], theirs[1], where) if kind == "object" else differences(mine[1], theirs[1], f"{where}[]")
    if rest == documented_rest:
        yield from found
    else:
        yield f"{where}: is `{text(ours)}`, the document says `{text(documented)}`"


Field = tuple[str, bool, Shape]  # name, whether it must be there, what it takes


def _of_fields(mine: frozenset[Field], theirs: frozenset[Field], where: str) -> Iterator[str]:
    ours, documented = ({name: (required, shape) for name, required, shape in fields} for fields in (mine, theirs))
    for name in sorted(documented.keys() - ours.keys()):
        yield f"{where}: add `{field_line(name, *documented[name])}`"
    for name in sorted(ours.keys() - documented.keys()):
        yield f"{where}: take out `{name}`"
    for name in sorted(documented.keys() & ours.keys()):
        (required, shape), (must, wanted) = ours[name], documented[name]
        if required != must:
            yield f"{where}.{name}: {'is Required' if must else 'may be left out'}"
        yield from differences(shape, wanted, f"{where}.{name}")


def _one(shape: Shape, kind: str) -> tuple[str, Any] | None:
    """The one alternative of this kind, where there is exactly one."""
    found = [one for one in shape if isinstance(one, tuple) and one[0] == kind]
    return found[0] if len(found) == 1 else None


def field_line(name: str, required: bool, shape: Shape) -> str:
    """A field of a TypedDict with `total=False`."""
    return f"{name}: Required[{text(shape)}]" if required else f"{name}: {text(shape)}"


def text(shape: Shape) -> str:
    """As an annotation."""
    values = sorted(repr(one[1]) for one in shape if isinstance(one, tuple) and one[0] == "is" and one[1] is not None)
    parts = [f"Literal[{', '.join(values)}]"] if values else []
    parts += sorted(_text(one) for one in shape if not (isinstance(one, tuple) and one[0] == "is"))
    return " | ".join([*parts, *(["None"] if ("is", None) in shape else [])])


def _text(alternative: Hashable) -> str:
    if not isinstance(alternative, tuple):
        return "Any" if alternative == "any" else str(alternative)
    kind, of = alternative
    if kind == "object":
        return "{" + ", ".join(field_line(*field) for field in sorted(of, key=lambda field: str(field[0]))) + "}"
    return f"list[{text(of)}]" if kind == "array" else f"dict[str, {text(of)}]"
