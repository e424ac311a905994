"""People come in and go: sessions by password or by a provider of identities; who one is."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, StringConstraints

from services.routing import oidc
from services.routing.api.room import Body, Room, TheRoom, actor
from services.routing.domain.signing_in import scopes_of, way_back
from services.routing.oidc import Claims, NotIdentified, ProviderAway
from services.routing.store import attending
from services.routing.store import signing_in as rows
from shared import db, passwords, people, sessions
from shared.auth import COOKIE, LOOPBACK_COOKIE, Caller, check_origin, requires
from shared.http import FieldError, Problem
from shared.passwords import WeakPassword
from shared.people import Known
from shared.sessions import Begun
from shared.telemetry import log

router = APIRouter(tags=["people"])
Anybody = Annotated[Caller, Depends(requires())]
ERRAND_COOKIE = "patchbay-errand"
UNCACHED = {"Cache-Control": "no-store"}


class SignInBody(Body):
    """Who one is. With `cookie` a browser keeps the session, and the answer has no token."""

    login: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    cookie: bool = False


class SignedIn(BaseModel):
    """A session: its token goes into `Authorization: Bearer …`. Unused it ends at `good_until`, in any case at `ends_at`."""

    token: str | None
    session_id: str
    good_until: datetime
    ends_at: datetime


class SessionShown(BaseModel):
    """The session by which one calls."""

    id: str
    way: str
    ends_at: datetime


class Me(BaseModel):
    """Whoever calls: a key, or a person with a session."""

    id: str
    login: str | None
    name: str | None
    agent_id: str | None
    partner_id: str | None
    scopes: list[str]
    session: SessionShown | None


class PasswordChange(Body):
    """One's own password, and the one from now on."""

    old: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    new: Annotated[str, StringConstraints(min_length=1, max_length=1000)]


@router.post("/v1/sessions", status_code=201, response_model=SignedIn)
async def sign_in(body: SignInBody, request: Request, room: TheRoom) -> Response:
    """Sign in with a password. Takes no Idempotency-Key: the token is kept nowhere, so that it could not be said again."""
    if body.cookie:
        check_origin(request)
    begun = await room.sign_in.by_password(body.login.strip().lower(), body.password, _address(request))
    shown = SignedIn(
        token=None if body.cookie else begun.token, session_id=begun.id, good_until=begun.good_until, ends_at=begun.ends_at
    )
    response = Response(shown.model_dump_json(), 201, UNCACHED, "application/json")
    if body.cookie:
        _keep(response, room, begun)
    return response


@router.delete("/v1/sessions/current", status_code=204)
async def sign_out(room: TheRoom, caller: Anybody) -> Response:
    """End the session by which this is asked. Elsewhere it may be known for another five seconds."""
    response = Response(status_code=204)
    if caller.session is None:
        raise Problem(409, "no-session", "This was asked with an API key, which has no session to end.")
    async with db.transaction(room.parts.engine) as conn:
        await sessions.end(conn, caller.session.id, caller.key_id)
        left = await attending.leave_all(conn, actor(caller).agent_id)
    room.parts.authenticator.forget(caller.session.id)
    room.attendance.tell_away(actor(caller).agent_id, left)
    log().info("signed out", login=caller.session.login, session_id=caller.session.id)
    response.delete_cookie(_cookie_name(room), path="/", secure=not room.settings.on_loopback, httponly=True)
    return response


@router.get("/v1/me")
async def who_am_i(caller: Anybody) -> Me:
    """Who calls, and what they may do."""
    session = caller.session
    return Me(
        id=caller.key_id,
        login=session.login if session else None,
        name=session.name if session else None,
        agent_id=caller.agent_id,
        partner_id=caller.partner_id,
        scopes=sorted(caller.scopes),
        session=SessionShown(id=session.id, way=session.way, ends_at=session.ends_at) if session else None,
    )


@router.put("/v1/me/password", status_code=204)
async def change_password(body: PasswordChange, request: Request, room: TheRoom, caller: Anybody) -> Response:
    """Change one's own password. All other sessions of the person end."""
    if caller.session is None:
        raise Problem(409, "no-session", "Only who signed in has a password. An admin sets one by PUT /v1/people/{login}.")
    login = caller.session.login
    hashed = await hashed_password(body.new, login, "body.new")
    await room.sign_in.checked(login, body.old, _address(request))
    async with db.transaction(room.parts.engine) as conn:
        await people.set_password(conn, login, hashed, caller.key_id, but=caller.session.id)
    return Response(status_code=204)


