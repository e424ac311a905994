"""Reads the cases of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
LANGUAGES = ("ar", "de", "en", "es", "fr", "he", "it", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk")


@dataclass(frozen=True, slots=True)
class Case:
    """A mail's text, or its HTML, and what of it is to be seen."""

    name: str
    text: str
    html: str
    seen: str


def cases(name: str, folder: Path = HERE) -> Iterator[Case]:
    """The cases of one file."""
    for block in (folder / f"{name}.txt").read_text("utf-8").split("\n= "):
        title, _, rest = block.removeprefix("= ").partition("\n")
        lines = [line for line in rest.split("\n") if line]
        yield Case(
            f"{name}: {title}",
            "\n".join(line[1:] for line in lines if line[0] in "|:"),
            "\n".join(line for line in lines if line[0] == "<"),
            "\n".join(line[1:] for line in lines if line[0] == "|"),
        )
