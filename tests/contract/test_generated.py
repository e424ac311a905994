"""What is printed from the contract is fresh, the document holds together, and the contract only grows."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import jsonschema
import pytest

from shared.events.docs import GENERATED, BrokenContract, main, pages, stale, write
from shared.events.evolution import breaks
from shared.events.schemas import Schema, contract
from shared.events.topics import FACT_BY_TYPE, TOPICS
from shared.events.writers import writers_of
from tests.contract.examples import envelope

Edit = Callable[[Schema], object]


def committed() -> Schema:
    return cast(Schema, json.loads((GENERATED / "contract.json").read_bytes()))


def test_the_generated_files_are_fresh() -> None:
    assert stale() == [], "run: python -m shared.events.docs"
    assert main(["--check"]) == 0


@pytest.mark.parametrize("name", pages())
def test_the_check_finds_a_stale_and_a_missing_file(name: str, tmp_path: Path) -> None:
    shutil.copytree(GENERATED, tmp_path, dirs_exist_ok=True)
    assert stale(tmp_path) == []
    (tmp_path / name).write_text("old", encoding="utf-8")
    assert stale(tmp_path) == [name]
    (tmp_path / name).unlink()
    assert stale(tmp_path) == [name]


def test_the_contract_breaks_nothing_that_was_promised() -> None:
    assert breaks(committed(), contract()) == []


def at(schema: object, *path: str) -> dict[str, object]:
    for step in path:
        schema = cast(dict[str, object], schema)[step]
    return cast(dict[str, object], schema)


def opened(schema: Schema) -> dict[str, object]:
    return at(schema, "structs", "TicketOpened")


def required(schema: Schema) -> list[str]:
    return cast(list[str], opened(schema)["required"])


def fields(schema: Schema) -> dict[str, object]:
    return at(opened(schema), "properties")


BREAKING: list[tuple[str, Edit, str]] = [
    ("a field goes", lambda new: fields(new).pop("vip"), "TicketOpened.vip is gone"),
    ("a type changes", lambda new: fields(new).update(number={"type": "string"}), "TicketOpened.number has another type"),
    ("a default changes", lambda new: at(fields(new), "vip").update(default=True), "TicketOpened.vip has another type"),
    ("a value is added", lambda new: at(fields(new), "direction").update(enum=["ltr", "rtl", "ttb"]), "TicketOpened.direction"),
    (
        "a required field is added",
        lambda new: opened(new).update(properties=fields(new) | {"mood": {"type": "string"}}, required=[*required(new), "mood"]),
        "TicketOpened.mood is new and required",
    ),
    ("optional becomes required", lambda new: required(new).append("vip"), "TicketOpened.vip is now required"),
    ("required becomes optional", lambda new: required(new).remove("inbox"), "TicketOpened.inbox is no longer required"),
    ("a type goes", lambda new: at(new, "types").pop("ticket.opened.v1"), "ticket.opened.v1 is gone"),
    ("a type moves", lambda new: at(new, "types", "ticket.opened.v1").update(topic="agents"), "moved"),
    ("another box", lambda new: at(new, "types", "ticket.opened.v1").update(box=None), "another shape"),
    ("a part goes", lambda new: at(new, "structs").pop("Attachment"), "Attachment is gone"),
    ("a part changes", lambda new: at(new, "structs", "Sealed", "properties").pop("box"), "Sealed.box is gone"),
    ("closed to new fields", lambda new: opened(new).update(additionalProperties=False), "another way"),
]


@pytest.mark.parametrize(("name", "edit", "sentence"), BREAKING, ids=[name for name, _, _ in BREAKING])
def test_the_guard_tells_what_breaks(name: str, edit: Edit, sentence: str) -> None:
    new = copy.deepcopy(contract())
    edit(new)
    found = breaks(committed(), new)
    assert len(found) == 1, name
    assert sentence in found[0]


def test_an_optional_field_and_a_new_version_may_be_added() -> None:
    new = copy.deepcopy(contract())
    fields(new)["mood"] = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    at(new, "types")["ticket.opened.v2"] = {"topic": "tickets", "fields": "TicketOpenedV2", "box": None}
    at(new, "structs")["TicketOpenedV2"] = {"type": "object", "properties": {}, "required": []}
    assert breaks(committed(), new) == []


def test_nothing_is_written_over_a_promise_that_is_broken(tmp_path: Path) -> None:
    promised = committed()
    fields(promised)["colour"] = {"type": "string", "default": ""}
    text = json.dumps(promised)
    (tmp_path / "contract.json").write_text(text, encoding="utf-8")
    with pytest.raises(BrokenContract, match=r"TicketOpened\.colour is gone"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["contract.json"]
    assert (tmp_path / "contract.json").read_text(encoding="utf-8") == text


def test_a_first_writing_is_fresh(tmp_path: Path) -> None:
    write(tmp_path / "generated")
    assert stale(tmp_path / "generated") == []


# The AsyncAPI document, checked as https://www.asyncapi.com/docs/reference/specification/v3.0.0 says it must be.


def asyncapi() -> Schema:
    return cast(Schema, json.loads((GENERATED / "asyncapi.json").read_bytes()))


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            elif key != "examples":
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi()
    found = set(references(document))
    assert found
    for reference in found:
        assert reference.startswith("#/")
        assert at(document, *reference[2:].split("/"))


def test_the_document_has_a_channel_for_each_topic_with_its_messages() -> None:
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(at(document, "info"))
    assert set(at(document, "channels")) == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        channel = at(document, "channels", topic.name)
        assert channel["address"] == topic.name
        assert set(at(channel, "messages")) == {fact.TYPE for fact in topic.facts}
        assert at(channel, "bindings", "kafka", "topicConfiguration")["retention.ms"] == topic.retention_ms


def test_the_document_has_an_operation_for_each_writer_and_reader() -> None:
    operations = at(asyncapi(), "operations")
    sends = {f"{writer}-sends-{topic.name}" for topic in TOPICS for writer in topic.writers}
    receives = {f"{reader}-receives-{topic.name}" for topic in TOPICS for reader in topic.readers}
    assert set(operations) == sends | receives
    for name in operations:
        service, action, topic_name = name.split("-", 2)
        operation = at(operations, name)
        assert operation["action"] == action.removesuffix("s")
        assert operation["channel"] == {"$ref": f"#/channels/{topic_name}"}
        prefix = f"#/channels/{topic_name}/messages/"
        for message in cast(list[dict[str, str]], operation["messages"]):
            assert message["$ref"].startswith(prefix)
            if action == "sends":
                assert service in writers_of(FACT_BY_TYPE[message["$ref"].removeprefix(prefix)])


def test_the_documents_schemas_are_schemas_and_its_payloads_accept_the_examples() -> None:
    document = asyncapi()
    for name, message in at(document, "components", "messages").items():
        payload = {**at(message, "payload"), "components": document["components"]}
        jsonschema.Draft7Validator.check_schema(at(message, "payload"))
        jsonschema.Draft7Validator(payload).validate(envelope(f"{name}.json"))
        wrong = {**envelope(f"{name}.json"), "type": "ticket.opened.v99"}
        assert not jsonschema.Draft7Validator(payload).is_valid(wrong)
