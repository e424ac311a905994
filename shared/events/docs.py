"""Prints what is generated from the contract: `python -m shared.events.docs` writes it, `--check` tells what is stale.

It refuses to write when the contract breaks what was promised before (`docs/generated/contract.json`).
"""

from __future__ import annotations

import inspect as source
import json
import sys
from functools import cache
from pathlib import Path
from typing import cast

import msgspec
from msgspec import inspect

from shared.events.asyncapi import document
from shared.events.base import Fact
from shared.events.evolution import breaks
from shared.events.schemas import Schema, contract, personal_shape, structs
from shared.events.topics import FACT_BY_TYPE, FOREVER, HOUR_MS, TOPICS, WIDE, Topic
from shared.events.writers import writers_of

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(__file__).resolve().parent / "examples"
GENERATED = ROOT / "docs" / "generated"
NOTICE = "<!-- Printed by `python -m shared.events.docs` from shared/events; do not edit. -->\n"


class BrokenContract(Exception):
    """The types no longer say what was promised; the message tells what, and what to do."""


@cache
def pages() -> dict[str, str]:
    """The generated files by name."""
    return {
        "topics.md": topics_page(),
        "events.md": events_page(),
        "contract.json": _json(contract()),
        "asyncapi.json": _json(document({name: json.loads((EXAMPLES / f"{name}.json").read_bytes()) for name in FACT_BY_TYPE})),
    }


def stale(folder: Path = GENERATED) -> list[str]:
    """The names of the files in `folder` that are missing or not as they would be printed now."""
    return [name for name, text in pages().items() if _read(folder / name) != text]


def write(folder: Path = GENERATED) -> None:
    """Write all files. Raises BrokenContract when the contract breaks the one that is written there."""
    before = _read(folder / "contract.json")
    broken = breaks(cast(Schema, json.loads(before)), contract()) if before is not None else []
    if broken:
        raise BrokenContract("The contract breaks what was promised; make a new version of the type:\n  " + "\n  ".join(broken))
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def topics_page() -> str:
    """The table of topics and who writes and reads them, as Markdown with a Mermaid diagram."""
    rows = [
        "| topic | key | partitions | kept | written by | read by | what |",
        "|---|---|---|---|---|---|---|",
        *(_topic_row(topic) for topic in TOPICS),
    ]
    lines = ["flowchart LR"]
    for topic in TOPICS:
        node = topic.name.replace("-", "_")
        lines.append(f'  {node}[["{topic.name}"]]')
        lines += [f"  from_{writer}([{writer}]) --> {node}" for writer in topic.writers]
        lines += [f"  {node} --> to_{reader}([{reader}])" for reader in topic.readers]
    wide = "*wide*: as many partitions as the deployment chose when the topic was made (12 unless set otherwise)."
    back = (
        "*read by*: which services consume it, and operations. After a restore each service also reads back what it wrote "
        "itself, except on `signals` and `parked`; intake, routing and sla read `tickets` then."
    )
    diagram = "```mermaid\n" + "\n".join(lines) + "\n```"
    return "\n\n".join([NOTICE + "# Topics", "\n".join(rows), wide, back, "Who writes, topic, who reads:", diagram]) + "\n"


def events_page() -> str:
    """Every event type, who says it, and its fields, as Markdown."""
    boxes = {box.__name__ for fact in FACT_BY_TYPE.values() if (box := personal_shape(fact)) is not None}
    parts = [struct for struct in structs() if not issubclass(struct, Fact)]
    blocks = [NOTICE + "# Events", f"{len(FACT_BY_TYPE)} types on {len(TOPICS)} topics. A field in **bold** is required."]
    for topic in TOPICS:
        blocks += [f"## {topic.name}", f"{topic.about} Key: {topic.key}."]
        blocks += [block for fact in topic.facts for block in _fact_blocks(fact)]
    blocks += ["## Parts", "What fields are made of."]
    blocks += [block for part in parts if part.__name__ not in boxes for block in _struct_blocks(part)]
    blocks += ["## Personal data", "What is inside `personal.box`, encrypted under the key of `personal.customer_id`."]
    blocks += [block for part in parts if part.__name__ in boxes for block in _struct_blocks(part)]
    return "\n\n".join(blocks) + "\n"


def _topic_row(topic: Topic) -> str:
    partitions = "wide" if topic.partitions == WIDE else str(topic.partitions)
    hours = topic.retention_ms // HOUR_MS
    kept = "forever" if topic.retention_ms == FOREVER else f"{hours} h" if hours < 48 else f"{hours // 24} days"
    cells = (topic.key, partitions, kept, ", ".join(topic.writers), ", ".join(topic.readers), topic.about)
    return f"| `{topic.name}` | " + " | ".join(cells) + " |"


def _fact_blocks(fact: type[Fact]) -> list[str]:
    box = personal_shape(fact)
    facts = [f"Said by {' or '.join(writers_of(fact))}", f"[example](../../shared/events/examples/{fact.TYPE}.json)"]
    if box is not None:
        facts.append(f"personal data: [{box.__name__}](#{box.__name__.lower()})")
    return [f"### {fact.TYPE}", _about(fact), " · ".join(facts), *_fields_table(fact)]


def _struct_blocks(struct: type[msgspec.Struct]) -> list[str]:
    return [f"### {struct.__name__}", _about(struct), *_fields_table(struct)]


def _fields_table(struct: type[msgspec.Struct]) -> list[str]:
    info = cast(inspect.StructType, inspect.type_info(struct))
    rows = [_field_row(field) for field in info.fields]
    if info.tag is not None:
        rows.insert(0, f'| **`{info.tag_field}`** | always "{info.tag}" | |')
    return ["\n".join(["| field | type | when missing |", "|---|---|---|", *rows])] if rows else []


def _field_row(field: inspect.Field) -> str:
    if field.required:
        return f"| **`{field.encode_name}`** | {type_text(field.type)} | |"
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    shown = msgspec.json.encode(default).decode()
    return f"| `{field.encode_name}` | {type_text(field.type)} | `{shown}` |"


def type_text(info: inspect.Type) -> str:
    """A field's type in words."""
    match info:
        case inspect.UnionType(types=parts):
            return " or ".join(type_text(part) for part in parts)
        case inspect.LiteralType(values=values):
            return " · ".join(json.dumps(value) for value in values)
        case inspect.VarTupleType(item_type=item):
            return f"list of {type_text(item)}"
        case inspect.DictType(value_type=value):
            return f"map of text to {type_text(value)}"
        case inspect.StructType(cls=cls):
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
        case _:
            return _SIMPLE[type(info)]


_SIMPLE: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "integer",
    inspect.BoolType: "true or false",
    inspect.DateTimeType: "time",
    inspect.DateType: "date",
    inspect.NoneType: "null",
}


def _about(struct: type[msgspec.Struct]) -> str:
    return source.cleandoc(struct.__doc__ or "")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: list[str]) -> int:
    """Write, or with `--check` only tell; 1 when something is stale or broken."""
    if arguments == ["--check"]:
        for name in (found := stale()):
            print(f"docs/generated/{name} is stale; run: python -m shared.events.docs")
        return 1 if found else 0
    try:
        write()
    except BrokenContract as broken:
        print(broken)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
