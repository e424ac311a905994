"""The whole configuration: read, changed in one transaction, and as it was in each of its versions; JSON or YAML."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.routing import configuring
from services.routing.api.config_bodies import Document, Misfit, Named
from services.routing.api.configuring import TOLD, DryRun, foreseen, refused, told_of
from services.routing.api.room import Admin, Limit, Operations, TheRoom, page
from services.routing.domain.configuration import (
    SECTIONS,
    Change,
    Configuration,
    Fault,
    Key,
    Kind,
    Part,
    differences,
    document_of,
    faults,
)
from services.routing.store import configuration
from shared import db
from shared.documents import DEEPEST, WrongDocument, deeper_than, read_yaml, write_yaml
from shared.http import FieldError, IfMatch, Problem, check_match, etag, path_of

router = APIRouter(tags=["configuration"])
JSON, YAML = "application/json", "application/yaml"
Accept = Annotated[str, Header(include_in_schema=False)]  # YAML, or JSON
Number = Annotated[str, Path(pattern=r"^[1-9][0-9]{0,14}$")]
Below = Annotated[int | None, Query(ge=1, le=2**53, description="`next_cursor` of the page before")]
NEWEST = 2**53
BOTH: dict[int | str, dict[str, Any]] = {200: {"content": {YAML: {"schema": {"type": "string"}}}}}
_SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {JSON: {"schema": Document.model_json_schema()}, YAML: {"schema": {"type": "string"}}},
    }
}


@router.get("/v1/config", responses=BOTH)
async def get_config(room: TheRoom, _caller: Operations, accept: Accept = JSON) -> Response:
    """All that is configured, to be changed and sent back. The ETag is its version."""
    async with db.transaction(room.parts.engine) as conn:
        number, whole = await configuration.number(conn), await configuration.whole(conn)
    document = await asyncio.to_thread(document_of, whole)
    return await _document({"version": number, **document}, accept, etag(number))


@router.put("/v1/config", openapi_extra=_SCHEMA, responses={200: {"content": {JSON: {}}}})
async def put_config(
    request: Request, room: TheRoom, admin: Admin, dry_run: DryRun = False, if_match: IfMatch = None
) -> Response:
    """Have it configured as the document says, in one transaction: what a section does not name is removed, sections that are
    left out stay as they are, what is so already makes no new version. Agents who are removed go offline and lose live offers,
    not tickets. Of a queue that is removed the tickets go where the rules send them then; where none takes one it is refused.
    """
    document = await asyncio.to_thread(_read, request.headers.get("content-type", ""), await request.body())
    wanted = await asyncio.to_thread(_parts, document)
    edited = etag(document.version) if if_match is None and document.version is not None else if_match
    if document.version is not None and edited != etag(document.version):
        raise _stale()
    if dry_run:
        async with db.transaction(room.parts.engine) as conn:
            number, before = await configuration.number(conn), await configuration.whole(conn)
            changes = await _checked(conn, number, before, document, wanted, edited, dry_run=True)
        return await foreseen(room, number, before, list(changes))

    async def attempt() -> tuple[int, tuple[Change, ...]]:
        async with db.transaction(room.parts.engine) as conn:
            await configuration.hold(conn)
            number, before = await configuration.number(conn), await configuration.whole(conn)
            changes = await _checked(conn, number, before, document, wanted, edited, dry_run=False)
            if not changes:
                return number, changes
            await configuring.enact(conn, room.parts.outbox, changes, admin.key_id)
            return number + 1, changes

    number, changes = await db.retrying(attempt)
    told = {"version": number, **told_of(list(changes))}
    return Response(msgspec.json.encode(told), 200, {"ETag": etag(number)}, JSON)


@router.get("/v1/config/versions")
async def list_config_versions(room: TheRoom, _caller: Operations, cursor: Below = None, limit: Limit = 50) -> dict[str, object]:
    """What was changed, newest first: when, by which key or person, and of many changes the first hundred."""
    async with db.transaction(room.parts.engine) as conn:
        versions = await configuration.versions(conn, cursor or NEWEST, limit, TOLD)
    return page([_shown(version) for version in versions], limit, "number")


@router.get("/v1/config/versions/{number}", responses=BOTH)
async def get_config_version(number: Number, room: TheRoom, _caller: Operations, accept: Accept = JSON) -> Response:
    """What was changed, and all that was configured then (as YAML that alone), which can be sent back to be in force again."""
    async with db.transaction(room.parts.engine) as conn:
        found = [one for one in await configuration.versions(conn, int(number) + 1, 1, TOLD) if one.number == int(number)]
        whole = await configuration.as_of(conn, int(number))
    if not found:
        raise Problem(404, "version-not-found", f"There is no version {number} of the configuration.")
    document = await asyncio.to_thread(document_of, whole)
    return await _document(document if YAML in accept else {**_shown(found[0]), "configuration": document}, accept)


def _shown(version: configuration.Version) -> dict[str, object]:
    return {
        "number": version.number,
        "at": version.at,
        "changed_by": version.changed_by,
        "change_count": version.change_count,
        "changes": msgspec.json.decode(version.changes),
    }


async def _document(told: Mapping[str, Any], accept: str, tag: str | None = None) -> Response:
    headers = {"ETag": tag} if tag is not None else {}
    if YAML in accept:
        return Response(await asyncio.to_thread(write_yaml, told), 200, headers, YAML)
    return Response(msgspec.json.encode(told), 200, headers, JSON)


def _read(content_type: str, content: bytes) -> Document:
    """The document, whichever it is. Raises Problem 400, 415, 422."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == YAML:
        try:
            said = read_yaml(content)
        except WrongDocument as wrong:
            raise Problem(400, "malformed-yaml", "The body is no YAML that is read.", [FieldError("body", str(wrong))]) from None
    elif kind == JSON:
        try:
            said = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(400, "malformed-json", "The body is not valid JSON.", [FieldError("body", str(error))]) from None
        if deeper_than(said, DEEPEST):
            raise refused([FieldError("body", f"more than {DEEPEST} levels deep")])
    else:
        raise Problem(415, "unsupported-media-type", f"Send it as {YAML} or {JSON}, and say so in Content-Type.")
    try:
        return Document.model_validate(said)
    except ValidationError as error:
        raise refused([FieldError(path_of(("body", *one["loc"])), str(one["msg"])) for one in error.errors()]) from None


