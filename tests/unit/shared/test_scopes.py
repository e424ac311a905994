"""Which scopes there are."""

from __future__ import annotations

import pytest

from services.routing.domain.signing_in import scopes_of
from shared.auth import WrongScopes, check_scopes


@pytest.mark.parametrize("login", ["dana", "dana.levi", "dana@example.com"])
def test_whoever_signs_in_by_an_address_can_be_an_agent_of_that_name(login: str) -> None:
    scopes = scopes_of(["support"], {"support": ("agent",)}, login)
    check_scopes(scopes)
    assert scopes == (f"agent:{login}",)


@pytest.mark.parametrize("scope", ["agent:", "agent:a b", "agent:a,b", "agent:a:b", f"agent:{'a' * 65}", "agents:dana"])
def test_what_is_no_agent_s_id_is_no_scope(scope: str) -> None:
    with pytest.raises(WrongScopes):
        check_scopes([scope])
