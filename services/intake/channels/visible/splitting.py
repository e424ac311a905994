"""The visible reply of a mail, and the rest, which is kept to be folded away. Together they hold every line.

What is quoted below or above a reply is folded; what is quoted between the lines of an answer stays, for it says what is
answered. A mail that has nothing but quotations or a forwarded message is shown as it is: never is nothing shown of something.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.intake.channels.visible.attributions import attributions, introduced_until
from services.intake.channels.visible.headers import opening
from services.intake.channels.visible.lines import Lines, Mark
from services.intake.channels.visible.signatures import is_delimiter, signed_from, warned_until

LINES_CAP = 20_000  # what comes after so many is folded unread
WRAPPED_AT = 60  # a quoted line so long may have been wrapped by a program on the way
WRAPPED_REST = 40

PGP_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
PGP_BLOCKS = frozenset({"-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP PUBLIC KEY BLOCK-----"})
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What is shown of a mail, and what is folded. `parted`: something quoted was told from the reply."""

    visible: str
    folded: str = ""
    parted: bool = False


def split(text: str) -> Reply:
    """Tell the reply in a mail's plain text from the rest. Takes time in proportion to its length."""
    lines = text.split("\n", LINES_CAP)
    if len(lines) > LINES_CAP:
        reply = split("\n".join(lines[:-1]))
        return Reply(reply.visible, f"{reply.folded}\n{lines[-1]}".strip("\n"), reply.parted)
    return _split(Lines.of(text), mark_quotes=False)


def split_pieces(pieces: list[tuple[Mark, str]]) -> Reply:
    """The same for a text in pieces that are known to be quoted or signed, as HTML tells."""
    return _split(Lines.marked(pieces), mark_quotes=True)


def _split(lines: Lines, *, mark_quotes: bool) -> Reply:
    _wrapped(lines)
    _armoured(lines)
    if mark_quotes:
        _written_for_signature(lines)
    if not _introduced(lines):
        return Reply(_tidy(lines.shown))
    written = [region for region in _own_regions(lines) if any(lines.bare[region.start : region.stop])]
    if not written:
        return Reply(_tidy(lines.shown))
    _fold_quotes(lines, written[0].start, written[-1].stop - 1)
    if mark_quotes:
        _fold_introductions(lines)
    return _reply(lines, mark_quotes)


def _wrapped(lines: Lines) -> None:
    """What was wrapped out of a quotation belongs to it."""
    marks, bare = lines.marks, lines.bare
    for at in range(1, len(marks) - 1):
        inside = bare[at] and marks[at] is Mark.OWN and marks[at - 1] is Mark.QUOTED and marks[at + 1] is Mark.QUOTED
        if inside and len(bare[at - 1]) >= WRAPPED_AT and len(bare[at]) <= WRAPPED_REST:
            marks[at] = Mark.QUOTED


def _armoured(lines: Lines) -> None:
    """What PGP puts around a text that it signs (RFC 9580, 7 and 6.2), and keys that are sent along."""
    at = 0
    while at < len(lines):
        bare, end = lines.bare[at], at + 1
        if bare == PGP_SIGNED:
            end = next((n for n in range(end, len(lines)) if not lines.bare[n]), end)
        elif bare in PGP_BLOCKS:
            end = next((n + 1 for n in range(end, len(lines)) if lines.bare[n].startswith("-----END PGP")), end)
        else:
            at = end
            continue
        _mark(lines, at, end, Mark.FOLDED)
        at = end


def _written_for_signature(lines: Lines) -> None:
    """What is written in a signature's place and nowhere else is the letter: Outlook on telephones puts the cursor there."""
    marks, bare = lines.marks, lines.bare
    signed = [at for at, mark in enumerate(marks) if mark is Mark.SIGNED and bare[at]]
    if not signed or is_delimiter(bare[signed[0]]) or _has_own(lines, 0, len(lines)):
        return
    marks[:] = [Mark.OWN if mark is Mark.SIGNED else mark for mark in marks]


