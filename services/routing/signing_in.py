"""People come in: by their password, or because a provider of identities says who they are.

An attempt counts before the password is looked at, so that a thousand at once are no way round the limits; who comes in gets it
back. Who is not known, shut out, or has another password is told the same, after the same time.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from services.routing.domain.signing_in import KNOWN_FOR, OF_ADDRESS, OF_LOGIN, OF_PAIR, Allowance, again_free_at, place_of, wait
from services.routing.settings import RoutingSettings
from services.routing.store import signing_in as rows
from shared import audit, auth, db, passwords, people, sessions
from shared.auth import WrongScopes
from shared.clock import clock
from shared.http import Problem
from shared.people import Known
from shared.sessions import Begun, Way
from shared.telemetry import log

AT_ONCE = 2  # passwords that are looked at: each takes 19 MiB and a core for some 30 ms
WAITING = 50


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names an attempt counts: hashes with a key, for nobody has to read them back."""

    pair: bytes
    address: bytes
    login: bytes
    known: bytes


@dataclass(slots=True)
class SignIn:
    """Lets people in."""

    engine: AsyncEngine
    settings: RoutingSettings
    _key: bytes = field(init=False)
    _looking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _waiting: int = 0
    _telling: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._key = self.settings.master_key_bytes()

    async def by_password(self, login: str, password: str, address: str) -> Begun:
        """A session for whoever knows the password. Raises Problem 401, 429, 503."""
        person = await self.checked(login, password, address)
        return await self.begin(person, person.scopes, "password")

    async def checked(self, login: str, password: str, address: str) -> Known:
        """The person whose password it is. Raises Problem 401, 429, 503."""
        names = self._names(login, place_of(address))
        await self._take(names)
        async with db.transaction(self.engine) as conn:
            person = await people.find(conn, login)
        stored = person.password if person is not None and not person.shut_out else None
        fits = await self._fits(stored, password)
        if person is None or not fits or stored is None:
            why = "shut_out" if person is not None and person.shut_out else "password"
            self._refuse_soon(person, why)
            raise wrong()
        async with db.transaction(self.engine) as conn:
            await rows.give_back(conn, {names.address: OF_ADDRESS.each, names.login: OF_LOGIN.each, names.pair: OF_PAIR.each})
            await rows.know(conn, names.known, KNOWN_FOR)
            if passwords.is_outdated(stored):
                await people.store_again(conn, login, stored, await asyncio.to_thread(passwords.hashed, password))
        return person

    async def begin(self, person: Known, scopes: tuple[str, ...], way: Way) -> Begun:
        """A session of this person, who has shown who they are. Raises Problem 403 where it could do nothing."""
        try:
            auth.check_scopes(scopes)
        except WrongScopes as error:
            log().error("sign-in with scopes that do not go together", login=person.login, reason=str(error))
            raise Problem(403, "no-scopes", "You are known here, but may do nothing. Ask who runs this for it.") from None
        if not scopes:
            await self.refuse(person, "no_scopes")
            raise Problem(403, "no-scopes", "You are known here, but may do nothing. Ask who runs this for it.")
        idle, longest = self.settings.routing_session_idle_seconds, self.settings.routing_session_seconds
        async with db.transaction(self.engine) as conn:
            begun = await sessions.begin(conn, person.login, scopes, way, idle, longest)
        log().info("signed in", login=person.login, session_id=begun.id, way=way)
        return begun

    async def refuse(self, person: Known | None, why: str) -> None:
        """Tell that somebody did not come in, and keep it of whoever is known here. What was typed as a login that nobody has is
        not told: it may be a password.
        """
        log().warning("sign-in failed", login=person.login if person is not None else None, reason=why)
        if person is not None:
            async with db.transaction(self.engine) as conn:
                await audit.note(conn, "sign_in.failed", "nobody", person.login, why)

    async def _take(self, names: Names) -> None:
        """One more attempt. Raises Problem 429 when that is too many; then it does not count."""
        async with db.transaction(self.engine) as conn:
            free_at = await rows.hold(conn, [names.pair, names.address, names.login, names.known])
            now = await clock(conn)
            of: dict[bytes, Allowance] = {names.pair: OF_PAIR, names.address: OF_ADDRESS}
            if free_at[names.known] <= now:
                of[names.login] = OF_LOGIN
            seconds = max(wait(allowance, free_at[name], now).total_seconds() for name, allowance in of.items())
            if not seconds:
                await rows.put(conn, {name: again_free_at(allowance, free_at[name], now) for name, allowance in of.items()})
        if seconds:
            log().warning("sign-in refused", reason="too_many")
            detail = f"That was tried too often. Wait {math.ceil(seconds)} seconds, then try again."
            raise Problem(429, "too-many-requests", detail, headers={"Retry-After": str(math.ceil(seconds))})

    async def _fits(self, stored: str | None, password: str) -> bool:
        if self._waiting >= WAITING:
            detail = "More people sign in than can be looked at just now. Try again."
            raise Problem(503, "overloaded", detail, headers={"Retry-After": "2"})
        self._waiting += 1
        try:
            async with self._looking:
                return await asyncio.to_thread(passwords.fits, stored, password)
        finally:
            self._waiting -= 1

    def _refuse_soon(self, person: Known | None, why: str) -> None:
        """`refuse`, without whoever asks having to wait for it: for one who is not known there would be nothing to wait for."""
        telling = asyncio.create_task(self._refuse_if_possible(person, why))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _refuse_if_possible(self, person: Known | None, why: str) -> None:
        try:
            await self.refuse(person, why)
        except db.DatabaseAway as error:
            log().warning("a failed sign-in was not kept", error=type(error).__name__)

    def _names(self, login: str, place: str) -> Names:
        def name(*parts: str) -> bytes:
            said = "\n".join(("sign-in", *parts)).encode("utf-8", "replace")
            return hmac.new(self._key, said, hashlib.sha256).digest()

        return Names(name("pair", login, place), name("address", place), name("login", login), name("known", login, place))


def wrong() -> Problem:
    """The same for an unknown login, a wrong password, and whoever is shut out."""
    return Problem(401, "sign-in-failed", "Login or password is wrong.", headers={"WWW-Authenticate": "Bearer"})
