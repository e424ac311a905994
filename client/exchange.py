"""What goes over the wire: a request, its answer, and what is raised where there is none or it is a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import msgspec

Json = dict[str, Any]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
IDEMPOTENCY_KEY = "Idempotency-Key"
PASSING = frozenset({429, 503})  # statuses of a refusal that says: later


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. `path` begins with a slash and holds the query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent again while nobody knows what became of it: it only reads, or its key tells a repeat."""
        return self.method == "GET" or IDEMPOTENCY_KEY in self.headers


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the headers (found in whichever case), the body."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body. Raises msgspec.DecodeError."""
        return msgspec.json.decode(self.content)

    @property
    def media_type(self) -> str:
        """The body's type, with its parameters."""
        return self.headers.get("content-type", "")

    @property
    def retry_after_seconds(self) -> float | None:
        """`Retry-After`, seconds or a date (RFC 9110, 10.2.3); None where it says neither."""
        value = self.headers.get("retry-after", "")
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (at - datetime.now(UTC)).total_seconds()) if at.tzinfo is not None else None


class NoAnswer(Exception):
    """No answer came: refused, reset, cut, or too late. Whether the request was carried out is not known."""

    retry_after_seconds: float | None = None
    passing = True


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field: `field` is its path in the request, e.g. `body.text`."""

    field: str
    reason: str


class ProblemError(Exception):
    """The request was refused: a problem (RFC 9457). `code` is stable, `detail` is for people, `more` is what else was said.

    `passing`: the same request may be taken later.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        more: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__("; ".join([f"{status} {code}: {detail}", *(f"{error.field} {error.reason}" for error in errors)]))
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.more = dict(more or {})
        self.retry_after_seconds = retry_after_seconds
        self.passing = status in PASSING


def problem_of(answer: Answer) -> ProblemError:
    """What an answer refuses. What is no problem of Patchbay's, as of a proxy before it, has the code `http-error`."""
    try:
        said = msgspec.json.decode(answer.content, type=Json)
        errors = msgspec.convert(said.get("errors", []), list[FieldError])
        code, detail = str(said["code"]), str(said["detail"])
    except (msgspec.MsgspecError, ValueError, KeyError):
        detail = f"The answer is no problem but {answer.media_type or 'nothing'}"
        return ProblemError(answer.status, "http-error", detail, retry_after_seconds=answer.retry_after_seconds)
    more = {name: value for name, value in said.items() if name not in ("type", "title", "status", "code", "detail", "errors")}
    return ProblemError(answer.status, code, detail, errors, more, answer.retry_after_seconds)
