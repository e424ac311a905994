"""The ground truth of a run: what was sent and how it was answered, what agents did, as the senders themselves saw it.

Kept in memory, and written as it happens as JSON lines, so that it is there whatever becomes of the run: `{"sending": …}`
before the first attempt, `{"answer": …}` for each answer, `{"act": …}` when an act begins and again when it is answered.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Literal, Self

import msgspec

Kind = Literal["message", "call", "call_status"]
MoveKind = Literal["transfer", "hand_over", "escalate", "consult", "assign", "release", "call_back", "take"]
BesidesKind = Literal["accept_transfer", "decline_transfer", "answer", "wrap_up"]
ActKind = Literal["state", "accept", "decline", "miss", "reply", "pend", "resolve"] | MoveKind | BesidesKind


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt at one sending, as the sender saw it. `at`: seconds since the start of the run.

    `status` is the HTTP status or the SMTP code; None when no answer came, so that the sender does not know the outcome.
    """

    at: float
    status: int | None
    ticket_id: str | None = None
    message_id: str | None = None
    number: int | None = None
    call_id: str | None = None

    @property
    def success(self) -> bool:
        """Whether the sender may forget the contact."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(slots=True)
class Sending:
    """One contact over all its attempts.

    `key` is unique in the run: Idempotency-Key (with `[n]` behind it for one of a list), Message-ID, MessageSid, CallSid,
    and for a status callback `CallSid:SequenceNumber`. Sendings of one `conversation` belong on one ticket, as long as it
    is not closed.
    """

    key: str
    channel: str
    sender: str
    language: str
    conversation: str
    text: str
    answers: list[Answer] = field(default_factory=list)
    kind: Kind = "message"

    @property
    def acknowledged(self) -> bool:
        """Whether some attempt was answered with success."""
        return any(answer.success for answer in self.answers)


@dataclass(frozen=True, slots=True)
class Act:
    """What an agent did, under one Idempotency-Key however often it was tried: `statuses` has what each attempt brought.

    `status` is that of the last answer; None: begun, and not answered (yet). `miss` is an offer that the agent let expire on
    purpose: nothing is sent. `at`: seconds since the start of the run, when the act began.
    """

    kind: ActKind
    agent: str
    key: str
    at: float
    ticket_id: str | None = None
    offer_id: str | None = None
    status: int | None = None
    statuses: tuple[int | None, ...] = ()
    message_id: str | None = None
    state: str | None = None


@dataclass(slots=True)
class Truth:
    """All of a run. `acts` is in the order in which they began."""

    sendings: dict[str, Sending] = field(default_factory=dict)
    _acts: dict[str, Act] = field(default_factory=dict)
    _file: BinaryIO | None = None

    @property
    def acts(self) -> list[Act]:
        """What the agents did."""
        return list(self._acts.values())

    @property
    def outstanding(self) -> list[Sending]:
        """What was begun and is not acknowledged."""
        return [sending for sending in self.sendings.values() if not sending.acknowledged]

    def begun(self, sending: Sending) -> Sending:
        """A sending is about to be tried for the first time. Returns the one that is kept."""
        kept = self.sendings.setdefault(sending.key, sending)
        self._line("sending", kept)
        return kept

    def answered(self, key: str, answer: Answer) -> None:
        """An attempt at a sending that was begun was answered, or not."""
        self.sendings[key].answers.append(answer)
        self._line("answer", {"key": key, **msgspec.to_builtins(answer)})

    def acted(self, act: Act) -> Act:
        """An act began, or (with the same key) stands otherwise now."""
        self._acts[act.key] = act
        self._line("act", act)
        return act

    def tried(self, act: Act, status: int | None, message_id: str | None = None) -> Act:
        """One more attempt at an act was answered with `status`, or (None) not. Returns it as it stands now."""
        last = act.status if status is None else status
        named = message_id or act.message_id
        return self.acted(replace(act, statuses=(*act.statuses, status), status=last, message_id=named))

    def write(self, path: Path) -> None:
        """Write what there is, and from now on everything as it happens. Raises OSError."""
        self.close()
        self._file = path.open("wb", buffering=0)
        for sending in self.sendings.values():
            self._line("sending", sending)
        for act in self._acts.values():
            self._line("act", act)

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """What was written. A last line that was cut short is left out. Raises OSError, msgspec.MsgspecError."""
        truth = cls()
        for line in path.read_bytes().split(b"\n")[:-1]:
            truth._take(msgspec.json.decode(line))
        return truth

    def _take(self, line: dict[str, dict[str, object]]) -> None:
        for name, content in line.items():
            if name == "sending":
                sending = msgspec.convert(content, Sending)
                self.sendings[sending.key] = sending
            elif name == "answer":
                answer = msgspec.convert({key: value for key, value in content.items() if key != "key"}, Answer)
                self.sendings[str(content["key"])].answers.append(answer)
            else:
                act = msgspec.convert(content, Act)
                self._acts[act.key] = act

    def _line(self, name: str, content: object) -> None:
        if self._file is not None:
            self._file.write(msgspec.json.encode({name: content}) + b"\n")
