"""The catalogue of metrics is complete and consistent."""

from __future__ import annotations

from typing import get_args

import pytest

from services.metrics.definitions import BY_ID, METRICS
from services.metrics.domain.cells import Dims, Measure
from services.metrics.shapes import Metric

# What the foundation must be able to say; the names are the glossary's.
OWED = {
    "ticket_volume",
    "backlog",
    "first_response_time",
    "average_reply_time",
    "time_to_resolution",
    "interactions_per_ticket",
    "resolution_rate",
    "sla_compliance",
    "accept_rate",
    "abandonment",
    "queue_wait",
    "talk_time",
    "average_handle_time",
    "wrap_up_time",
    "occupancy",
    "transfers",
    "transfer_rate",
    "escalations",
    "escalation_rate",
}


def test_every_metric_that_is_owed_is_defined_once() -> None:
    assert BY_ID.keys() >= OWED
    assert len(BY_ID) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.id)
def test_a_metric_has_names_in_four_languages_a_formula_and_known_measures(metric: Metric) -> None:
    assert metric.names.keys() == {"he", "ar", "ro", "en"}
    assert all(metric.names.values())
    assert len(metric.formula) > 30
    assert set(metric.measures) <= set(get_args(Measure))
    assert set(metric.dimensions) <= set(Dims._fields)
    assert metric.version >= 1


def test_volume_backlog_response_and_resolution_go_by_channel_queue_and_agent() -> None:
    for name in ("ticket_volume", "backlog", "first_response_time", "time_to_resolution", "sla_compliance"):
        assert {"channel", "queue", "agent"} <= set(BY_ID[name].dimensions)
