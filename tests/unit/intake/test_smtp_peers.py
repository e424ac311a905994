"""How many talk to the mail port at a time, in all, from one address and from one network."""

import pytest

from services.intake.settings import IntakeSettings
from services.intake.smtp_peers import Peers, Refusal, networks_of
from shared import settings as shared_settings


def comes(peers: Peers, address: str, conversation: object) -> bool:
    """Whether one more was let in."""
    let_in = peers.refusal(address) is None
    if let_in:
        peers.came(conversation, address)
    return let_in


def test_one_address_holds_so_many_and_others_come_in() -> None:
    peers = Peers(most=5, most_of_one=2)
    assert [comes(peers, "192.0.2.1", n) for n in range(3)] == [True, True, False]
    assert [comes(peers, f"192.0.2.{n}", n) for n in (3, 4, 5)] == [True, True, True]
    assert not comes(peers, "192.0.2.6", 6), "there is room for five"
    peers.gone(0)
    peers.gone(0)
    assert [comes(peers, "192.0.2.1", n) for n in (7, 8)] == [True, False], "who is gone twice is gone once"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_addresses_that_belong_to_one_are_one(one: str, other: str, *, same: bool) -> None:
    peers = Peers(most_of_one=1)
    assert (comes(peers, one, 1), comes(peers, other, 2)) == (True, not same)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("2001:db8:1::1", "2001:db8:1:ffff::1", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("::5", "0.0.0.5", False),
        ("fe80::1%eth0", "fe80:0:0:1::2", True),
    ],
)
def test_addresses_of_one_network_share_what_it_may_hold(one: str, other: str, *, same: bool) -> None:
    peers = Peers(most_of_one=1, most_of_network=1)
    assert comes(peers, one, 1)
    assert peers.refusal(other) is (Refusal.OF_NETWORK if same else None)


def test_no_network_shuts_the_others_out_by_default() -> None:
    settings = IntakeSettings.model_validate({})
    peers = Peers(100, settings.smtp_per_peer, settings.smtp_per_network, settings.relays)
    assert sum(comes(peers, f"192.0.2.{n % 250}", n) for n in range(500)) == 40
    assert sum(comes(peers, f"2001:db8:1:{n:x}::1", f"six {n}") for n in range(500)) == 40
    assert comes(peers, "198.51.100.1", "one more")
    assert peers.refusal("192.0.2.251") is Refusal.OF_NETWORK
    peers.gone(0)
    assert comes(peers, "192.0.2.251", "when one of them is gone")


def test_a_few_addresses_of_as_many_networks_do_not_shut_the_others_out() -> None:
    settings = IntakeSettings.model_validate({})
    peers = Peers(100, settings.smtp_per_peer, settings.smtp_per_network, settings.relays)
    assert sum(comes(peers, f"192.0.{n % 5}.1", n) for n in range(500)) == 67, "two thirds, rounded up"
    assert [comes(peers, "198.51.100.1", f"other {n}") for n in range(3)] == [True, True, False]
    assert [comes(peers, "10.0.0.1", f"relay {n}") for n in range(3)] == [True, True, True]


def test_a_relay_takes_nothing_of_its_neighbours_share() -> None:
    peers = Peers(most_of_one=1, most_of_network=1, relays=networks_of("192.0.2.7"))
    assert [comes(peers, "192.0.2.7", n) for n in range(3)] == [True, True, True]
    assert [comes(peers, f"192.0.2.{n}", n) for n in (8, 9)] == [True, False]


def test_relays_hold_as_many_as_there_is_room_for() -> None:
    peers = Peers(most=4, most_of_one=1, relays=networks_of("10.0.0.0/8, ::1"))
    assert [comes(peers, "10.1.2.3", n) for n in range(2)] == [True, True]
    assert comes(peers, "::ffff:10.1.2.3", 2), "as a socket of both kinds calls it"
    assert [comes(peers, "192.0.2.1", n) for n in (3, 4)] == [True, False]
    assert not comes(peers, "10.1.2.3", 5)


def test_without_a_limit_of_one_there_is_only_that_of_all() -> None:
    peers = Peers(most=3, most_of_one=0)
    assert [comes(peers, "192.0.2.1", n) for n in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("private", ["127.0.0.1", "::1", "10.9.8.7", "172.31.0.1", "192.168.1.1", "fd00::1"])
def test_by_default_who_is_on_a_private_network_is_a_relay_of_ours(private: str) -> None:
    settings = IntakeSettings.model_validate({})
    peers = Peers(100, settings.smtp_per_peer, settings.smtp_per_network, settings.relays)
    assert all(comes(peers, private, n) for n in range(30))
    assert [comes(peers, "192.0.2.1", f"a{n}") for n in range(21)] == [True] * 20 + [False]


def test_what_is_no_network_is_said_when_it_is_set() -> None:
    with pytest.raises(shared_settings.SettingsError, match=r"300\.0\.0\.1"):
        shared_settings.read(lambda: IntakeSettings.model_validate({"smtp_relays": "10.0.0.0/8,300.0.0.1"}))
