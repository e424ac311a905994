"""What customers and providers will do, as a pure function of the seed: who writes what, in which order, what comes twice.

The timing of answers, and what agents do, is not planned.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from simulator.errands import CallWord, Channel, Contact, Errand, How, Refers, Repeat, Request
from simulator.texts import WORDINGS

PREFIXES = {"he": "+9725", "ar": "+9715", "ro": "+407", "en": "+4474"}  # of mobile numbers; eight digits follow
NUMBERS = 10**8
HOST = "customers.example"
HUNG_UP = ("completed", "no-answer", "canceled")  # CallStatus of a caller who did not wait
Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class Traffic:
    """The shares, each from 0 to 1. `channels` and `languages` are weights of errands.

    `follow_up`: one message more, up to `longest` in all. `overtakes`: a follow-up does not wait for what it follows.
    `lost_answer`: the sender hangs up before the answer, and sends again; `twin`: sent twice at once; `again`: sent once more
    after it was acknowledged. `lists`: of generic errands, those that are one post with several contacts. `letters`: of
    generic errands, those by mail, the others by SMS. `abandoned`: of calls. `disordered`: calls whose words come out of
    order. `returning`: mail of somebody who wrote before, about something else. Pauses are up to `longest_pause_seconds`.
    """

    channels: tuple[tuple[Channel, float], ...] = (("generic", 35), ("email", 25), ("sms", 20), ("form", 10), ("voice", 10))
    languages: tuple[tuple[str, float], ...] = (("he", 30), ("ar", 20), ("ro", 30), ("en", 20))
    follow_up: float = 0.35
    longest: int = 4
    overtakes: float = 0.15
    lost_answer: float = 0.04
    twin: float = 0.03
    again: float = 0.05
    lists: float = 0.15
    longest_list: int = 5
    letters: float = 0.6
    abandoned: float = 0.3
    disordered: float = 0.2
    returning: float = 0.1
    longest_pause_seconds: float = 2.0


@dataclass(slots=True)
class Plan:
    """The errands of a run, one after the other, for ever. `run` names it: keys, addresses and numbers are its own.

    `mailbox`: whether mail of ours can be read, so that customers may answer it.
    """

    seed: int
    run: str = ""
    traffic: Traffic = field(default_factory=Traffic)
    mailbox: bool = True
    _planned: int = 0
    _known: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=50))

    def __post_init__(self) -> None:
        self.run = self.run or f"s{self.seed}"

    def take(self, contacts: int) -> Iterator[Errand]:
        """The next errands, with exactly so many messages and calls."""
        left = contacts
        while left > 0:
            errand = self.next().cut(left)
            left -= errand.size
            yield errand

    def next(self) -> Errand:
        """The next errand."""
        number = self._planned
        self._planned += 1
        return _Writer(self, number, Random(f"{self.seed}/{number}")).errand()

    def digest(self, *names: object) -> str:
        """32 hexadecimal digits of this run's own."""
        return hashlib.blake2b("/".join(map(str, (self.run, *names))).encode(), digest_size=16).hexdigest()

    def telephone(self, number: int, language: str) -> str:
        """A mobile number that no other errand of this run has."""
        return f"{PREFIXES[language]}{(int(self.digest('telephone'), 16) + number) % NUMBERS:08d}"

    def known(self, language: str) -> list[tuple[str, str]]:
        """Names and addresses of people of this language who wrote before, and wait for no mail about it."""
        return [(name, address) for spoken, name, address in self._known if spoken == language]

    def remember(self, language: str, name: str, address: str) -> None:
        """Somebody who may come back with another matter."""
        self._known.append((language, name, address))


