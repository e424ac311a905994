"""`POST /v1/uploads`: a file that an agent will send along with a reply, which names it."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel

from services.intake.api.edge import Parts
from services.intake.channels.clean import NAME_LIMIT, clean_line
from services.intake.store import files
from shared import db
from shared.auth import Caller, requires
from shared.events.base import Attachment, derived_id
from shared.http import FieldError, Problem
from shared.idempotency import IdempotencyKey

router = APIRouter()
FILE_BYTES = 10 * 2**20
OPAQUE = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")
_SCHEMA = {"requestBody": {"required": True, "content": {OPAQUE: {"schema": {"type": "string", "format": "binary"}}}}}


class Uploaded(BaseModel):
    """A file that waits to be sent. A reply names it in `attachments` by exactly these fields, within a day, and once."""

    id: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str


@router.post("/v1/uploads", status_code=201, response_model=Uploaded, openapi_extra=_SCHEMA)
async def upload_file(
    request: Request,
    intake: Parts,
    caller: Annotated[Caller, Depends(requires("agent", "supervisor", "partner agent"))],
    name: Annotated[str, Query(max_length=NAME_LIMIT)] = "",
    content_type: Annotated[str, Header()] = OPAQUE,
    idempotency_key: IdempotencyKey = None,
) -> Uploaded:
    """Keep a file, its content being the body as it is, its type the Content-Type. The same key and content: the same file."""
    content = await request.body()
    if not 0 < len(content) <= FILE_BYTES:
        error = FieldError("body", f"must hold 1 to {FILE_BYTES} bytes")
        raise Problem(422, "invalid-request", "The file is empty or too large.", [error])
    media_type = content_type.partition(";")[0].strip().lower()
    wanted = Attachment(
        id=derived_id("upload", caller.key_id, idempotency_key or str(uuid4())),
        media_type=media_type if _MEDIA_TYPE.fullmatch(media_type) else OPAQUE,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )

    async def keep() -> Attachment:
        async with db.transaction(intake.parts.engine) as conn:
            return await files.upload(conn, wanted, content)

    kept = await db.retrying(keep)
    if kept != wanted:
        raise Problem(422, "idempotency-key-reused", "This Idempotency-Key was used with another file. Use a new one.")
    return Uploaded(id=kept.id, name=clean_line(name), media_type=kept.media_type, size_bytes=kept.size_bytes, sha256=kept.sha256)
