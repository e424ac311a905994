"""The configuration as one thing: a document means what it was made of, what differs is found, what is wrong has a place."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.routing.api.config_bodies import AgentPart, Document, Misfit, QueuePart, Step
from services.routing.domain.configuration import (
    SHAPES,
    Change,
    Configuration,
    Key,
    Part,
    content,
    differences,
    document_of,
    faults,
    profile_of,
)
from shared.documents import read_yaml, write_yaml
from shared.events.config import AgentConfigured, QueueConfigured, RuleConfigured, TeamConfigured
from tests.counts import examples

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
NAMES = st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3)
SIGNATURES = st.dictionaries(TEXTS, TEXTS, max_size=2)
LEVELS = st.dictionaries(IDS, st.integers(1, 10), max_size=3)
SECONDS = st.integers(1, 86_400)
TESTS = st.builds(
    lambda field, op: {"is": "test", "field": field, **op},
    st.sampled_from(["channel", "language", "topic", "tags", "vip", "priority"]),
    st.one_of(
        st.builds(lambda value: {"op": "equals", "value": value}, TEXTS | st.booleans() | st.integers(0, 9)),
        st.builds(lambda values: {"op": "in", "value": values}, st.lists(TEXTS, max_size=3)),
        st.builds(lambda value: {"op": "at_least", "value": value}, st.integers(1, 4)),
    ),
)
CONDITIONS = st.recursive(
    TESTS,
    lambda of: st.builds(
        lambda kind, parts: {"is": kind, "of": parts}, st.sampled_from(["all", "any"]), st.lists(of, max_size=3)
    ),
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A map with some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def both(must: dict[str, st.SearchStrategy[Any]], may: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda one, other: {**one, **other}, st.fixed_dictionaries({"id": IDS, **must}), may)


Fields = dict[str, st.SearchStrategy[Any]]


def step_fields(team_ids: st.SearchStrategy[list[str]]) -> Fields:
    return {
        "required_skills": LEVELS | st.none(),
        "team_ids": team_ids | st.none(),
        "any_agent": st.booleans(),
        "to_queue_id": IDS | st.none(),
        "share_percent": st.integers(1, 100),
        "over_wait_seconds": SECONDS,
    }


def queue_fields(team_ids: st.SearchStrategy[list[str]]) -> Fields:
    after = st.fixed_dictionaries({"after_seconds": st.integers(0, 99)}, optional=step_fields(team_ids))
    return {
        "when": CONDITIONS | st.just({}),
        "team_ids": team_ids,
        "required_skills": LEVELS,
        "skill_by_language": st.booleans(),
        "offer_timeout_seconds": SECONDS,
        "auto_accept": st.booleans(),
        "calendar_id": IDS | st.none(),
        "tier": st.integers(1, 9),
        "partner_id": IDS,
        "service_level_seconds": SECONDS,
        "service_level_percent": st.integers(1, 100),
        "ageing_seconds": SECONDS,
        "vip_bonus_seconds": st.integers(0, 9),
        "due_lead_seconds": SECONDS,
        "strategy": st.sampled_from(["longest_idle", "sticky", "best_skill"]),
        "steps": st.lists(after, max_size=3),
        "prefer_last_agent_seconds": SECONDS,
        "signature": SIGNATURES,
        "wrap_up_seconds": st.integers(0, 9),
        "consult_seconds": SECONDS,
        "consult_units": st.integers(0, 9),
        "estimator": st.sampled_from([None, "head_of_line", "queue_length"]),
    }


def agent_fields(team_ids: st.SearchStrategy[list[str]]) -> Fields:
    return {
        "signature": SIGNATURES,
        "team_ids": team_ids,
        "skills": LEVELS,
        "languages": st.lists(st.from_regex(r"[a-z]{2}(-[A-Z]{2})?", fullmatch=True), max_size=3),
        "capacity_units": st.integers(0, 30),
        "channel_limits": st.dictionaries(TEXTS, st.integers(0, 5), max_size=2),
        "tier": st.integers(1, 9),
        "partner_id": IDS,
        "active": st.booleans(),
    }


@st.composite
def documents(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Any that fits the contract, with each id once in its section; that parts fit each other is another matter."""
    teams = draw(st.lists(both({"name": NAMES}, some(calendar_id=IDS, partner_id=IDS)), max_size=3))
    team_ids = st.lists(st.sampled_from([team["id"] for team in teams]), max_size=2) if teams else st.just(list[str]())
    queue, agent = some(**queue_fields(team_ids)), some(**agent_fields(team_ids))
    sections = {
        "skills": draw(st.lists(both({"name": NAMES}, some()), max_size=3)),
        "teams": teams,
        "agents": draw(st.lists(both({"display_name": TEXTS}, agent), max_size=4)),
        "queues": draw(st.lists(both({"name": NAMES, "position": st.integers(0, 99)}, queue), max_size=4)),
        "rules": draw(
            st.lists(both({"position": st.integers(0, 99), "when": CONDITIONS}, some(to_tier=st.integers(2, 9))), max_size=3)
        ),
    }
    return {name: list({one["id"]: one for one in section}.values()) for name, section in sections.items()}


def read(document: Any) -> Configuration:
    """What a document says, as the API reads it."""
    read_in = Document.model_validate(document)
    return Configuration(
        {Key(kind, told.id): told.part(told.id) for kind, section in read_in.sections().items() for told in section}
    )


def in_force(configuration: Configuration, version: int = 3) -> Configuration:
    """As it is stored: under versions."""
    said = {"version": version, "effective_from": NOW, "config_version": version + 1, "changed_by": "admin"}
    stored = {
        key: msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(part, **said)), type=SHAPES[key.kind])
        for key, part in configuration.parts.items()
    }
    return Configuration(stored)


