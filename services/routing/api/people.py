"""People who sign in, as an admin sees them to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, StringConstraints

from services.routing.api.room import Admin, Body, Cursor, Limit, Room, TheRoom
from services.routing.api.signing_in import hashed_password
from shared import auth, db, people
from shared.auth import Caller, WrongScopes
from shared.http import FieldError, IfMatch, Problem, check_match, etag
from shared.people import Person, Taken
from shared.telemetry import log

router = APIRouter(tags=["people"])
Login = Annotated[str, Path(pattern=rf"^{people.LOGIN.pattern}$")]


class PersonBody(Body):
    """A person, whole: what is left out is no longer set, but the password, which stays.

    `scopes` are those of keys. `email` and `subject` are what a provider of identities may know them by. Who is disabled, or gets
    other scopes or another password, is signed out everywhere.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    scopes: Annotated[list[Annotated[str, StringConstraints(max_length=100)]], Field(max_length=20)]
    email: Annotated[str, StringConstraints(pattern=r"^[^@\s\x00]{1,64}@[^@\s\x00]{1,255}$")] | None = None
    subject: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None = None
    disabled: bool = False
    password: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None


class PersonShown(BaseModel):
    """A person; the password is never shown."""

    login: str
    version: int
    name: str
    scopes: list[str]
    email: str | None
    subject: str | None
    disabled: bool
    has_password: bool


class PeopleShown(BaseModel):
    """A page of people; `next_cursor` is null on the last one."""

    items: list[PersonShown]
    next_cursor: str | None


@router.put("/v1/people/{login}", response_model=PersonShown)
async def put_person(
    login: Login, body: PersonBody, response: Response, room: TheRoom, caller: Admin, if_match: IfMatch = None
) -> PersonShown:
    """Make or change a person. To change one, send If-Match with the ETag that GET told."""
    _check_scopes(body.scopes)
    hashed = await hashed_password(body.password, login, "body.password") if body.password is not None else None

    async def put() -> Person:
        return await _put(room, caller, login, body, hashed, if_match)

    stored = await db.retrying(put)
    log().info("person put", login=login, by=caller.key_id, version=stored.version)
    response.headers["ETag"] = etag(stored.version)
    return _shown(stored)


async def _put(room: Room, caller: Caller, login: str, body: PersonBody, hashed: str | None, if_match: str | None) -> Person:
    async with db.transaction(room.parts.engine) as conn:
        before = await people.held(conn, login)
        check_match(if_match, before.version if before is not None else None)
        has_password = hashed is not None or (before is not None and before.has_password)
        version = before.version + 1 if before is not None else 1
        scopes = tuple(dict.fromkeys(body.scopes))
        after = Person(login, version, body.name, body.email, body.subject, scopes, body.disabled, has_password)
        try:
            await people.put(conn, after, before, caller.key_id)
        except Taken as taken:
            raise Problem(
                409, "person-taken", "Another person is known so.", [FieldError(f"body.{taken.field}", str(taken))]
            ) from None
        if hashed is not None:
            await people.set_password(conn, login, hashed, caller.key_id)
        return after


@router.get("/v1/people/{login}", response_model=PersonShown)
async def get_person(login: Login, response: Response, room: TheRoom, _admin: Admin) -> PersonShown:
    """A person, with the ETag."""
    async with db.transaction(room.parts.engine) as conn:
        found = await people.find(conn, login)
    if found is None:
        raise Problem(404, "person-not-found", f"There is no person '{login}'. An admin makes one with PUT.")
    response.headers["ETag"] = etag(found.version)
    return _shown(found)


@router.get("/v1/people", response_model=PeopleShown)
async def list_people(room: TheRoom, _admin: Admin, cursor: Cursor = "", limit: Limit = 50) -> PeopleShown:
    """People in order of login."""
    async with db.transaction(room.parts.engine) as conn:
        found = await people.page(conn, cursor, limit)
    return PeopleShown(items=[_shown(person) for person in found], next_cursor=found[-1].login if len(found) == limit else None)


def _check_scopes(scopes: list[str]) -> None:
    try:
        auth.check_scopes(scopes)
    except WrongScopes as wrong:
        raise Problem(422, "invalid-request", "The scopes cannot be given.", [FieldError("body.scopes", str(wrong))]) from None


def _shown(person: Person) -> PersonShown:
    return PersonShown(
        login=person.login,
        version=person.version,
        name=person.name,
        scopes=list(person.scopes),
        email=person.email,
        subject=person.subject,
        disabled=person.disabled,
        has_password=person.has_password,
    )