@router.get("/v1/oidc/start", status_code=303, response_class=Response)
async def start_oidc(room: TheRoom, to: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Send a browser to the provider of identities; it comes back to `to`, a path of ours."""
    provider = _provider(room)
    state, errand = secrets.token_urlsafe(32), oidc.new_errand(way_back(to))
    try:
        url = await provider.send_off(state, errand)
    except ProviderAway as error:
        raise _away(error) from None
    async with db.transaction(room.parts.engine) as conn:
        await rows.send_off(conn, _digest(state), errand)
    response = Response(status_code=303, headers={"Location": url, **UNCACHED})
    # Who comes back has to be who was sent: else somebody could be signed in as another without noticing.
    secure = not room.settings.on_loopback
    response.set_cookie(
        ERRAND_COOKIE, state, max_age=rows.ERRAND_SECONDS, path="/v1/oidc", secure=secure, httponly=True, samesite="lax"
    )
    return response


@router.get("/v1/oidc/callback", status_code=303, response_class=Response)
async def finish_oidc(
    request: Request,
    room: TheRoom,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """A browser comes back from the provider; the session is in a cookie."""
    provider = _provider(room)
    held = request.cookies.get(ERRAND_COOKIE, "")
    if not state or not secrets.compare_digest(held.encode(), state.encode()):
        raise _not_begun()
    async with db.transaction(room.parts.engine) as conn:
        errand = await rows.come_back(conn, _digest(state))
    if errand is None:
        raise _not_begun()
    if error or not code:
        await room.sign_in.refuse(None, "provider_refused")
        raise Problem(401, "sign-in-failed", "The provider of identities did not say who you are. Begin again.")
    try:
        claims = await provider.identify(code, errand)
    except ProviderAway as away:
        raise _away(away) from None
    except NotIdentified as why:
        await room.sign_in.refuse(None, f"token_{why.code}")
        raise Problem(401, "sign-in-failed", "What the provider of identities said cannot be relied on. Begin again.") from None
    person, scopes = await _person(room, claims)
    begun = await room.sign_in.begin(person, scopes, "oidc")
    response = Response(status_code=303, headers={"Location": errand.way_back, **UNCACHED})
    _keep(response, room, begun)
    response.delete_cookie(ERRAND_COOKIE, path="/v1/oidc")
    return response


async def _person(room: Room, claims: Claims) -> tuple[Known, tuple[str, ...]]:
    """Whom the provider means, and what they may do. Raises Problem 403."""
    subject, email = str(claims["sub"]), claims.get("email")
    by_email = room.settings.routing_oidc_match == "email"
    verified = isinstance(email, str) and claims.get("email_verified") is True
    async with db.transaction(room.parts.engine) as conn:
        if by_email:
            found = await people.with_email(conn, str(email)) if verified else None
        else:
            found = await people.with_subject(conn, subject)
        # By its subject the provider means one account for good; an address may go to somebody else.
        bound = found is not None and not found.shut_out and await people.bind(conn, found.login, subject)
    if found is None or not bound:
        why = "unknown_person" if found is None else "shut_out" if found.shut_out else "another_subject"
        await room.sign_in.refuse(found, why)
        raise Problem(403, "unknown-person", "Nobody here is known by what the provider says. Ask who runs this to add you.")
    by_group = room.provider.groups
    if not by_group:
        return found, found.scopes
    return found, scopes_of(claims.get(room.settings.routing_oidc_groups_claim), by_group, found.login)


async def hashed_password(password: str, login: str, field: str) -> str:
    """As it is stored. Raises Problem 422."""
    try:
        passwords.check(password, login)
    except WeakPassword as weak:
        raise Problem(422, "weak-password", "Choose another password.", [FieldError(field, str(weak))]) from None
    return await asyncio.to_thread(passwords.hashed, password)


def _keep(response: Response, room: Room, begun: Begun) -> None:
    """Have the browser keep the session until the browser is closed; how long it is good is decided here."""
    secure = not room.settings.on_loopback
    response.set_cookie(_cookie_name(room), begun.token, path="/", secure=secure, httponly=True, samesite="lax")


def _cookie_name(room: Room) -> str:
    return LOOPBACK_COOKIE if room.settings.on_loopback else COOKIE


def _provider(room: Room) -> oidc.Provider:
    if not room.provider.is_named:
        raise Problem(404, "no-provider", "No provider of identities is set up here. Sign in by POST /v1/sessions.")
    return room.provider


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode()).digest()


def _not_begun() -> Problem:
    return Problem(400, "not-begun", "This sign-in was not begun in this browser, or too long ago. Begin again.")


def _away(error: ProviderAway) -> Problem:
    log().error("provider of identities cannot be used", reason=str(error))
    detail = "The provider of identities cannot be used just now. Try again, or sign in with a password."
    return Problem(503, "provider-away", detail, headers={"Retry-After": "5"})
