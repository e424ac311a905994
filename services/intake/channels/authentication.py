"""Authentication-Results (RFC 8601), as far as they can be believed: those that a server of ours wrote.

Anybody can write such a header into a mail, with our name too. Servers put what they add above what they were given, so a
header is ours when it bears a name that is ours and stands above everything that came from outside: above the first `Received`
that no server of ours wrote, and above the second one from where a server of ours took the mail over from a stranger. Of those
the topmost counts and no other: then it does not matter whether our server takes away what others wrote in its name (5. demands
it). SendGrid and Mailgun say what they found out beside the mail, in requests that are known as theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from services.intake.channels.charsets import unfolded
from services.intake.channels.mime import Part
from services.intake.domain.authentication import NOT_TOLD, Authentication, Policy, Result, covers
from services.intake.domain.reach import is_named

LOOKED_AT = 100  # headers, from the top
TELLING = frozenset({"mailgun", "sendgrid"})  # providers that say it beside the mail; no names of headers
NAMELESS = "-"  # Microsoft 365 leaves out the name that RFC 8601 wants
_RESULTS: dict[str, Result] = {"pass": "pass", "fail": "fail", "hardfail": "fail", "softfail": "fail"}
# OpenDMARC and Gmail tell the policy in a comment, others in a property; Microsoft tells what it did.
_POLICY = re.compile(r"(?:^|[\s(;,])(?:p|action|policy\.published-domain-policy)=o?(none|quarantine|reject)\b", re.IGNORECASE)
_PAIR = re.compile(r"([a-z0-9._/-]{1,60})\s*=\s*(?:\"([^\"]{0,500})\"|([^\s\"]{1,500}))", re.IGNORECASE)
_RESULT = re.compile(r"\s*([a-z]{1,20})\b")
_DOMAIN = re.compile(r"[a-z0-9_-][a-z0-9._-]{0,252}")
_REVERSE_NAME = re.compile(r"\s*([a-z0-9._-]+)\.?\s+\[", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Border:
    """Where mail comes to us: `names` are the authserv-ids of our servers (NAMELESS: of one that gives none), `hosts` what they
    are called in `Received`; `*.example.com` stands for every name below it. `telling` are providers whose word is taken.
    """

    names: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    telling: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str], hosts: Iterable[str] = ()) -> Border:
        """From settings; where no host is named, they are called as they sign."""
        named = frozenset(name.lower() for name in names)
        signed = named - TELLING
        return cls(signed, frozenset(host.lower() for host in hosts) or signed - {NAMELESS}, named & TELLING)


NO_BORDER = Border()


class _Hop(NamedTuple):
    """A `Received`: who wrote it, and from whom; `peer` None when the mail was with the same server before."""

    by: str
    peer: str | None


class _Piece(NamedTuple):
    """What stands between two semicolons, and the comments in it."""

    text: str
    comments: str


def authentication_of(mail: Part, sender: str, border: Border, told: str = "") -> Authentication:
    """What a server of ours says about a mail from this address, else the provider that brought it (`told`, as `results` has
    it); NOT_TOLD where neither does. Never raises.
    """
    pieces = _believed(mail, border) if border.names else []
    if told and not pieces:
        pieces = list(_pieces(told))
    return _read(pieces, sender.rpartition("@")[2].lower().rstrip(".")) if pieces else NOT_TOLD


def results(by: str, spf: str, mail_from: str, signatures: Iterable[tuple[str, str]] = ()) -> str:
    """What a provider found out, as Authentication-Results has it: what SPF came to for the envelope's sender, and each signature
    by its domain, empty where that is not known. Empty where it says nothing.
    """
    said = [("spf", _word(spf), "smtp.mailfrom", mail_from.rpartition("@")[2])]
    said += [("dkim", _word(result), "header.d", domain) for domain, result in signatures]
    told = [f"{method}={result}{_property(name, domain.lower())}" for method, result, name, domain in said if result]
    return "; ".join([by, *told]) if told else ""


def _word(text: str) -> str:
    found = _RESULT.match(text.lower())
    return found[1] if found is not None else ""


def _property(name: str, domain: str) -> str:
    return f" {name}={domain}" if _DOMAIN.fullmatch(domain) else ""


def _believed(mail: Part, border: Border) -> list[_Piece]:
    """The topmost results that are ours."""
    outside = False
    for name, value in islice(mail.raw_items(), LOOKED_AT):
        if name.lower() == "received":
            hop = _hop(unfolded(str(value)))
            if outside or (hop.peer is not None and not is_named(hop.by, border.hosts)):
                return []
            outside = hop.peer is not None and not is_named(hop.peer, border.hosts)
        elif name.lower() == "authentication-results":
            pieces = list(_pieces(unfolded(str(value))))
            if pieces and _name(pieces[0].text) in border.names:
                return pieces
    return []


def _hop(value: str) -> _Hop:
    """By the places of the words: who connects chooses how they are called, and may be called `by`."""
    first = next(_pieces(value), _Piece("", ""))
    words = first.text.lower().split()
    if words[:1] == ["by"]:
        return _Hop(words[1] if len(words) > 1 else "", None)
    if words[:1] != ["from"] or len(words) < 4 or words[2] != "by":
        return _Hop("", "")
    found = _REVERSE_NAME.match(first.comments)  # what the server looked up counts, not what it was told
    return _Hop(words[3].rstrip("."), (found[1].lower() if found else words[1]).rstrip("."))


def _name(text: str) -> str:
    """The authserv-id; a version may follow it."""
    words = text.split()
    return NAMELESS if "=" in text else words[0].strip('"').lower() if words else ""


def _pieces(value: str) -> Iterator[_Piece]:
    """A structured header (RFC 5322, 3.2.2) at its semicolons, comments apart; each character is looked at once."""
    text: list[str] = []
    comments: list[str] = []
    depth, quoted, escaped = 0, False, False
    for character in value:
        kept = comments if depth else text
        if escaped:
            escaped = False
            kept.append(character)
        elif character == "\\" and (quoted or depth):
            escaped = True
        elif depth == 0 and character == '"':
            quoted = not quoted
            text.append(character)
        elif character == "(" and not quoted:
            depth += 1
            comments.append(" ")
        elif character == ")" and depth:
            depth -= 1
            text.append(" ")
        elif character == ";" and not quoted and not depth:
            yield _Piece("".join(text), "".join(comments))
            text, comments = [], []
        else:
            kept.append(character)
    yield _Piece("".join(text), "".join(comments))


def _read(pieces: list[_Piece], sender_domain: str) -> Authentication:
    nameless = "=" in pieces[0].text
    by, results = (NAMELESS, pieces) if nameless else (_name(pieces[0].text), pieces[1:])
    found: dict[str, Result] = {}
    policy: Policy = "none"
    proven = False
    for piece in results:
        pairs = [(name.lower(), (quoted or plain).lower()) for name, quoted, plain in _PAIR.findall(piece.text)]
        method, said_of_it = (pairs[0][0].partition("/")[0], pairs[0][1]) if pairs else ("", "")
        result: Result = _RESULTS.get(said_of_it, "none")
        if found.get(method) != "pass":  # a mail may be signed several times
            found[method] = result
        if method == "dmarc":
            said = _POLICY.search(f"{piece.comments} {piece.text}")
            policy = _policy(said[1]) if said else policy
        proven = proven or (result == "pass" and _proves(method, dict(pairs[1:]), sender_domain))
    spf, dkim, dmarc = found.get("spf", "none"), found.get("dkim", "none"), found.get("dmarc", "none")
    return Authentication(by, spf, dkim, dmarc, policy, proven and dmarc != "fail")


def _proves(method: str, properties: dict[str, str], sender_domain: str) -> bool:
    """Whether what passed is about the domain of the sender's address."""
    if method == "dmarc":
        return _domain(properties.get("header.from", "")) == sender_domain != ""
    names = {"spf": ("smtp.mailfrom",), "dkim": ("header.d", "header.i")}.get(method, ())
    said = next((properties[name] for name in names if name in properties), "")
    return covers(_domain(said), sender_domain)


def _domain(value: str) -> str:
    return value.rpartition("@")[2].rstrip(".")


def _policy(said: str) -> Policy:
    return "reject" if said.lower() == "reject" else "quarantine" if said.lower() == "quarantine" else "none"
