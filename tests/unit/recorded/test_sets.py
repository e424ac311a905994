"""What `make fixtures` tells: of all there is, and on a page that is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import recorded
from bench.recorded import Row
from tests.recorded.__main__ import row_of
from tests.recorded.registry import SETS, WAITING
from tests.recorded.sets import FIXTURES, Database, Known, Outcome, RecordedSet


def test_every_file_that_was_recorded_belongs_to_a_set_or_waits_for_a_channel() -> None:
    if not FIXTURES.is_dir():
        pytest.skip("needs ../shared/fixtures beside the repository")
    folders = [one.root / one.folder for one in SETS] + [FIXTURES / one.folder for one in WAITING]
    files = [path for path in FIXTURES.rglob("*") if path.is_file() and path.name not in ("LICENSE", "README.md")]
    assert files
    assert [path for path in files if not any(folder in path.parents for folder in folders)] == []
    assert all(waiting.number() for waiting in WAITING)


def test_misses_are_counted_by_their_reason_and_the_unexplained_apart() -> None:
    known = {name: Known("meant so", Outcome(name, "other").mark) for name in "bc"}
    one = RecordedSet("Set", "none", no_recordings, known)
    outcomes = [Outcome("a"), Outcome("b", "other"), Outcome("c", "other"), Outcome("d", "other")]
    assert row_of(one, outcomes) == Row("Set", 1, 4, {"meant so": 2}, unexplained=1)


def test_a_known_miss_that_comes_to_something_else_or_is_none_any_more_is_seen() -> None:
    one = RecordedSet("Set", "none", no_recordings, {"b": Known("meant so", Outcome("b", "1 there, 2 here").mark)})
    for now in ("1 there, 3 here", ""):
        outcomes = [Outcome("a"), Outcome("b", now)]
        assert one.surprises(outcomes) == [outcomes[1]]
        assert row_of(one, outcomes).unexplained == 1
    assert one.surprises([Outcome("a"), Outcome("b", "1 there, 2 here")]) == []


def no_recordings(_folder: Path, _database: Database) -> Iterator[Outcome]:
    yield from ()


def test_the_section_of_the_sets_is_kept_and_renewed_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    page.write_text("# Figures\n\nOne.\n")
    recorded.renew([Row("A", 1, 2, {"meant so": 1})], page)
    recorded.renew([Row("A", 2, 2), Row("Calls", 0, 20, waits_for="recordings; the telephone")], page)
    text = page.read_text()
    assert text.startswith("# Figures\n\nOne.\n\n## Recorded sets\n")
    assert "| A | 2 | 2 |  |" in text
    assert "| Calls | not yet | 20 | recordings; the telephone |" in text
    assert "| all that are run | 2 | 2 | |" in text
    assert recorded.with_section("# Figures\n\nNew.\n", recorded.kept(text)) == text.replace("One.", "New.")


def test_a_page_without_the_section_stays_without() -> None:
    assert recorded.with_section("# Figures\n\n## Lines\n", recorded.kept("# Figures\n")) == "# Figures\n\n## Lines\n"
