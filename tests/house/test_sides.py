"""On which side of `make test` files are run."""

from tests.house.purity import PROJECT
from tests.sides import WHOLE_SYSTEMS, scope_of


def test_what_starts_whole_systems_is_on_one_side_and_every_other_file_by_itself() -> None:
    files = {str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8") for path in (PROJECT / "tests").rglob("*.py")}
    starting = {name for name, text in files.items() if "running_system(" in text and not name.startswith("tests/house/")}
    starting.remove("tests/system.py")
    assert len(starting) > 3
    assert {scope_of(f"{name}::test") for name in starting} == {"whole systems"}
    others = {name for name in files if not name.startswith(WHOLE_SYSTEMS)}
    assert {scope_of(f"{name}::test[a::b]") for name in others} == others