def _parts(document: Document) -> dict[Key, Part]:
    """What the document wants. Raises Problem 422."""
    found: dict[Key, Part] = {}
    errors: list[FieldError] = []
    for kind, n, told in _entries(document):
        key, place = Key(kind, told.id), f"body.{SECTIONS[kind]}[{n}]"
        if key in found:
            errors.append(FieldError(f"{place}.id", f"'{told.id}' is there twice"))
        try:
            found[key] = told.part(told.id)
        except Misfit as misfit:
            errors.append(FieldError(f"{place}.{misfit.field}", misfit.reason))
    if errors:
        raise refused(errors)
    return found


def _entries(document: Document) -> list[tuple[Kind, int, Named]]:
    return [(kind, n, told) for kind, section in document.sections().items() for n, told in enumerate(section)]


async def _checked(
    conn: AsyncConnection,
    number: int,
    before: Configuration,
    document: Document,
    wanted: Mapping[Key, Part],
    if_match: str | None,
    *,
    dry_run: bool,
) -> tuple[Change, ...]:
    """What changes, where it may. Raises Problem."""
    if if_match is not None or not dry_run:
        check_match(if_match, number)
    places = {Key(kind, told.id): f"body.{SECTIONS[kind]}[{n}]" for kind, n, told in _entries(document)}
    changes, after, wrong = await asyncio.to_thread(_weighed, before, wanted, document.sections().keys())
    if wrong:
        raise refused([_field_error(fault, places) for fault in wrong])
    stranded = await configuring.stranded(conn, after, changes)
    if stranded:
        detail = "A queue cannot be removed while tickets wait in it that no other queue takes."
        raise Problem(409, "in-use", detail, [_field_error(fault, places) for fault in stranded])
    return changes


def _weighed(
    before: Configuration, wanted: Mapping[Key, Part], kinds: Collection[Kind]
) -> tuple[tuple[Change, ...], Configuration, list[Fault]]:
    """What changes, what there is then, and what is wrong with it."""
    changes = differences(before, wanted, kinds)
    after = before.after(changes)
    return changes, after, faults(after, sorted(after.parts))


def _field_error(fault: Fault, places: Mapping[Key, str]) -> FieldError:
    """Where in the document it is; of what does not stand there, in whose section it would, or was."""
    if fault.key in places:
        return FieldError(f"{places[fault.key]}.{fault.field}", fault.reason)
    place = f", {fault.field}" if fault.field else ""
    return FieldError(f"body.{SECTIONS[fault.key.kind]}", f"{fault.key.kind} '{fault.key.id}'{place}: {fault.reason}")


def _stale() -> Problem:
    return Problem(412, "precondition-failed", "If-Match and the document's `version` name different versions.")
