"""What no file of the repository may contain."""

import re
from functools import cache
from pathlib import Path

import pytest

from deploy import settings_table
from tests.house.purity import PROJECT

_SKIPPED = {".git", ".venv", ".patchbay", "__pycache__", "node_modules"}
_TEXT = {".py", ".md", ".toml", ".txt", ".in", ".json", ".yaml", ".yml", ".sh", ".sha256", ".ini", ".mako", ""}
# Written in pieces, so that this file does not contain what it forbids.
_HOSTS = "|".join(["pypi" + r"\.org", "files.python" + "hosted", "repo1?" + r"\.maven", "registry" + r"\.npmjs"])
FORBIDDEN = {
    "the host of a package registry": re.compile(_HOSTS),
    "a path of one machine": re.compile("/wo" + "rk/|/ro" + "ot/[a-z]|/home/[a-z]+/"),
    "work that is not done": re.compile(r"\bTO" + r"DO\b|\bFIX" + r"ME\b|\bX" + r"XX\b"),
    "a patched module": re.compile(r"mock\.pa" + r"tch|monkeypatch\.setattr\("),
}


@cache
def _texts() -> dict[str, str]:
    """All our files, by their path."""
    found = (path for path in PROJECT.rglob("*") if not _SKIPPED & set(path.relative_to(PROJECT).parts))
    ours = [path for path in found if path.is_file() and path.suffix in _TEXT]
    kept = [path for path in ours if not any(part.endswith("_cache") or part == ".hypothesis" for part in path.parts)]
    return {str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8", errors="replace") for path in kept}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    found = [(path, match.start()) for path, text in _texts().items() for match in FORBIDDEN[what].finditer(text)]
    assert [f"{path}:{_texts()[path].count(chr(10), 0, at) + 1}" for path, at in found] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_locked_package_has_a_version_and_hashes(name: str) -> None:
    logical = (PROJECT / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    packages = [line for line in logical if line.strip() and not line.startswith("#")]
    assert len(packages) > 30
    for line in packages:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_a_run_and_its_tests_lock_the_same_versions() -> None:
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", (PROJECT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert versions("requirements.txt") <= versions("requirements-dev.txt")


_NAMED = re.compile(r"[\w.-]+(/[\w.-]+)+/?")
_MADE_BY_RUNNING = {".patchbay", ".venv"}


@pytest.mark.parametrize("page", [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))], ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    quoted = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    words = {word.removeprefix("./") for text in quoted for word in text.split() if "://" not in word}
    paths = {word for word in words if _NAMED.fullmatch(word) and word.partition("/")[0] not in _MADE_BY_RUNNING}
    assert sorted(path for path in paths if not (PROJECT / path).exists()) == []


def test_a_page_may_link_only_to_what_is_there() -> None:
    for page in (PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")):
        targets = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
        assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == [], page.name


def test_the_table_of_settings_in_the_readme_is_fresh() -> None:
    page = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- settings -->\n")[2].partition("<!-- /settings -->")[0]
    assert shown.splitlines() == settings_table.table().splitlines(), "print it anew: python -m deploy.settings_table"


def test_nothing_is_written_for_spreadsheets_so_no_formula_of_a_customer_is_run_by_one() -> None:
    """Who adds such an export has to see to cells that begin with `=`, `+`, `-`, `@`, tab or CR, and to change this."""
    code = [path for room in ("client", "services", "shared", "deploy", "simulator") for path in (PROJECT / room).rglob("*.py")]
    tables = re.compile(r"^\s*(?:import|from) (?:csv|openpyxl|xlsxwriter)\b|text/csv|tab-separated", re.MULTILINE)
    assert [str(path) for path in code if tables.search(path.read_text(encoding="utf-8"))] == []
