"""Documents that people write in YAML, of which only what JSON has too is read: maps with texts as keys, lists, texts, whole
numbers, true, false, null. Pure.

Where YAML 1.1 and 1.2 differ it is 1.2 (https://yaml.org/spec/1.2.2, 10.2): `no` is a text. Numbers with a fraction are texts.
There are no aliases, anchors, tags or second documents, so a document is never larger than it looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)

MOST_BYTES = 4 * 1024 * 1024
DEEPEST = 40
MOST_NODES = 1_000_000
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
PLAIN: Mapping[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
NO_KEY = object()


class WrongDocument(ValueError):
    """What cannot be read; lines and columns count from 1, and are left out where the fault is of the whole."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class _Dumper(DUMPER):  # type: ignore[misc]
    """What stands in a document twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        """Part of yaml.Dumper."""
        return True


def write_yaml(value: Mapping[str, Any]) -> str:
    """As people read it, in the order given."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1_000_000)
    return text


def read_yaml(content: bytes) -> Any:
    """What stands there; None where nothing does. Raises WrongDocument."""
    if len(content) > MOST_BYTES:
        raise WrongDocument(f"larger than {MOST_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongDocument(f"not UTF-8, at byte {error.start}") from None
    reading = _Reading()
    try:
        for event in yaml.parse(text, Loader=LOADER):
            reading.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = error.problem or error.context or "no YAML"
        raise WrongDocument(reason, *((mark.line + 1, mark.column + 1) if mark is not None else ())) from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise WrongDocument(str(error).partition("\n")[0]) from None
    return reading.root


def deeper_than(value: object, levels: int) -> bool:
    """Whether lists and maps stand in each other so often."""
    inner: Sequence[object] = ()
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    return bool(inner) and (levels <= 0 or any(deeper_than(one, levels - 1) for one in inner))


@dataclass(slots=True)
class _Reading:
    """What was read so far: the lists and maps that are open, each map with the key whose value comes next."""

    root: Any = None
    documents: int = 0
    nodes: int = 0
    open: list[list[Any] | dict[str, Any]] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)

    def take(self, event: Event) -> None:
        """The next event of the parser."""
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            self._check(event, self.documents == 1, "one document is read, and this begins another")
        elif isinstance(event, NodeEvent):
            self._check_node(event)
            if isinstance(event, ScalarEvent):
                self._scalar(event)
            elif isinstance(event, CollectionStartEvent):
                self._begin(event)
        elif isinstance(event, SequenceEndEvent | MappingEndEvent):
            self.open.pop()
            self.keys.pop()

    def _check_node(self, event: NodeEvent) -> None:
        self.nodes += 1
        self._check(event, self.nodes <= MOST_NODES, f"more than {MOST_NODES} values")
        self._check(event, not isinstance(event, AliasEvent), "aliases are not read; write it out")
        self._check(event, event.anchor is None, "anchors are not read; write it out")
        self._check(event, getattr(event, "tag", None) is None, "tags are not read")

    def _scalar(self, event: ScalarEvent) -> None:
        text = event.value
        try:
            text.encode()
        except UnicodeEncodeError:
            self._check(event, False, "half a surrogate pair is no character")
        if self.open and isinstance(self.open[-1], dict) and self.keys[-1] is NO_KEY:
            self._check(event, text not in self.open[-1], f"'{text[:80]}' is there twice")
            self.keys[-1] = text
            return
        plain = event.implicit[0]
        if plain and text in PLAIN:
            self._put(event, PLAIN[text])
        else:
            self._put(event, int(text) if plain and WHOLE.fullmatch(text) else text)

    def _begin(self, event: CollectionStartEvent) -> None:
        self._check(event, len(self.open) < DEEPEST, f"more than {DEEPEST} levels deep")
        begun: list[Any] | dict[str, Any] = {} if isinstance(event, MappingStartEvent) else []
        self._put(event, begun)
        self.open.append(begun)
        self.keys.append(NO_KEY)

    def _put(self, event: Event, value: Any) -> None:
        if not self.open:
            self.root = value
            return
        within = self.open[-1]
        if isinstance(within, list):
            within.append(value)
            return
        self._check(event, self.keys[-1] is not NO_KEY, "a key is a text")
        within[self.keys[-1]] = value
        self.keys[-1] = NO_KEY

    @staticmethod
    def _check(event: Event, holds: bool, reason: str) -> None:
        if not holds:
            mark = event.start_mark
            raise WrongDocument(reason, *((mark.line + 1, mark.column + 1) if mark is not None else ()))
