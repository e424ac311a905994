"""Reply mails of two libraries. What is to be seen of each is told by its lines, numbered from 1.

Their own tests expect the first fragment, or all lines that are neither quoted nor signed; where somebody answers between the
lines of a quotation, the lines that are answered stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.intake.channels.clean import clean_text
from services.intake.channels.visible.splitting import split
from tests.recorded.sets import Database, Outcome, RecordedSet

# name → lines, as in `1-5,9`. One name says the same of both libraries' mails.
SEEN = {
    "begins_with_signature": "1-8",
    "caution": "5-26",
    "caution2": "1-5",
    "correct_sig": "1",
    "email_1_1": "1-5",
    "email_1_2": "1,3-34",
    "email_1_3": "1-3",
    "email_1_4": "1",
    "email_1_5": "1-16",
    "email_1_6": "1",
    "email_1_7": "1",
    "email_1_8": "3-20",
    "email_2_1": "1",
    "email_2_2": "1",
    "email_2_3": "1",
    "email_3_1": "1-4",
    "email_BlackBerry": "1",
    "email_bullets": "1-9",
    "email_danish_1": "1-6",
    "email_danish_2": "1-6",
    "email_danish_3": "1-3",
    "email_danish_4": "1-3",
    "email_danish_5": "1-6",
    "email_gmail": "1",
    "email_headers_no_delimiter": "1",
    "email_iPhone": "1",
    "email_ja_1_1": "1",
    "email_ja_1_2": "1-8",
    "email_long_quote": "1-8",
    "email_multi_word_sent_from_my_mobile_device": "1",
    "email_nl_1_1": "1-4",
    "email_nl_1_2": "1",
    "email_one_is_not_on": "1-5",
    "email_partial_quote_header": "1-6",
    "email_pl_1_1": "5-10",
    "email_pl_1_2": "6-11",
    "email_pl_1_3": "5-10",
    "email_sent_from_BlackBerry": "1",
    "email_sent_from_iPhone": "1",
    "email_sent_from_multi_word_mobile_device": "1",
    "email_sent_from_my_not_signature": "1-3",
    "email_sent_from_not_signature": "1-3",
    "email_sig_delimiter_in_middle_of_line": "1-7",
    "email_sv_anon_1": "1-8",
    "email_swedish_1": "1-8",
    "email_swedish_2": "1-7",
    "forward": "1-6",
    "greedy_on": "1-6",
    "multi_header": "1",
    "multiline_on": "6",
    "multiline_on_de": "1",
    "outlook": "1-8",
    "pathological": "1-2",
}


def run(folder: Path, _database: Database) -> Iterator[Outcome]:
    """Each mail against its lines."""
    for path in sorted((folder / "test" / "emails").glob("*.txt")):
        text = clean_text(path.read_text("utf-8", "replace"))
        seen = split(text).visible
        yield Outcome(path.stem, compared(seen, _lines(text, SEEN.get(path.stem, ""))), seen)


def compared(seen: str, expected: str) -> str:
    """What is wrong with the visible text; empty when nothing but white space differs."""
    got, wanted = _words(seen), _words(expected)
    if got == wanted:
        return ""
    more = [line[:60] for line in got if line not in wanted]
    less = [line[:60] for line in wanted if line not in got]
    return f"{len(more)} lines too many {more[:2]}, {len(less)} missing {less[:2]}"


def _words(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


def _lines(text: str, ranges: str) -> str:
    lines = text.split("\n")
    bounds = [one.partition("-") for one in ranges.split(",") if one]
    return "\n".join(line for first, _, last in bounds for line in lines[int(first) - 1 : int(last or first)])


SETS = (
    RecordedSet("Replies: email_reply_parser", "github-email_reply_parser", run),
    RecordedSet("Replies: mail-parser-reply", "mail-parser-reply", run),
)
