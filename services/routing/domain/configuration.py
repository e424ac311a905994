"""Routing's configuration as one thing: its parts, what a change changes, what is wrong with it, how a file has it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple

import msgspec

from services.routing.domain import canned, escalating, queues
from services.routing.domain.agents import Profile
from shared.conditions import WrongCondition
from shared.events.config import (
    Abilities,
    AgentConfigured,
    CannedResponseConfigured,
    QueueConfigured,
    RuleConfigured,
    SkillConfigured,
    TeamConfigured,
)

Kind = Literal["skill", "team", "agent", "queue", "rule", "canned_response"]
Part = SkillConfigured | TeamConfigured | AgentConfigured | QueueConfigured | RuleConfigured | CannedResponseConfigured
What = Literal["made", "changed", "removed"]
# In the order in which a file has them.
SHAPES: Mapping[Kind, type[Part]] = {
    "skill": SkillConfigured,
    "team": TeamConfigured,
    "agent": AgentConfigured,
    "queue": QueueConfigured,
    "rule": RuleConfigured,
    "canned_response": CannedResponseConfigured,
}
SECTIONS: Mapping[Kind, str] = {kind: f"{kind}s" for kind in SHAPES}
# What a part does not say itself, but the change in which it was said.
SAID_BESIDES: Mapping[str, Any] = {
    "version": 0,
    "effective_from": datetime(1970, 1, 1, tzinfo=UTC),
    "config_version": None,
    "changed_by": None,
}


class Key(NamedTuple):
    """Which part."""

    kind: Kind
    id: str


class Change(NamedTuple):
    """A part as it was and as it is to be; None: it is not there."""

    key: Key
    before: Part | None
    after: Part | None

    @property
    def what(self) -> What:
        """What becomes of it."""
        if self.after is None:
            return "removed"
        return "made" if self.before is None else "changed"


class Fault(NamedTuple):
    """Why a part cannot be in force; `field` is the place in it, e.g. `steps[0].team_ids`."""

    key: Key
    field: str
    reason: str


@dataclass(frozen=True)
class Configuration:
    """All parts that are known."""

    parts: Mapping[Key, Part] = field(default_factory=dict)

    @cached_property
    def queues(self) -> tuple[QueueConfigured, ...]:
        """In order of position."""
        return queues.in_order([part for part in self.parts.values() if isinstance(part, QueueConfigured)])

    @cached_property
    def rules(self) -> tuple[RuleConfigured, ...]:
        """In order of position."""
        return escalating.in_order([part for part in self.parts.values() if isinstance(part, RuleConfigured)])

    @cached_property
    def profiles(self) -> Mapping[str, Profile]:
        """The agents, by id."""
        return {part.id: profile_of(part) for part in self.parts.values() if isinstance(part, AgentConfigured)}

    @cached_property
    def shortcuts(self) -> Mapping[str, Sequence[CannedResponseConfigured]]:
        """Canned responses by their shortcut."""
        found: dict[str, list[CannedResponseConfigured]] = {}
        for part in self.parts.values():
            if isinstance(part, CannedResponseConfigured) and part.shortcut is not None:
                found.setdefault(part.shortcut, []).append(part)
        return found

    def after(self, changes: Iterable[Change]) -> Configuration:
        """As the changes leave it."""
        changed = {change.key: change.after for change in changes}
        kept = {key: part for key, part in self.parts.items() if key not in changed}
        return Configuration(kept | {key: part for key, part in changed.items() if part is not None})


def differences(before: Configuration, wanted: Mapping[Key, Part], kinds: Collection[Kind]) -> tuple[Change, ...]:
    """What has to change so that of these kinds there is what is wanted, and nothing else. What is so already is left out."""
    gone = [Change(key, part, None) for key, part in before.parts.items() if key.kind in kinds and key not in wanted]
    told = [Change(key, before.parts.get(key), part) for key, part in wanted.items()]
    changed = [change for change in told if change.before is None or content(change.before) != content(change.after)]
    order = list(SHAPES)
    return tuple(sorted([*changed, *gone], key=lambda change: (order.index(change.key.kind), change.key.id)))


def content(part: Part | None) -> Part | None:
    """What the part itself says, to be compared."""
    return msgspec.structs.replace(part, **SAID_BESIDES) if part is not None else None


def profile_of(agent: AgentConfigured) -> Profile:
    """What matching looks at."""
    return Profile(display_name=agent.display_name, **msgspec.structs.asdict(agent.abilities or Abilities()))


def abilities_of(profile: Profile) -> Abilities:
    """As the log has it."""
    return Abilities(**{name: getattr(profile, name) for name in Abilities.__struct_fields__})


def named_by(part: Part) -> Iterator[tuple[str, Key]]:
    """The parts that a part names, each with the place where."""
    if isinstance(part, QueueConfigured):
        yield from (("team_ids", Key("team", team_id)) for team_id in part.team_ids)
        for n, step in enumerate(part.steps):
            yield from ((f"steps[{n}].team_ids", Key("team", team_id)) for team_id in step.team_ids or ())
            if step.to_queue_id is not None:
                yield f"steps[{n}].to_queue_id", Key("queue", step.to_queue_id)
    elif isinstance(part, AgentConfigured):
        yield from (("team_ids", Key("team", team_id)) for team_id in (part.abilities or Abilities()).team_ids)
    elif isinstance(part, CannedResponseConfigured):
        yield from (("team_ids", Key("team", team_id)) for team_id in part.team_ids)


def faults(configuration: Configuration, of: Iterable[Key]) -> list[Fault]:
    """What is wrong with these parts, where the configuration has all that they name."""
    return [fault for key in of for fault in _faults(configuration, key, configuration.parts[key])]


def _faults(configuration: Configuration, key: Key, part: Part) -> Iterator[Fault]:
    try:
        if isinstance(part, QueueConfigured):
            queues.check_queue(part)
        elif isinstance(part, RuleConfigured):
            escalating.check_rule(part)
        elif isinstance(part, CannedResponseConfigured):
            yield from _faults_of_response(configuration, key, part)
    except queues.WrongQueue as wrong:
        yield Fault(key, wrong.field, wrong.reason)
    except WrongCondition as wrong:
        yield Fault(key, wrong.path, wrong.reason)
    unknown: dict[tuple[str, Kind], list[str]] = {}
    for where, named in named_by(part):
        if named not in configuration.parts:
            unknown.setdefault((where, named.kind), []).append(named.id)
    for (where, kind), ids in unknown.items():
        yield Fault(key, where, f"no such {kind}: {', '.join(ids)}; make it first")


def _faults_of_response(configuration: Configuration, key: Key, part: CannedResponseConfigured) -> Iterator[Fault]:
    for language, text in part.texts.items():
        try:
            canned.check_text(text)
        except canned.WrongText as wrong:
            yield Fault(key, f"texts.{language}", str(wrong))
    for other in configuration.shortcuts.get(part.shortcut or "", ()):
        if other.id != part.id and canned.clashes(part.team_ids, other.team_ids):
            yield Fault(key, "shortcut", f"is that of '{other.id}' for some of the same agents")


def document_of(configuration: Configuration) -> dict[str, list[dict[str, Any]]]:
    """As a file has it: a list for each kind, in order of id, of queues and rules by position; what is as by default left out."""
    parts: dict[Kind, list[Part]] = {kind: [] for kind in SHAPES}
    for key, part in sorted(configuration.parts.items()):
        parts[key.kind].append(part)
    parts["queue"], parts["rule"] = list(configuration.queues), list(configuration.rules)
    return {SECTIONS[kind]: [_entry(part) for part in parts[kind]] for kind in SHAPES}


def _entry(part: Part) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(part)
    kept = {name: value for name, value in told.items() if name not in SAID_BESIDES}
    if isinstance(part, AgentConfigured):
        kept.update(kept.pop("abilities", {}))
    if isinstance(part, RuleConfigured):
        del kept["kind"]  # there is one, of escalation
    return {"id": kept.pop("id"), **kept}
