"""What routing takes and answers about people and their sessions, under the names of its OpenAPI document."""

from __future__ import annotations

from typing import Required, TypedDict

import msgspec

from .exchange import Instant


class SignInBody(TypedDict, total=False):
    """Who one is. With `cookie` a browser keeps the session, and the answer has no token."""

    login: Required[str]
    password: Required[str]
    cookie: bool


class SignedIn(TypedDict):
    """A session. Unused it ends at `good_until`, in any case at `ends_at`."""

    token: str | None
    session_id: str
    good_until: Instant
    ends_at: Instant


class SessionShown(TypedDict):
    """The session by which one calls."""

    id: str
    way: str
    ends_at: Instant


class Me(TypedDict):
    """Whoever calls: a key, or a person with a session."""

    id: str
    login: str | None
    name: str | None
    agent_id: str | None
    partner_id: str | None
    scopes: list[str]
    session: SessionShown | None


class PasswordChange(TypedDict):
    """One's own password, and the one from now on."""

    old: str
    new: str


class PersonBody(TypedDict, total=False):
    """A person, whole: what is left out is no longer set, but the password, which stays."""

    name: Required[str]
    scopes: Required[list[str]]
    email: str | None
    subject: str | None
    disabled: bool
    password: str | None


class PersonShown(TypedDict):
    """A person; the password is never shown."""

    login: str
    version: int
    name: str
    scopes: list[str]
    email: str | None
    subject: str | None
    disabled: bool
    has_password: bool


class PeopleShown(msgspec.Struct, frozen=True):
    """A page of people."""

    items: list[PersonShown]
    next_cursor: str | None
