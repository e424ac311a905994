"""What `verify-erased` looks for where mails are encoded."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from deploy.erasure import SHORTEST_IN_BASE64, in_base64


@given(st.binary(max_size=20), st.text(min_size=5, max_size=30), st.binary(max_size=20))
def test_a_string_is_found_in_base64_wherever_it_begins(before: bytes, needle: str, after: bytes) -> None:
    encoded = base64.b64encode(before + needle.encode() + after).decode()
    assert any(word in encoded for word in in_base64(needle))


def test_a_string_that_stands_in_any_base64_by_chance_is_not_looked_for_there() -> None:
    assert in_base64("ana") == []
    assert all(len(word) >= SHORTEST_IN_BASE64 for word in in_base64("Ana P"))
