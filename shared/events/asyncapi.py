"""The AsyncAPI document (https://www.asyncapi.com/docs/reference/specification/v3.0.0), made from the table of topics.

One document for the whole system: each topic is a channel, each service that writes or reads one has an operation.
Kafka's details as in https://github.com/asyncapi/bindings/tree/master/kafka, version 0.5.0.
"""

from __future__ import annotations

import inspect

from shared.events.base import Fact
from shared.events.codec import CONTENT_TYPE
from shared.events.schemas import ENVELOPE, Schema, personal_shape, struct_schemas
from shared.events.topics import FOREVER, TOPICS, WIDE, Topic
from shared.events.writers import writers_of

BINDING = "0.5.0"


def document(examples: dict[str, object]) -> Schema:
    """The document; `examples` holds an envelope for each event type."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Patchbay",
            "version": "1.0.0",
            "description": "The events of Patchbay: CloudEvents 1.0 in structured JSON on Kafka topics. "
            "Only optional fields are ever added to a type; anything else is a new version beside the old.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {name: operation for topic in TOPICS for name, operation in _operations(topic)},
        "components": {
            "messages": {fact.TYPE: _message(topic, fact, examples[fact.TYPE]) for topic in TOPICS for fact in topic.facts},
            "schemas": {"Envelope": ENVELOPE, **struct_schemas()},
        },
    }


def _channel(topic: Topic) -> Schema:
    kafka: Schema = {
        "topic": topic.name,
        "topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": topic.retention_ms},
        "bindingVersion": BINDING,
    }
    if topic.partitions != WIDE:
        kafka["partitions"] = topic.partitions
    kept = "forever" if topic.retention_ms == FOREVER else f"{topic.retention_ms // 3_600_000} hours"
    return {
        "address": topic.name,
        "summary": topic.about,
        "description": f"Key: {topic.key}. Kept {kept}. "
        + ("Sequenced per writer and key." if topic.sequenced else "Not sequenced: passing, never folded."),
        "messages": {fact.TYPE: {"$ref": f"#/components/messages/{fact.TYPE}"} for fact in topic.facts},
        "bindings": {"kafka": kafka},
    }


def _operations(topic: Topic) -> list[tuple[str, Schema]]:
    sends = [(f"{writer}-sends-{topic.name}", _operation("send", topic, _said_by(topic, writer))) for writer in topic.writers]
    reads = [(f"{reader}-receives-{topic.name}", _operation("receive", topic, topic.facts)) for reader in topic.readers]
    return sends + reads


def _operation(action: str, topic: Topic, facts: tuple[type[Fact], ...]) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic.name}"},
        "messages": [{"$ref": f"#/channels/{topic.name}/messages/{fact.TYPE}"} for fact in facts],
    }


def _said_by(topic: Topic, writer: str) -> tuple[type[Fact], ...]:
    return tuple(fact for fact in topic.facts if writer in writers_of(fact))


def _message(topic: Topic, fact: type[Fact], example: object) -> Schema:
    data = {"$ref": f"#/components/schemas/{fact.__name__}"}
    box = personal_shape(fact)
    message: Schema = {
        "name": fact.TYPE,
        "title": fact.__name__,
        "summary": inspect.cleandoc(fact.__doc__ or ""),
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {"type": "object", "properties": {"type": {"const": fact.TYPE}, "data": data}},
            ]
        },
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING}},
        "examples": [{"name": "example", "payload": example}],
    }
    if box is not None:
        message["description"] = f"`data.personal.box` holds, encrypted, what {box.__name__} describes."
    return message
