"""`patchbay people` and `patchbay audit`: who may sign in, and who did what to keys and people."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from deploy.command_line import NOT_DONE, WRONG_USAGE, end, with_database
from deploy.local.screen import Screen
from shared import audit, auth, db, passwords, people
from shared.auth import WrongScopes
from shared.passwords import WeakPassword
from shared.people import Person, Taken
from shared.settings import Settings

Result = TypeVar("Result")
OPERATOR = "operator"
LISTED = 10_000
app = typer.Typer(no_args_is_help=True, help="People who sign in.")
LoginArgument = Annotated[str, typer.Argument(metavar="LOGIN", help="Small letters, digits, and . _ @ - within.")]


@app.command("add")
def add(
    login: LoginArgument,
    scope: Annotated[list[str], typer.Option(help=f"{auth.SCOPES}; repeat for more.")],
    name: Annotated[str, typer.Option(help="As colleagues see it.")] = "",
    email: Annotated[str | None, typer.Option(help="By which a provider of identities may know the person.")] = None,
    subject: Annotated[str | None, typer.Option(help="Or the subject that it names.")] = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Who signs in at the provider needs none.")] = False,
) -> None:
    """Add a person. The password is asked for, or read from the first line of standard input."""
    if not people.LOGIN.fullmatch(login):
        end(f"'{login}' is no login: use 1 to 64 small letters, digits and . _ @ - within.", WRONG_USAGE)
    try:
        auth.check_scopes(scope)
    except WrongScopes as wrong:
        end(f"{wrong}.", WRONG_USAGE)
    password = None if no_password else _password(login)
    person = Person(login, 1, name or login, email, subject, tuple(scope), disabled=False, has_password=password is not None)

    async def work(conn: AsyncConnection) -> bool:
        if await people.held(conn, login) is not None:
            return False
        await people.put(conn, person, None, OPERATOR)
        if password is not None:
            await people.set_password(conn, login, password, OPERATOR)
        return True

    try:
        added = _in_transaction(work)
    except Taken as taken:
        end(f"{str(taken).capitalize()}.", NOT_DONE)
    if not added:
        end(f"There is a person '{login}' already. Change their password with: patchbay people password {login}", NOT_DONE)
    Screen().done(f"'{login}' may sign in")


@app.command("password")
def password(login: LoginArgument) -> None:
    """Give a person another password; their sessions end. It is asked for, or read from the first line of standard input."""
    hashed = _password(login)

    async def work(conn: AsyncConnection) -> bool:
        return await people.set_password(conn, login, hashed, OPERATOR)

    if not _in_transaction(work):
        end(_nobody(login), NOT_DONE)
    Screen().done(f"'{login}' has another password, and is signed out everywhere within {auth.CACHE_SECONDS:.0f} s")


@app.command("disable")
def disable(login: LoginArgument, undo: Annotated[bool, typer.Option("--undo", help="Let the person in again.")] = False) -> None:
    """Let a person in no more; their sessions end."""

    async def work(conn: AsyncConnection) -> bool:
        before = await people.held(conn, login)
        if before is None:
            return False
        await people.put(conn, replace(before, version=before.version + 1, disabled=not undo), before, OPERATOR)
        return True

    if not _in_transaction(work):
        end(_nobody(login), NOT_DONE)
    out = f"is signed out everywhere within {auth.CACHE_SECONDS:.0f} s, and may not come in"
    Screen().done(f"'{login}' {'may sign in again' if undo else out}")


@app.command("list")
def list_people() -> None:
    """Show all people and what they may do; never a password."""

    async def work(conn: AsyncConnection) -> list[Person]:
        return await people.page(conn, "", LISTED)

    rows = [
        [
            person.login,
            person.name,
            ", ".join(person.scopes),
            person.email or person.subject or "",
            "yes" if person.has_password else "",
            "yes" if person.disabled else "",
        ]
        for person in _in_transaction(work)
    ]
    Screen().table("People", ["login", "name", "scopes", "known at the provider by", "password", "disabled"], rows)


def show_audit(
    about: Annotated[str | None, typer.Argument(metavar="ID_OR_LOGIN", help="Only about this key or person.")] = None,
    last: Annotated[int, typer.Option(min=1, max=LISTED, help="So many entries.")] = 50,
) -> None:
    """Show who signed in and failed to, and who changed keys and people, newest first."""

    async def work(conn: AsyncConnection) -> list[audit.Entry]:
        return await audit.newest(conn, about, last)

    rows = [[f"{one.at:%Y-%m-%d %H:%M:%S}", one.what, one.by, one.about, one.detail] for one in _in_transaction(work)]
    Screen().table("Keys, people and sign-ins", ["at (UTC)", "what", "by", "about", "detail"], rows)


def _in_transaction(work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    async def run(engine: AsyncEngine, _: Settings) -> Result:
        async with db.transaction(engine) as conn:
            return await work(conn)

    return with_database(run)


def _password(login: str) -> str:
    """As it is stored: typed twice where a person sits, else from standard input, so that it is in no history of commands."""
    if sys.stdin.isatty():
        given = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        given = sys.stdin.readline().rstrip("\r\n")
    try:
        passwords.check(given, login)
    except WeakPassword as weak:
        end(f"The password {weak}.", WRONG_USAGE)
    return passwords.hashed(given)


def _nobody(login: str) -> str:
    return f"There is no person '{login}'. See: patchbay people list"
