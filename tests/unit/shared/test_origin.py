"""Whose page it was that has a browser change something."""

from __future__ import annotations

import pytest
from fastapi import Request

from shared.auth import check_origin
from shared.http import Problem


def sent(origin: str, host: str = "desk.example:8443", method: str = "POST") -> Request:
    headers = [(b"origin", origin.encode("latin-1")), (b"host", host.encode("latin-1"))]
    return Request({"type": "http", "method": method, "path": "/v1/sessions", "headers": headers, "query_string": b""})


@pytest.mark.parametrize("origin", ["https://desk.example:8443", "https://DESK.example:8443"])
def test_a_page_of_this_host_is_ours(origin: str) -> None:
    check_origin(sent(origin))
    check_origin(sent("http://[::1]:8102", "[::1]:8102"))


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "desk.example:8443",
        "https://desk.example",
        "https://desk.example:8443.evil",
        "http://[",
        "https://a]b",
        "://",
        "\xff",
    ],
)
def test_any_other_is_foreign_however_it_is_written(origin: str) -> None:
    with pytest.raises(Problem) as refused:
        check_origin(sent(origin))
    assert (refused.value.status, refused.value.code) == (403, "foreign-origin")
    check_origin(sent(origin, method="GET"))
