"""What may change in the contract: fields that are optional may be added, and types. Anything else is a new version.

A default is part of it: fields at their default are not written, so another default would change what old records say. So is
the list of values of a field: a reader that does not know a new one cannot read the record.
"""

from __future__ import annotations

from typing import cast

from shared.events.schemas import Schema


def breaks(old: Schema, new: Schema) -> list[str]:
    """What `new` breaks of `old` (both from `schemas.contract`): one sentence each, none when all is well."""
    found: list[str] = []
    old_types, new_types = _part(old, "types"), _part(new, "types")
    for name, entry in old_types.items():
        if name not in new_types:
            found.append(f"{name} is gone; keep it, records of it stay on the log")
        elif new_types[name] != entry:
            found.append(f"{name} moved to another topic or took another shape; make a new version beside it")
    old_structs, new_structs = _part(old, "structs"), _part(new, "structs")
    for name, schema in old_structs.items():
        found += _struct_breaks(name, schema, new_structs[name]) if name in new_structs else [f"{name} is gone"]
    return found


def _struct_breaks(name: str, old: Schema, new: Schema) -> list[str]:
    found: list[str] = []
    old_fields, new_fields = _part(old, "properties"), _part(new, "properties")
    old_required, new_required = _required(old), _required(new)
    for field, schema in old_fields.items():
        if field not in new_fields:
            found.append(f"{name}.{field} is gone")
        elif new_fields[field] != schema:
            found.append(f"{name}.{field} has another type, other values or another default")
        elif (field in old_required) != (field in new_required):
            found.append(f"{name}.{field} is {'no longer' if field in old_required else 'now'} required")
    found += [f"{name}.{field} is new and required" for field in sorted(new_required - set(old_fields))]
    if _rest(old) != _rest(new):
        found.append(f"{name} is written in another way")
    return found


def _part(schema: Schema, key: str) -> dict[str, Schema]:
    return cast(dict[str, Schema], schema.get(key, {}))


def _required(schema: Schema) -> set[str]:
    return set(cast(list[str], schema.get("required", [])))


def _rest(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in ("properties", "required")}