def _introduced(lines: Lines) -> bool:
    """Fold what introduces a quotation, and all below it where that has no marks of its own. False: it is a forwarded message
    to which the writer added nothing.
    """
    above = attributions(lines)
    own, begun, at = False, 0, 0
    while at < len(lines):
        mark = lines.marks[at]
        if not lines.bare[at] or mark not in (Mark.OWN, Mark.BELOW):
            at += 1
            continue
        said = opening(lines, at)
        end = said.end if said else above[at] + 1 if at in above else at
        if end == at and mark is Mark.OWN:
            at += 1
            continue
        own = own or _has_own(lines, begun, at)
        if own and not _quote_at(lines, end):
            _mark(lines, at, len(lines), Mark.BELOW)
            return True
        if not own and said and said.forwarded:
            return False
        if end == at:  # nothing is above what HTML says is below: then it is what there is
            lines.marks[:] = [Mark.OWN if mark is Mark.BELOW else mark for mark in lines.marks]
            continue
        _mark(lines, at, end, Mark.FOLDED)
        begun = at = end
    return True


def _quote_at(lines: Lines, at: int) -> bool:
    at = lines.next_written(at)
    return at < len(lines) and lines.marks[at] is Mark.QUOTED


def _has_own(lines: Lines, begin: int, end: int) -> bool:
    """Whether the writer wrote something above."""
    own = [lines.bare[at] if lines.marks[at] is Mark.OWN else "" for at in range(begin, end)]
    own = own[warned_until(own) :]
    return any(own[: signed_from(own)])


def _mark(lines: Lines, begin: int, end: int, mark: Mark) -> None:
    lines.marks[begin:end] = [mark] * (end - begin)


def _own_regions(lines: Lines) -> list[range]:
    """The writer's lines, run by run, without signatures; their lines are marked so."""
    regions: list[range] = []
    at, first, written = 0, True, False
    while at < len(lines):
        if lines.marks[at] is not Mark.OWN:
            at += 1
            continue
        begin = at
        while at < len(lines) and lines.marks[at] is Mark.OWN:
            at += 1
        if not any(lines.bare[begin:at]):
            continue
        bare = lines.bare[begin:at]
        if first and (warned := warned_until(bare)):
            _mark(lines, begin, begin + warned, Mark.FOLDED)
            begin, bare = begin + warned, bare[warned:]
        first = False
        signed = signed_from(bare, alone=not written)
        written = written or signed > 0
        _mark(lines, begin + signed, at, Mark.SIGNED)
        regions.append(range(begin, begin + signed))
    return regions


def _fold_quotes(lines: Lines, first: int, last: int) -> None:
    """Quotations stay where the writer answers between them; else they are folded."""
    marks = lines.marks
    between = any(marks[at] is Mark.QUOTED for at in range(first, last))
    for at, mark in enumerate(marks):
        if mark is Mark.QUOTED and (at > last or (at < first and not between)):
            marks[at] = Mark.FOLDED


def _fold_introductions(lines: Lines) -> None:
    """Who wrote what is quoted, and when, is no part of it."""
    for at, mark in enumerate(lines.marks):
        if mark is Mark.QUOTED and (at == 0 or lines.marks[at - 1] is not Mark.QUOTED):
            begin = min(lines.next_written(at), len(lines) - 1)
            _mark(lines, begin, introduced_until(lines, begin), Mark.FOLDED)


def _reply(lines: Lines, mark_quotes: bool) -> Reply:
    visible: list[str] = []
    folded: list[str] = []
    for shown, mark in zip(lines.shown, lines.marks, strict=True):
        if mark is Mark.OWN:
            visible.append(shown)
        elif mark is Mark.QUOTED:
            visible.append(f"> {shown}" if mark_quotes and shown else shown)
        else:
            folded.append(shown)
            if visible and visible[-1]:
                visible.append("")
    parted = Mark.BELOW in lines.marks or Mark.FOLDED in lines.marks
    return Reply(_tidy(visible), _tidy(folded), parted)


def _tidy(lines: list[str]) -> str:
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
