"""Customers' records, written in a list over what stands here."""

from services.intake.domain.contacts import Handle
from services.intake.domain.identity import Profile
from services.intake.domain.records import Changes, Known, Put, PutRefused, Record, put_all
from shared.events.people import CustomerCreated, CustomerHandleAdded, CustomerProfileChanged

ANA, EVA = Handle("email", "ana@example.com"), Handle("email", "eva@example.com")
SEVEN = Handle("external_id", "7")


def one(named: Handle | str, *handles: Handle, seed: str = "new", **profile: object) -> Put:
    return Put(seed, named, frozenset(handles), Profile(**profile))  # type: ignore[arg-type]


def known(*records: Record, **owners: Handle) -> Known:
    return Known(
        owners={handle: customer_id for customer_id, handle in owners.items()},
        records={record.customer_id: record for record in records},
        families={record.customer_id: {record.customer_id: record.profile} for record in records},
    )


def written(changes: Changes) -> dict[str, tuple[int, str]]:
    return {customer_id: (record.version, record.own.name) for customer_id, record in changes.written.items()}


def test_a_record_by_a_handle_makes_who_is_not_known_and_says_so_in_order() -> None:
    [customer_id], changes = put_all([one(SEVEN, ANA, name="Ana", plan="gold", language="ro")], known())
    assert customer_id == "new"
    assert changes.created == {"new": "ro"}
    assert {owned.handle for owned in changes.handles} == {SEVEN, ANA}
    assert [type(draft.data) for draft in changes.drafts] == [
        CustomerCreated,
        CustomerHandleAdded,
        CustomerHandleAdded,
        CustomerProfileChanged,
    ]
    assert written(changes) == {"new": (1, "Ana")}


def test_a_later_record_of_the_list_sees_what_the_earlier_brought_about() -> None:
    puts = [one(SEVEN, seed="a", name="Ana"), one(SEVEN, ANA, seed="b", name="Ana B"), one(ANA, seed="c", name="Ana C")]
    results, changes = put_all(puts, known())
    assert results == ["a", "a", "a"]
    assert list(changes.created) == ["a"]
    assert written(changes) == {"a": (3, "Ana C")}
    told = [draft.data for draft in changes.drafts if isinstance(draft.data, CustomerProfileChanged)]
    assert len(told) == 3
    assert len({draft.cause for draft in changes.drafts}) == len(changes.drafts), "each fact has a cause of its own"


def test_what_is_refused_changes_nothing_and_harms_nobody() -> None:
    stands = known(Record("a", 1, Profile(name="Ana")), Record("x", erased=True), a=ANA, x=EVA)
    puts = [one("nobody"), one(EVA), one(SEVEN, ANA, seed="s"), one("x"), one(ANA, name="Anna")]
    results, changes = put_all(puts, stands)
    codes = [result.code if isinstance(result, PutRefused) else result for result in results]
    assert codes == ["unknown-customer", "customer-erased", "handle-taken", "customer-erased", "a"]
    taken = results[2]
    assert isinstance(taken, PutRefused)
    assert taken.owner == "a"
    assert (changes.created, changes.handles, written(changes)) == ({}, [], {"a": (2, "Anna")})


def test_the_same_record_again_changes_nothing() -> None:
    stands = known(Record("a", 1, Profile(name="Ana")), a=ANA)
    [result], changes = put_all([one(ANA, name="Ana")], stands)
    assert result == "a"
    assert changes == Changes()


def test_what_was_merged_in_fills_the_blanks_of_what_is_told() -> None:
    stands = known(Record("a", 1, Profile(name="Ana")), a=ANA)
    stands.families["a"]["b"] = Profile(plan="gold")
    _, changes = put_all([one(ANA, name="Anna")], stands)
    assert changes.written["a"].own == Profile(name="Anna")
    assert changes.written["a"].whole == Profile(name="Anna", plan="gold")


def test_who_goes_on_under_another_id_is_found_there() -> None:
    stands = known(Record("a", 1, Profile(name="Ana")))
    stands.onward["old"] = "a"
    assert put_all([one("old", name="Ana")], stands)[0] == ["a"]
