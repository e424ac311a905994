"""Who may come in: sessions of people, who one is, and the people themselves for an admin. Part of routing."""

from __future__ import annotations

import httpx
import msgspec

from .exchange import Answer, Request
from .people_types import Me, PasswordChange, PeopleShown, PersonBody, PersonShown, SignedIn, SignInBody
from .service import JSON, Service, at


class People(Service):
    """Sign in, and see to who may. `if_match` is the version that is edited; left out, where there is none yet."""

    async def sign_in(self, body: SignInBody) -> SignedIn:
        """Sign in with a password. The token is what a service is called with (`session_of` gives it alone)."""
        return await self._post_once(SignedIn, "/v1/sessions", body)

    async def sign_out(self) -> None:
        """End the session by which this is asked."""
        return await self._delete("/v1/sessions/current")

    async def who_am_i(self) -> Me:
        """Who calls, and what they may do."""
        return await self._get(Me, "/v1/me")

    async def change_password(self, body: PasswordChange) -> None:
        """Change one's own password. All other sessions of the person end."""
        await self.send(Request("PUT", "/v1/me/password", JSON, msgspec.json.encode(body)))

    async def start_oidc(self, to: str | None = None) -> Answer:
        """Where a browser is sent to say who its user is: the answer's Location."""
        return await self.send(Request("GET", at("/v1/oidc/start", to=to)))

    async def finish_oidc(self, state: str | None = None, code: str | None = None, error: str | None = None) -> Answer:
        """What a browser calls that comes back from there."""
        return await self.send(Request("GET", at("/v1/oidc/callback", state=state, code=code, error=error)))

    async def list_people(self, cursor: str | None = None, limit: int | None = None) -> PeopleShown:
        """People in order of login."""
        return await self._get(PeopleShown, at("/v1/people", cursor=cursor, limit=limit))

    async def get_person(self, login: str) -> PersonShown:
        """A person."""
        return await self._get(PersonShown, at("/v1/people/{}", login))

    async def put_person(self, login: str, body: PersonBody, if_match: int | None = None) -> PersonShown:
        """Make or change a person."""
        return await self._put(PersonShown, at("/v1/people/{}", login), body, if_match)


async def session_of(routing_url: str, login: str, password: str, *, http: httpx.AsyncClient | None = None) -> str:
    """Sign in at routing: the token with which all services are called in place of a key. Raises ProblemError, NoAnswer."""
    async with People(routing_url, http=http) as people:
        token = (await people.sign_in({"login": login, "password": password}))["token"]
    assert token is not None  # only a cookie would be instead of it
    return token
