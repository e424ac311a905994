"""Finds the sentences that the code says to customers, each of which the catalogues must hold."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.house.purity import PROJECT

SAYING = frozenset({"say", "plainly", "shortly", "phrase"})
COUNTING = "count"
LOCALES = PROJECT / "services" / "intake" / "locales"
SOURCES = PROJECT / "services" / "intake"
# Where the ways of saying are made: their argument is what they were given.
MADE_IN = SOURCES / "domain" / "speech.py"

Sentence = str | tuple[str, str]


@cache
def sentences(sources: Path = SOURCES) -> frozenset[Sentence]:
    """All of them; those that are counted as a pair of English singular and plural. Raises ValueError."""
    files = (path for path in sources.rglob("*.py") if path != MADE_IN)
    return frozenset(sentence for path in files for sentence in said_in(path.read_text(encoding="utf-8")))


def said_in(source: str) -> Iterator[Sentence]:
    """The sentences of one file. Raises ValueError for one that is not there in so many words, nor taken from a table of such."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        if name in SAYING:
            sentence = _text(node.args[0])
            if sentence is not None:
                yield sentence
        elif name == COUNTING and len(node.args) == 3:
            one, many = _text(node.args[0]), _text(node.args[1])
            if one is None or many is None:
                raise ValueError(f"line {node.lineno}: what is counted is written where it is said")
            yield one, many


def _text(node: ast.expr) -> str | None:
    """What is said; None where it stands in a table, whose entries are marked as phrases."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id.isupper():
        return None
    raise ValueError(f"line {node.lineno}: a sentence is written where it is said, or in a table of phrases")
