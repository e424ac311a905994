"""Whose an address of the internet is."""

import pytest

from services.intake.owners import owner_of


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::/64"),
        ("2001:db8::ffff:1:2", "2001:db8::/64"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("a socket", "a socket"),
        ("", ""),
    ],
)
def test_who_has_one_address_of_ipv6_has_all_of_a_network(address: str, owner: str) -> None:
    assert owner_of(address) == owner
