"""PATCHBAY_DATABASE means the same to SQLAlchemy's connections as to those that asyncpg makes by itself."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
import sqlalchemy as sa
from asyncpg.connect_utils import _parse_connect_arguments  # type: ignore[attr-defined]
from pydantic import SecretStr, ValidationError

from shared import db
from shared.settings import Settings

URL = "postgresql://patchbay:se%40cret@db.example.com:5433/house"


class Asked(Exception):
    """Ends the connecting before it begins."""


async def given_by_sqlalchemy(url: str) -> dict[str, Any]:
    """What SQLAlchemy would call `asyncpg.connect` with."""
    engine, given = db.make_engine(Settings(database=SecretStr(url)), "test"), dict[str, Any]()

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def take(_dialect: object, _record: object, _args: list[Any], named: dict[str, Any]) -> None:
        given.update(named)
        raise Asked

    with pytest.raises(Asked):
        await engine.connect()
    return given


def understood(**given: Any) -> tuple[Any, Any]:
    """Addresses and parameters, by the parser that `asyncpg.connect` runs. Raises TypeError for what it does not know."""
    unsaid = ("host", "port", "user", "password", "passfile", "database", "service", "servicefile", "ssl", "direct_tls")
    more = ("target_session_attrs", "krbsrvname", "gsslib", "server_settings", "command_timeout")
    sizes = {"statement_cache_size": 100, "max_cached_statement_lifetime": 300, "max_cacheable_statement_size": 1024}
    given.pop("timeout", None)
    addresses, parameters, _ = _parse_connect_arguments(**{**dict.fromkeys((*unsaid, *more)), **sizes, **given})
    return addresses, parameters


@pytest.mark.parametrize(("mode", "tls"), [("require", True), ("prefer", True), ("disable", False)])
async def test_tls_is_asked_for_as_libpq_does_by_the_pool_and_by_single_connections(mode: str, tls: bool) -> None:
    url = f"{URL}?sslmode={mode}"
    for given in ({"dsn": url}, await given_by_sqlalchemy(url)):
        addresses, parameters = understood(**given)
        assert addresses == [("db.example.com", 5433)]
        assert (parameters.user, parameters.password, parameters.database) == ("patchbay", "se@cret", "house")
        assert parameters.sslmode.name == mode
        assert isinstance(parameters.ssl, ssl.SSLContext) == tls


async def test_several_servers_are_several_to_both() -> None:
    url = "postgresql://patchbay@one:5432,two:5433/house?target_session_attrs=read-write"
    for given in ({"dsn": url}, await given_by_sqlalchemy(url)):
        addresses, parameters = understood(**given)
        assert addresses == [("one", 5432), ("two", 5433)]
        assert parameters.target_session_attrs.value == "read-write"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"{URL}?ssl=require", "sslmode=…, not with ssl=…"),
        (f"{URL}?sslmode=requrie", "sslmode is requrie, which is none of disable"),
        (URL.replace("postgresql", "postgresql+asyncpg"), "begins with postgresql://"),
        ("postgresql://patchbay:canary-se%40cret@[::1/house", "this is no URL"),
    ],
)
def test_a_url_that_asyncpg_would_misread_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said) as wrong:
        Settings(database=SecretStr(url))
    assert "cret" not in str(wrong.value)
