"""What of a mail is to be read, and the files that came with it: as parts, uuencoded inside the text, or in a winmail.dat.

A file is found again by its number: that of its part, and within a part that holds several STEP for each of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.intake.channels import mime, tnef, winmail
from services.intake.channels.charsets import text_from
from services.intake.channels.clean import NAME_LIMIT, clean_line
from services.intake.channels.dangerous import is_dangerous
from services.intake.channels.mime import Part
from services.intake.channels.uuencoded import taken_out
from services.intake.domain.contacts import InboundFile

STEP = 1000  # more than parts are read
WHOLE = STEP - 1  # the number of the file that is the mail itself
_TNEF = frozenset({"application/ms-tnef", "application/vnd.ms-tnef"})
_MAIL = frozenset({"message/rfc822", "message/global"})


@dataclass(frozen=True, slots=True)
class Body:
    """What of a mail is to be read: plain text and HTML, either may be empty; and the files. `cut`: there are more parts."""

    plain: str
    html: str
    files: tuple[InboundFile, ...]
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A mail's HTML, and the number of the file that each Content-ID in it means."""

    html: str
    files: dict[str, int]


@dataclass(frozen=True, slots=True)
class _File:
    number: int
    name: str
    media_type: str
    content: bytes
    content_id: str = ""
    inline: bool = False


@dataclass(slots=True)
class _Found:
    """Collected while the parts are gone through."""

    plain: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)
    files: list[_File] = field(default_factory=list)
    wrapped: tnef.Tnef | None = None

    @property
    def whole_html(self) -> str:
        """All of it; that of a winmail.dat where there is no other text."""
        return "\n".join(filter(None, self.html))


def body(mail: Part) -> Body:
    """Text and files of a mail. The first text of each kind is the message; later ones are added to it."""
    found = _found(mail)
    html = found.whole_html
    files = tuple(_inbound(file, html) for file in found.files)
    return Body("\n".join(filter(None, found.plain)), html, files, mail.spent.cut)


def whole(raw: bytes) -> InboundFile:
    """The mail itself as a file, where it was not read to its end: nobody looked at what comes after, so it is marked."""
    return InboundFile(WHOLE, "mail.eml", "message/rfc822", len(raw), hashlib.sha256(raw).hexdigest(), dangerous=True)


def shown(raw: bytes) -> Shown:
    """The HTML of a mail, as it came: to be made safe before anybody sees it."""
    found = _found(mime.parse(raw))
    return Shown(found.whole_html, {file.content_id: file.number for file in found.files if file.content_id})


def file_content(raw: bytes, number: int) -> bytes:
    """The content of a file of a mail. Raises LookupError when there is none of this number."""
    if number == WHOLE:
        return raw
    for file in _found(mime.parse(raw), only=number % STEP).files:
        if file.number == number:
            return file.content
    raise LookupError(f"no file {number}")


def _found(mail: Part, only: int | None = None) -> _Found:
    found = _Found()
    for index, part in enumerate(mime.leaves(mail)):
        if only is None or index == only:
            _read(found, index, part)
    if only is None and found.wrapped is not None and not any(text.strip() for text in (*found.plain, *found.html)):
        plain, html = winmail.texts(found.wrapped, mail.spent)
        found.plain.append(plain)
        found.html.append(html)
    return found


def _read(found: _Found, index: int, part: Part) -> None:
    kind, name = part.get_content_type(), mime.file_name(part)
    disposition = mime.raw_header(part, "Content-Disposition").lower()
    attached = name != "" or "attachment" in disposition
    if (kind == "text/plain" or kind.startswith("multipart/")) and not attached:  # one without its boundary is text
        text, files = taken_out(mime.content_of(part))
        found.plain.append(text_from(text, part.get_content_charset() or "", part.spent))
        numbered = enumerate(files, start=1)
        found.files += [_File(index + n * STEP, uu.name, winmail.kind_of(uu.name), uu.content) for n, uu in numbered]
    elif kind == "text/html" and not attached:
        found.html.append(mime.text_of(part))
    else:
        found.files += _files(found, index, part, kind, name, inline=disposition.startswith("inline"))


def _files(found: _Found, index: int, part: Part, kind: str, name: str, *, inline: bool) -> Iterator[_File]:
    content = mime.content_of(part)
    wrapped = tnef.read(content) if kind in _TNEF or name.lower() == "winmail.dat" else None
    if wrapped is None or wrapped.cut:  # what is read in part is to be had whole
        content_id = mime.raw_header(part, "Content-ID").strip().strip("<>")
        yield _File(index, name or _named_as_mail(part, kind), kind, content, content_id, inline and kind.startswith("image/"))
    if wrapped is None:
        return
    found.wrapped = found.wrapped or wrapped
    for n, file in enumerate(winmail.files(wrapped, part.spent), start=1):
        yield _File(index + n * STEP, file.name, file.media_type, file.content, file.content_id)


def _named_as_mail(part: Part, kind: str) -> str:
    """A mail within a mail is called as its subject."""
    inner = part.get_payload() if kind in _MAIL else None
    first = inner[0] if isinstance(inner, list) and inner else None
    subject = clean_line(mime.header(first, "Subject"), NAME_LIMIT - 4).replace("/", "_") if isinstance(first, Part) else ""
    return f"{subject}.eml" if subject else ""


def _inbound(file: _File, html: str) -> InboundFile:
    return InboundFile(
        part=file.number,
        name=file.name,
        media_type=file.media_type,
        size_bytes=len(file.content),
        sha256=hashlib.sha256(file.content).hexdigest(),
        dangerous=is_dangerous(file.name, file.media_type, file.content),
        inline=file.inline or (file.content_id != "" and f"cid:{file.content_id}" in html),
    )
