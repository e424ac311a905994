"""Who may see and change which saved views."""

from __future__ import annotations

import pytest

from services.desk.domain.views import Viewer, ViewKind, may_change, may_see

DANA = Viewer("dana", agent_id="dana", team_ids=("first",))
OMAR = Viewer("omar", agent_id="omar", team_ids=("second",))
NOA = Viewer("noa", agent_id="noa", team_ids=("first",))
RINA = Viewer("key:rina", supervisor=True)
NED = Viewer("ned", agent_id="ned", team_ids=("first",), outside=True)


@pytest.mark.parametrize(
    ("viewer", "kind", "sees", "changes"),
    [
        (DANA, "personal", True, True),
        (NOA, "personal", False, False),
        (RINA, "personal", False, False),
        (DANA, "team", True, True),
        (NOA, "team", True, False),
        (OMAR, "team", False, False),
        (RINA, "team", True, True),
        (DANA, "shared", True, False),
        (OMAR, "shared", True, False),
        (RINA, "shared", True, True),
        (NED, "shared", False, False),
        (NED, "team", True, False),
    ],
)
def test_a_view_that_dana_made(viewer: Viewer, kind: ViewKind, sees: bool, changes: bool) -> None:
    team_id = "first" if kind == "team" else None
    assert may_see(viewer, kind, "dana", team_id) is sees
    assert may_change(viewer, kind, "dana", team_id) is changes


def test_who_left_a_team_changes_no_view_of_it_any_more() -> None:
    gone = Viewer("dana", agent_id="dana", team_ids=())
    assert not may_change(gone, "team", "dana", "first")
    assert not may_see(gone, "team", "dana", "first")
