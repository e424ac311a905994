"""Names and the table: past tense with a version, hyphens in topics, each fact on one topic, versions without holes."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import get_args

from shared.events.base import PersonalFact, Writer
from shared.events.schemas import TYPE_NAME, personal_shape, structs
from shared.events.topics import CONFIG, CONFIG_OWNERS, FACT_BY_TYPE, TICKETS, TOPICS
from shared.events.writers import writers_of
from shared.recalling import READS_BACK

# Past tenses that do not end in -ed.
IRREGULAR = {
    "met",
    "left",
    "left_queue",
    "sent",
    "rang",
    "held",
    "put_on_hold",
    "split",
    "read",
    "merged_into",
    "menu_chosen",
    "withdrawn",
}


# The design's own word, which is no verb at all.
NO_VERB = {"delivery.uncertain.v1"}


def test_a_types_name_is_a_noun_a_past_tense_and_a_version() -> None:
    for name in FACT_BY_TYPE:
        assert re.match(TYPE_NAME, name), name
        _, verb, _ = name.split(".")
        assert verb.endswith("ed") or verb in IRREGULAR or name in NO_VERB, f"{name} is not past tense"


def test_no_irregular_verb_is_listed_in_vain() -> None:
    verbs = {name.split(".")[1] for name in FACT_BY_TYPE}
    assert verbs >= IRREGULAR


def test_a_topics_name_has_small_letters_and_hyphens_only() -> None:
    for topic in TOPICS:
        assert re.match(r"^[a-z]+(-[a-z]+)*$", topic.name), topic.name
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)


def test_each_fact_is_on_exactly_one_topic_under_one_name() -> None:
    facts = [fact for topic in TOPICS for fact in topic.facts]
    assert len(facts) == len(set(facts)) == len({fact.TYPE for fact in facts}) == len({fact.__name__ for fact in facts})


def test_versions_count_from_one_without_a_hole() -> None:
    versions = defaultdict(set)
    for name in FACT_BY_TYPE:
        stem, _, version = name.rpartition(".v")
        versions[stem].add(int(version))
    for stem, found in versions.items():
        assert found == set(range(1, len(found) + 1)), stem


def test_every_topic_has_writers_readers_and_every_writer_something_to_say() -> None:
    services = set(get_args(Writer))
    for topic in TOPICS:
        assert set(topic.writers) <= services
        assert set(topic.readers) <= services | {"operations"}
        assert {writer for fact in topic.facts for writer in writers_of(fact)} == set(topic.writers), topic.name


def test_after_a_restore_a_service_reads_back_what_it_writes_in_sequence_and_where_its_own_are_answered() -> None:
    for service, topics in READS_BACK.items():
        written = {topic.name for topic in TOPICS if topic.sequenced and service in topic.writers}
        assert {topic.name for topic in topics} - {TICKETS.name} == written - {TICKETS.name}, service
        assert TICKETS in topics or written == {CONFIG.name}, service


def test_every_kind_of_configuration_has_one_owner() -> None:
    kinds = {fact.TYPE.partition(".")[0] for fact in CONFIG.facts} - {"config"}
    assert kinds == set(CONFIG_OWNERS)


def test_no_struct_is_named_as_another_and_every_personal_fact_says_what_is_in_its_box() -> None:
    names = [struct.__name__ for struct in structs()]
    assert len(names) == len(set(names))
    for fact in FACT_BY_TYPE.values():
        assert (personal_shape(fact) is not None) == issubclass(fact, PersonalFact)
