"""What is made to take long: the work that it makes is counted, in lines of ours that run and in characters that come out."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.intake.channels import rtf, tnef
from services.intake.channels.compressed_rtf import unpacked
from services.intake.channels.safe_html import safe_html
from services.intake.channels.uuencoded import FILES_CAP, taken_out
from services.intake.channels.weighed_html import DEPTH_CAP, SAME_CAP, WORK_CAP, weighed
from tests.counts import examples

TAGS = {tag: frozenset({"color", "href"}) for tag in ("font", "a", "b", "i", "p", "div", "span", "li", "ul", "table", "tr", "td")}
TAGS["*"] = frozenset()


def steps(work: Callable[[], object]) -> int:
    """How many lines of Python ran: the same each time, on any machine."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def grows_as_its_length(make: Callable[[int], Callable[[], object]], size: int = 300) -> None:
    """Four times as much makes at most five times the work, and some for the start."""
    small, large = steps(make(size)), steps(make(size * 4))
    assert large <= 5 * small + 500, (small, large)


def attribute(number: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BII", 1, number, len(value) if length is None else length) + value + b"\0\0"


def a_tnef(*attributes: bytes) -> bytes:
    return tnef.SIGNATURE + b"\0\0" + b"".join(attributes)


def properties(count: int, *each: bytes) -> bytes:
    return struct.pack("<I", count) + b"".join(each)


FILE_BEGINS = attribute(0x00069002, b"")
ENDLESS = 0xFFFFFFFF
HOSTILE_TNEF: dict[str, Callable[[int], bytes]] = {
    "empty attributes": lambda n: a_tnef(*[attribute(0, b"")] * n),
    "files without end": lambda n: a_tnef(*[FILE_BEGINS] * n),
    "lengths beyond the end": lambda n: a_tnef(*[attribute(0x00069003, b"", ENDLESS)] * n),
    "counts beyond the end": lambda n: a_tnef(attribute(0x00069003, properties(ENDLESS) + b"\x03\x00\x01\x00" * n)),
    "many values": lambda n: a_tnef(
        attribute(0x00069003, properties(1, struct.pack("<HHI", 0x1003, 1, ENDLESS)) + b"\0" * 4 * n)
    ),
    "empty values": lambda n: a_tnef(
        attribute(0x00069003, properties(1, struct.pack("<HHI", 0x101E, 1, ENDLESS)) + b"\0" * 4 * n)
    ),
    "one inside the other": lambda n: a_tnef(FILE_BEGINS, attribute(0x0006800F, a_tnef(FILE_BEGINS) * n)),
    "properties of each file": lambda n: a_tnef(*[FILE_BEGINS, attribute(0x00069005, properties(ENDLESS, b"\x02\x01" * 8))] * n),
}


@pytest.mark.parametrize("name", HOSTILE_TNEF)
def test_the_work_for_a_winmail_grows_as_its_length(name: str) -> None:
    make = HOSTILE_TNEF[name]
    grows_as_its_length(lambda n: partial(tnef.read, make(n)))


attributes = st.builds(
    attribute,
    st.sampled_from([0x0002800C, 0x00069003, 0x00069007, 0x00069002, 0x0006800F, 0x00018010, 0x00069005, 0]),
    st.binary(max_size=40)
    | st.lists(st.sampled_from([b"\x1e\x00\x01\x10", b"\x02\x11\x01\x37", b"\0\0\0\0", b"\x01\0\0\0", b"\xff" * 4])).map(
        b"".join
    ),
    st.none() | st.integers(0, ENDLESS),
)


@given(st.lists(attributes, max_size=30).map(lambda made: a_tnef(*made)))
@settings(max_examples=examples(200), deadline=None)
def test_no_winmail_makes_more_work_than_some_lines_for_each_byte(data: bytes) -> None:
    assert steps(lambda: tnef.read(data)) <= 40 * len(data) + 500


HOSTILE_RTF: dict[str, Callable[[int], bytes]] = {
    "groups in groups": lambda n: b"{\\rtf1" + b"{" * n,
    "empty groups": lambda n: b"{\\rtf1" + b"{}" * n,
    "bytes by number": lambda n: b"{\\rtf1" + b"\\'e9" * n,
    "letters by number": lambda n: b"{\\rtf1" + b"\\u1513?" * n,
    "fonts": lambda n: b"{\\rtf1{\\fonttbl" + b"".join(b"\\f%d\\fcharset177" % i for i in range(n)) + b"}" + b"\\f1x\\f2y" * n,
    "tags": lambda n: b"{\\rtf1\\fromhtml1" + b"{\\*\\htmltag64 <p>}" * n,
    "bytes that are skipped": lambda n: b"{\\rtf1" + b"\\bin9 \\bin9" * n,
    "backslashes": lambda n: b"{\\rtf1" + b"\\" * n,
    "a word without end": lambda n: b"{\\rtf1\\" + b"a" * n,
}


@pytest.mark.parametrize("name", HOSTILE_RTF)
def test_the_work_for_rtf_grows_as_its_length(name: str) -> None:
    make = HOSTILE_RTF[name]
    grows_as_its_length(lambda n: partial(rtf.read, make(n)))


RTF_PIECES = [b"{", b"}", b"\\*", b"\\u1 ", b"\\'e9", b"\\htmltag", b"\\fromhtml1", b"\\bin3 ", b"x", b"\xff"]


@given(st.lists(st.sampled_from(RTF_PIECES)))
@settings(max_examples=examples(200), deadline=None)
def test_no_rtf_makes_more_work_than_some_lines_for_each_byte(pieces: list[bytes]) -> None:
    data = b"{\\rtf1" + b"".join(pieces)
    assert steps(lambda: rtf.read(data)) <= 60 * len(data) + 500


@given(st.binary(max_size=400))
@settings(max_examples=examples(200), deadline=None)
def test_no_packed_rtf_makes_more_work_than_some_lines_for_each_byte(body: bytes) -> None:
    made = struct.pack("<IIII", len(body) + 12, ENDLESS, 0x75465A4C, 0) + body
    assert steps(lambda: unpacked(made)) <= 30 * len(made) + 500


LINE = b"M" + b"&" * 60 + b"\n"
HOSTILE_UU: dict[str, Callable[[int], bytes]] = {
    "beginnings": lambda n: b"begin 644 a\n" * n,
    "files that never end": lambda n: (b"begin 644 a\n" + LINE * 3) * n,
    "one that never ends": lambda n: b"begin 644 a\n" + LINE * n,
    "one that ends": lambda n: b"begin 644 a\n" + LINE * n + b"`\nend\n",
    "files in number": lambda n: (b"begin 644 a\n" + LINE + b"`\nend\n") * n,
    "lines of nothing": lambda n: b"begin 644 a\n" + b"M\n" * n + b"end\n",
    "names": lambda n: b"begin 644 " + b"a" * n + b"\n",
}


@pytest.mark.parametrize("name", HOSTILE_UU)
def test_the_work_for_uuencoded_text_grows_as_its_length(name: str) -> None:
    make = HOSTILE_UU[name]
    grows_as_its_length(lambda n: partial(taken_out, make(n)))
    assert len(taken_out(make(2000))[1]) <= FILES_CAP


@given(
    st.lists(st.sampled_from([b"begin 644 a\n", LINE, b"`\n", b"end\n", b"M\n", b"hello\n", b"#0V%T\n"]), max_size=60).map(
        b"".join
    )
)
@settings(max_examples=examples(200), deadline=None)
def test_uuencoded_text_loses_nothing_that_is_no_file(text: bytes) -> None:
    rest, _ = taken_out(text)
    assert rest.count(b"hello\n") == text.count(b"hello\n")
    assert len(rest) <= len(text)


def test_short_lines_make_no_long_file() -> None:
    text = b"begin 644 a\n" + b"M\n" * 2000 + b"end\n"
    assert taken_out(text) == (text, [])
    small = b"begin 644 a\n#0V%T\n`\nend\n"
    assert [file.content for file in taken_out(small)[1]] == [b"Cat"]


def distinct(n: int, tag: str = "font") -> str:
    return "".join(f'<{tag} color="{i}">' for i in range(n))


HOSTILE_HTML: dict[str, Callable[[int], str]] = {
    "what is opened again in each paragraph": lambda n: "<p>" + distinct(n) + "</p>" + "<p>x</p>" * n,
    "in each block": lambda n: "<p>" + distinct(n) + "<div>x</div>" * n,
    "links": lambda n: "<p>" + "".join(f'<a href="http://x/{i}">' for i in range(n)) + "<div>x</div>" * n,
    "with long attributes": lambda n: f'<p><font color="{"c" * n * 10}"></p>' + "<p>x</p>" * n,
    "in each cell": lambda n: "<p>" + distinct(n) + "</p><table>" + "<tr><td>x</td></tr>" * n,
    "closed in the wrong order": lambda n: ("<b><div>" * 9 + "</b>" + "</div>" * 9) * n + "<p>x" * n,
    "ends that find nothing": lambda n: "<div><table>" + "<span>" * n + "</div>" * n,
    "ends out of a cell": lambda n: "<div><table><td></div></td></table>" * n,
    "nested": lambda n: "<div>" * n + "x",
    "nested lists": lambda n: "<ul><li>" * n + "x",
    "nested tables": lambda n: "<table><tr><td>" * n + "x",
    "tags that never end": lambda n: "<a " * n,
    "quotes that never end": lambda n: '<a href="' * n,
    "hidden in a value": lambda n: '<b title="' + "<p>" * n + '">' + "x",
    "with an equals sign first": lambda n: '<font ="><p>' + distinct(n) + '">' + "<p>x" * n,
    "in a comment": lambda n: "<!-- " + distinct(n) + " -->" + "<p>x" * n,
    "in a style": lambda n: "<style>" + distinct(n) + "</style>" + "<p>x" * n,
}


@pytest.mark.parametrize("name", HOSTILE_HTML)
def test_a_mail_makes_no_page_that_is_far_larger_than_it(name: str) -> None:
    html = HOSTILE_HTML[name](3000)
    assert len(safe_html(html, lambda _: None)) <= 20 * len(html) + 20 * WORK_CAP
    written = weighed(html, TAGS, ())
    assert written.depth <= DEPTH_CAP + 1
    assert len(written.html) <= 3 * len(html)


@pytest.mark.parametrize("name", HOSTILE_HTML)
def test_the_work_for_html_grows_as_its_length(name: str) -> None:
    make = HOSTILE_HTML[name]
    grows_as_its_length(lambda n: partial(weighed, make(n), TAGS, ()), size=DEPTH_CAP * 2)


@pytest.mark.parametrize("name", ["what is opened again in each paragraph", "in each block", "links", "nested"])
def test_what_is_too_heavy_is_shown_as_its_text(name: str) -> None:
    html = HOSTILE_HTML[name](2000) + "<p>read me &amp; answer</p>"
    shown = safe_html(html, lambda _: None)
    assert "read me &amp; answer" in shown
    assert len(shown) < 2 * len(html)


def test_a_page_as_people_write_it_is_light() -> None:
    cell = '<td style="x"><p align="left"><font color="#333"><b>Hello</b> <a href="https://a.example/">you</a></font></p></td>'
    page = f"<table>{f'<tr>{cell * 4}</tr>' * 200}</table>"
    nested = "<blockquote><div>" * 60 + "<p>first<p>second<ul><li>one<li>two</ul>" + "</div></blockquote>" * 60
    for html in (page, nested):
        written = weighed(html, {**TAGS, "blockquote": frozenset(), "ul": frozenset()}, ())
        assert not written.too_heavy
        assert written.work < 20 * len(html)


pieces = st.one_of(
    st.sampled_from([f"<{tag}>" for tag in TAGS if tag != "*"] + [f"</{tag}>" for tag in TAGS if tag != "*"]),
    st.integers(0, 4).map(lambda n: f'<font color="c{n}">'),
    st.sampled_from(["x", "<br>", "<h1>", "</h1>", "<blockquote>", "</blockquote>", "<pre>", "<hr>"]),
)


@given(st.lists(pieces, max_size=120).map("".join))
@example("<p>" + distinct(60) + "</p>" + "<p>x</p>" * 60)
@example("<table><td><p>" + distinct(40) + "</p>" + "<p>x</p>" * 40 + "</td></table>" + "<p>y</p>" * 40)
@example(("<b><div>" * 9 + "</b>" + "</div>" * 9) * 12 + "<p>x</p>" * 40)
@settings(max_examples=examples(400), deadline=None)
def test_the_weight_is_never_too_low(html: str) -> None:
    """A link becomes sixteen times as long by its `rel` and `target`; whatever comes out beyond that was opened again."""
    written = weighed(html, {**TAGS, "h1": frozenset(), "blockquote": frozenset(), "pre": frozenset()}, ())
    bound = 24 * (len(written.html) + written.work)
    assert len(safe_html(html, lambda _: None)) <= bound + 100
    assert SAME_CAP == 3
