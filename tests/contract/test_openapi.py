"""The OpenAPI documents in docs/generated are what the services serve."""

import json
from pathlib import Path

import pytest

from deploy import openapi


def test_the_documents_are_fresh() -> None:
    assert openapi.stale() == []


def test_a_stale_document_is_noticed(tmp_path: Path) -> None:
    for name, text in openapi.documents().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "openapi-sla.json").write_text("{}\n", encoding="utf-8")
    assert openapi.stale(tmp_path) == ["openapi-sla.json"]


@pytest.mark.parametrize("name", sorted(openapi.documents()))
def test_each_document_is_openapi_3_1_with_operation_ids_of_its_own(name: str) -> None:
    document = json.loads(openapi.documents()[name])
    assert document["openapi"].startswith("3.1")
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert ids