@settings(max_examples=examples(60))
@given(documents())
def test_what_is_exported_and_read_again_changes_nothing(document: dict[str, list[dict[str, Any]]]) -> None:
    stored = in_force(read(document))
    exported = write_yaml({"version": 4, **document_of(stored)})
    again = read(read_yaml(exported.encode()))
    assert differences(stored, again.parts, set(SHAPES)) == ()
    assert write_yaml({"version": 4, **document_of(again)}) == exported


@settings(max_examples=examples(60))
@given(documents(), documents())
def test_the_differences_of_two_lead_from_one_to_the_other_and_nothing_is_changed_that_is_so_already(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    before, wanted = in_force(read(one)), read(other)
    changes = differences(before, wanted.parts, set(SHAPES))
    after = before.after(changes)
    assert {key: content(part) for key, part in after.parts.items()} == {key: content(part) for key, part in wanted.parts.items()}
    assert all(content(change.before) != content(change.after) for change in changes)
    assert differences(after, wanted.parts, set(SHAPES)) == ()


def test_every_field_of_queues_steps_and_agents_is_among_what_is_exported_and_read_again() -> None:
    nobody = st.just(list[str]())
    assert QueuePart.model_fields.keys() == {"id", "name", "position", *queue_fields(nobody)}
    assert AgentPart.model_fields.keys() == {"id", "display_name", *agent_fields(nobody)}
    assert Step.model_fields.keys() == {"after_seconds", *step_fields(nobody)}


A_TEAM = TeamConfigured(id="first", version=1, effective_from=NOW, name={"en": "First"})
A_QUEUE = QueueConfigured(id="support", version=1, effective_from=NOW, name={"en": "Support"}, position=1, team_ids=("first",))


def of(*parts: Part) -> Configuration:
    kinds = {shape: kind for kind, shape in SHAPES.items()}
    return Configuration({Key(kinds[type(part)], part.id): part for part in parts})


def test_of_a_section_that_is_left_out_nothing_is_removed() -> None:
    wanted = read({"queues": []})
    [change] = differences(of(A_TEAM, A_QUEUE), wanted.parts, {"queue"})
    assert (change.key, change.what) == (Key("queue", "support"), "removed")


def test_a_change_says_whether_a_part_is_made_changed_or_removed() -> None:
    key = Key("team", "first")
    assert [Change(key, *each).what for each in ((None, A_TEAM), (A_TEAM, A_TEAM), (A_TEAM, None))] == [
        "made",
        "changed",
        "removed",
    ]


def test_what_an_agent_s_part_says_is_what_matching_looks_at() -> None:
    [agent] = read({"agents": [{"id": "dana", "display_name": "Dana", "skills": {"billing": 3}, "active": False}]}).parts.values()
    assert isinstance(agent, AgentConfigured)
    profile = profile_of(agent)
    assert (profile.display_name, profile.skills, profile.active, profile.capacity_units) == ("Dana", {"billing": 3}, False, 10)


@pytest.mark.parametrize(
    ("section", "wrong", "place", "reason"),
    [
        ("queues", {"team_ids": ["first", "ghosts", "spirits"]}, "team_ids", "ghosts, spirits"),
        (
            "queues",
            {"team_ids": ["first"], "steps": [{"after_seconds": 9, "team_ids": ["first", "ghosts"]}]},
            "steps[0].team_ids",
            "ghosts",
        ),
        ("queues", {"when": {"is": "test", "field": "colour", "op": "equals", "value": "red"}}, "when.field", "unknown field"),
        ("queues", {"steps": [{"after_seconds": 9, "required_skills": {"x": 2}}]}, "steps[0].required_skills.x", "only widen"),
        ("queues", {"steps": [{"after_seconds": 9, "to_queue_id": "ghosts"}]}, "steps[0].to_queue_id", "no such queue: ghosts"),
        ("agents", {"team_ids": ["ghosts"]}, "team_ids", "ghosts"),
        (
            "rules",
            {"when": {"is": "all", "of": [{"is": "test", "field": "tier", "op": "in", "value": "x"}]}},
            "when.of[0].value",
            "a list",
        ),
    ],
)
def test_what_is_wrong_with_a_part_has_its_place(section: str, wrong: dict[str, Any], place: str, reason: str) -> None:
    must: dict[str, dict[str, Any]] = {
        "agents": {"display_name": "Dana"},
        "queues": {"name": {"en": "Q"}, "position": 1},
        "rules": {"position": 1, "when": {}},
    }
    document = {"teams": [{"id": "first", "name": {"en": "First"}}], section: [{"id": "x", **must[section], **wrong}]}
    configuration = read(document)
    [fault] = faults(configuration, configuration.parts)
    assert (fault.key.id, fault.field) == ("x", place)
    assert reason in fault.reason


def test_a_condition_that_is_none_is_refused_with_its_place() -> None:
    document = {"rules": [{"id": "x", "position": 1, "when": {"is": "all", "of": [{"is": "most"}]}}]}
    with pytest.raises(Misfit) as refused:
        read(document)
    assert refused.value.field == "when.of[0].is"


def test_a_rule_of_a_document_is_one_of_escalation() -> None:
    [rule] = read({"rules": [{"id": "x", "position": 1, "when": {}}]}).parts.values()
    assert isinstance(rule, RuleConfigured)
    assert rule.kind == "escalate"
    assert document_of(of(rule))["rules"] == [{"id": "x", "position": 1, "when": {"is": "all", "of": ()}}]
