"""YAML as people write it, and what is not read of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents import DEEPEST, MOST_BYTES, WrongDocument, deeper_than, read_yaml, write_yaml

SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=40)
VALUES = st.recursive(SCALARS, lambda of: st.lists(of, max_size=4) | st.dictionaries(st.text(max_size=12), of, max_size=4))


@given(st.dictionaries(st.text(max_size=12), VALUES, max_size=5))
def test_what_is_written_is_read_as_it_was(document: dict[str, Any]) -> None:
    assert read_yaml(write_yaml(document).encode()) == document


LIKE_VALUES = (
    "no",
    "yes",
    "on",
    "true",
    "null",
    "~",
    "12",
    "-3",
    "+4",
    "1_000",
    "0o14",
    "0x1f",
    "1.5",
    "1e3",
    ".inf",
    "08",
    "12:30",
)
LIKE_SIGNS = (
    "",
    " ",
    "a: b",
    "# c",
    "- d",
    "[e",
    "{f",
    "&g",
    "*h",
    "!i",
    "|",
    ">",
    "%j",
    "@k",
    "`l",
    "'m",
    '"n',
    "?",
    ":",
    "<<",
    "=",
)
OTHERS = ("12:30", "<<", "=", "o\n", "\np", "q\r\nr", "\u2028", "\ufeff", "\x85", "\x07", "2026-01-02", "שלום", "مرحبا", "🙂")


@pytest.mark.parametrize("text", [*LIKE_VALUES, *LIKE_SIGNS, *OTHERS])
def test_a_text_stays_a_text_whatever_it_looks_like(text: str) -> None:
    document = {"value": text, "list": [text], text: 1}
    assert read_yaml(write_yaml(document).encode()) == document


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a: no", {"a": "no"}),
        ("a: [on, Yes, n]", {"a": ["on", "Yes", "n"]}),
        ("a: True\nb: FALSE\nc: Null\nd:", {"a": True, "b": False, "c": None, "d": None}),
        ("a: 12\nb: -3\nc: 007\nd: 1.5\ne: 1_000", {"a": 12, "b": -3, "c": "007", "d": "1.5", "e": "1_000"}),
        ("yes: 1\n12: 2\nnull: 3", {"yes": 1, "12": 2, "null": 3}),
        ("a: '12'\nb: \"true\"", {"a": "12", "b": "true"}),
        ("a: 2026-01-02", {"a": "2026-01-02"}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ('{"a": [1, {"b": null}]}', {"a": [1, {"b": None}]}),
        ("# nothing", None),
        ("", None),
        ("a: 1234567890123456789012", {"a": "1234567890123456789012"}),
    ],
)
def test_what_people_write_means_what_yaml_1_2_says(written: str, meant: object) -> None:
    assert read_yaml(written.encode()) == meant
    assert read_yaml(b"\xef\xbb\xbf" + written.encode()) == meant


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
TOO_DEEP = "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        (LAUGHS, "line 1, column 4: anchors are not read; write it out"),
        ("a: *b", "line 1, column 4: aliases are not read; write it out"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "line 4, column 3: 'c' is there twice"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4: tags are not read"),
        ("a: !!str 1", "line 1, column 4: tags are not read"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: one document is read, and this begins another"),
        ("? [a, b]\n: 1\n", "line 1, column 3: a key is a text"),
        (TOO_DEEP, f"line 1, column {DEEPEST + 1}: more than {DEEPEST} levels deep"),
        ("a: [1, 2", "line "),
        ("a:\n\t- b", "line 2, column 1: found character"),
        ('a: "\\ud800"', "line 1"),
    ],
)
def test_what_is_not_read_is_refused_with_its_place(written: str, fault: str) -> None:
    with pytest.raises(WrongDocument) as refused:
        read_yaml(written.encode())
    assert str(refused.value).startswith(fault)


def test_what_is_too_large_deep_or_no_text_is_refused_without_an_end_of_it() -> None:
    for content in (b" " * (MOST_BYTES + 1), b"a: \xff", b"[" * 1_000_000, b"- " * 1_000_000, b"a: \x00"):
        with pytest.raises(WrongDocument):
            read_yaml(content)


def test_as_many_levels_as_are_read_are_not_too_deep() -> None:
    deep = "[" * DEEPEST + "1" + "]" * DEEPEST
    value = read_yaml(deep.encode())
    assert not deeper_than(value, DEEPEST)
    assert deeper_than(value, DEEPEST - 1)
    assert deeper_than({"a": {"b": [1]}}, 2)
    assert not deeper_than({"a": {"b": [1]}}, 3)
