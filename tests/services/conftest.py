"""For tests that run commands."""

import pytest


@pytest.fixture(autouse=True)
def nothing_ran_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command finds no Patchbay that was started in this folder: it would take on its settings, for all tests that follow."""
    monkeypatch.setenv("PATCHBAY_DATA", "/no/such/folder")