@dataclass(slots=True)
class _Writer:
    """Writes one errand."""

    plan: Plan
    number: int
    random: Random
    channel: Channel = "generic"
    language: str = "en"

    def errand(self) -> Errand:
        traffic = self.plan.traffic
        self.channel, self.language = self._weighted(traffic.channels), self._weighted(traffic.languages)
        write = {
            "generic": self._generic,
            "email": self._mails,
            "sms": self._texts,
            "form": self._form,
            "voice": self._calls,
        }
        return Errand(self.number, self.channel, tuple(write[self.channel]()))

    def _generic(self) -> list[Request]:
        traffic = self.plan.traffic
        key = f"sim-{self.plan.run}-{self.number}"
        if self._happens(traffic.lists):
            size = self.random.randint(2, traffic.longest_list)
            posted = tuple(self._posted(f"{key}[{n}]", f"{self.number}.{n}") for n in range(size))
            return [Request(key, posted, repeats=self._repeats())]
        if not self._happens(traffic.letters):
            return self._texts()
        name, address = self._person(returning=self._happens(traffic.returning))
        self.plan.remember(self.language, name, address)
        subject, texts = self._matter()
        contacts = [self._contact(f"{key}-{n}", address, text, name=name, subject=subject) for n, text in enumerate(texts)]
        return [self._request(contact.key, contact, n, refers="own" if n else "nothing") for n, contact in enumerate(contacts)]

    def _posted(self, key: str, conversation: str) -> Contact:
        """One of a list: somebody of any language, with a matter of their own."""
        self.language = self._weighted(self.plan.traffic.languages)
        name, local = self.random.choice(WORDINGS[self.language].names)
        subject, texts = self._matter()
        contact = self._contact(key, f"{local}.{self.plan.run}.{conversation}@{HOST}", texts[0], name=name, subject=subject)
        return replace(contact, conversation=f"{self.plan.run}/{conversation}")

    def _mails(self) -> list[Request]:
        returning = self._happens(self.plan.traffic.returning)
        name, address = self._person(returning=returning)
        subject, texts = self._matter()
        requests = []
        for n, text in enumerate(texts):
            key = f"<{self.plan.run}.{self.number}.{n}@{HOST}>"
            refers: Refers = "nothing" if n == 0 else "own"
            if n and self.plan.mailbox and not returning:
                refers = self.random.choice(("own", "confirmation", "reply"))
            contact = self._contact(key, address, text, name=name, subject=f"Re: {subject}" if n else subject)
            requests.append(self._request(key, contact, n, refers=refers))
        if all(request.refers in ("nothing", "own") for request in requests):
            self.plan.remember(self.language, name, address)
        return requests

    def _texts(self) -> list[Request]:
        """SMS of one number: by Twilio, or by a connector of one's own."""
        sender = self.plan.telephone(self.number, self.language)
        requests = []
        for n, text in enumerate(self._matter()[1]):
            own = f"sim-{self.plan.run}-{self.number}-{n}"
            key = own if self.channel == "generic" else f"SM{self.plan.digest('sms', self.number, n)}"
            requests.append(self._request(key, self._contact(key, sender, text), n))
        return requests

    def _form(self) -> list[Request]:
        """A form, and mail in answer to what its customer got."""
        name, address = self._person(returning=False)
        subject, texts = self._matter()
        key = f"sim-{self.plan.run}-{self.number}-form"
        requests = [self._request(key, self._contact(key, address, texts[0], name=name, subject=subject), 0)]
        self.channel = "email"
        for n, text in enumerate(texts[1:] if self.plan.mailbox else (), start=1):
            key = f"<{self.plan.run}.{self.number}.{n}@{HOST}>"
            contact = self._contact(key, address, text, name=name, subject=f"Re: {subject}")
            requests.append(self._request(key, contact, n, refers=self.random.choice(("confirmation", "reply"))))
        return requests

    def _calls(self) -> list[Request]:
        caller = self.plan.telephone(self.number, self.language)
        requests: list[Request] = []
        for n in range(1 + self._follow_ups()):
            sid = f"CA{self.plan.digest('call', self.number, n)}"
            requests.append(self._spoken(caller, CallWord(sid, "ringing"), n))
            words = self._words(sid)
            disordered = self._happens(self.plan.traffic.disordered)
            told = reversed(words) if disordered else words
            requests += [self._spoken(caller, word, 1, overtakes=disordered) for word in told]
        return requests

    def _words(self, sid: str) -> list[CallWord]:
        if self._happens(self.plan.traffic.abandoned):
            return [CallWord(sid, self.random.choice(HUNG_UP), 2)]
        return [CallWord(sid, "in-progress", 2), CallWord(sid, "completed", 3, self.random.randint(20, 300))]

    def _spoken(self, caller: str, word: CallWord, n: int, overtakes: bool = False) -> Request:
        key = word.sid if word.sequence is None else f"{word.sid}:{word.sequence}"
        contact = replace(self._contact(key, caller, ""), kind="call" if word.sequence is None else "call_status")
        return Request(key, (contact,), "nothing", self._pause() if n else 0.0, overtakes, self._repeats(), word=word)

    def _request(self, key: str, contact: Contact, n: int, refers: Refers = "nothing") -> Request:
        """The n-th of its errand."""
        waits = refers in ("confirmation", "reply")
        overtakes = n > 0 and not waits and self._happens(self.plan.traffic.overtakes)
        style = self.random.randrange(4)
        return Request(key, (contact,), refers, self._pause() if n else 0.0, overtakes, self._repeats(), style)

    def _contact(self, key: str, sender: str, text: str, name: str = "", subject: str = "") -> Contact:
        conversation = f"{self.plan.run}/{self.number}"
        return Contact(key, self.channel, "message", sender, self.language, conversation, text, name, subject)

    def _person(self, *, returning: bool) -> tuple[str, str]:
        """Name and address."""
        if returning and (known := self.plan.known(self.language)):
            return self.random.choice(known)
        name, local = self.random.choice(WORDINGS[self.language].names)
        return name, f"{local}.{self.plan.run}.{self.number}@{HOST}"

    def _matter(self) -> tuple[str, list[str]]:
        """A subject, and all that is written about it."""
        wording = WORDINGS[self.language]
        subject, text = self.random.choice(wording.openings)
        about = 10_000 + self.random.randrange(90_000)
        texts = [text.format(n=about), *(self.random.choice(wording.follow_ups) for _ in range(self._follow_ups()))]
        return subject.format(n=about), texts

    def _follow_ups(self) -> int:
        number = 0
        while number < self.plan.traffic.longest - 1 and self._happens(self.plan.traffic.follow_up):
            number += 1
        return number

    def _repeats(self) -> tuple[Repeat, ...]:
        traffic = self.plan.traffic
        shares: tuple[tuple[How, float], ...] = (
            ("lost_answer", traffic.lost_answer),
            ("twin", traffic.twin),
            ("again", traffic.again),
        )
        return tuple(Repeat(how, self._pause() if how == "again" else 0.0) for how, share in shares if self._happens(share))

    def _happens(self, share: float) -> bool:
        return self.random.random() < share

    def _pause(self) -> float:
        return round(self.random.uniform(0, self.plan.traffic.longest_pause_seconds), 3)

    def _weighted(self, choices: tuple[tuple[Choice, float], ...]) -> Choice:
        return self.random.choices([choice for choice, _ in choices], [weight for _, weight in choices])[0]
