"""Replies of our own that measured the visible reply on what it was not written for, until it was mended by them.

They were written by client and language by somebody who had not looked at the rules (`mixed.txt`: who had), and none of them is
like those that the rules were made with (tests/unit/intake/replies, whose README says how to read them). One half was then used
to mend the rules; the other (`later`) was only counted, and counted first: FIRST_SIGHT. Its misses were mended afterwards, where
a rule was wrong for more than the mail at hand. So nothing here is unseen any more, and what unseen mail comes to, only the
counts at first sight tell: 109 of 116, and 53 of 59 (HTML). Who wants to know again how unseen mail fares writes new ones.

`html` was written so later, by program, in other languages than English, with the markup of mails that these programs sent, by
somebody who knew the rules; it was counted first, too: HTML_FIRST_SIGHT.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from services.intake.channels.visible.marked_html import pieces_of
from services.intake.channels.visible.splitting import split, split_pieces
from tests.recorded.replies import compared
from tests.recorded.sets import Database, Known, Outcome, RecordedSet
from tests.unit.intake.replies import Case, cases

FIRST_SIGHT = 109
HTML_FIRST_SIGHT = 53


def run(folder: Path, _database: Database) -> Iterator[Outcome]:
    """Each mail against what is to be seen of it."""
    for path in sorted(folder.glob("*.txt")):
        for case in cases(path.stem, folder):
            seen = _seen(case)
            yield Outcome(case.name, compared(seen, case.seen), seen)


def _seen(case: Case) -> str:
    return (split_pieces(pieces_of(case.html)[0]) if case.html else split(case.text)).visible


HERE = Path(__file__).parent
SETS = (
    RecordedSet("Replies: our own mails, the half for mending", "tried", run, root=HERE),
    RecordedSet(
        "Replies: our own mails, the half mended later",
        "later",
        run,
        {
            "mixed: Microsoft's hint for new senders": Known(
                "a warning that no blank line parts from the text may be its beginning", "7fbd32a"
            )
        },
        root=HERE,
        note=f"{FIRST_SIGHT} at first sight; mended afterwards, so seen by now",
    ),
    RecordedSet(
        "Replies: our own mails, HTML of ten programs in fourteen languages",
        "html",
        run,
        root=HERE,
        note=f"{HTML_FIRST_SIGHT} at first sight; mended afterwards, so seen by now",
    ),
)
