"""The baseline of intake: a bare FastAPI handler that parses the same body and commits one row for each request.

`/contacts` and `/sms` use the same SQLAlchemy engine as the services; `/lean/contacts` uses asyncpg alone, one
autocommitted INSERT, which is the least that Python can do. Same uvicorn settings as the services.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import parse_qsl

import asyncpg
import sqlalchemy as sa
import uvloop
from fastapi import Body, FastAPI, Request, Response
from pydantic import BaseModel

from services.intake.channels.generic import ContactBody
from shared import db
from shared.http import make_server
from shared.settings import Settings

INSERT = sa.text("INSERT INTO bare.contact (channel, inbox, handle, body) VALUES (:channel, :inbox, :handle, :body) RETURNING id")
LEAN_INSERT = "INSERT INTO bare.contact (channel, inbox, handle, body) VALUES ($1, $2, $3, $4) RETURNING id"
TABLE = """
CREATE SCHEMA bare;
CREATE TABLE bare.contact (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel text NOT NULL, inbox text NOT NULL, handle text NOT NULL, body text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now());
"""


class Accepted(BaseModel):
    """The row's number."""

    number: int


def make_app(settings: Settings) -> FastAPI:
    """Nothing but the three handlers."""
    engine = db.make_engine(settings, "bare")
    pools: list[asyncpg.Pool[asyncpg.Record]] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        url = settings.database.get_secret_value()
        async with asyncpg.create_pool(url, min_size=settings.database_pool, max_size=settings.database_pool) as pool:
            pools.append(pool)
            yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/readyz")
    async def readyz() -> Response:
        return Response("ready")

    @app.post("/contacts", status_code=201)
    async def contacts(contact: Annotated[ContactBody, Body()]) -> Accepted:
        values = {"channel": contact.channel, "inbox": contact.inbox, "handle": "", "body": contact.text}
        async with engine.begin() as conn:
            return Accepted(number=(await conn.execute(INSERT, values)).scalar_one())

    @app.post("/lean/contacts", status_code=201)
    async def lean_contacts(contact: Annotated[ContactBody, Body()]) -> Accepted:
        number = await pools[0].fetchval(LEAN_INSERT, contact.channel, contact.inbox, "", contact.text)
        return Accepted(number=number)

    @app.post("/sms")
    async def sms(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        values = {"channel": "sms", "inbox": form["To"], "handle": form["From"], "body": form["Body"]}
        async with engine.begin() as conn:
            await conn.execute(INSERT, values)
        return Response("<Response/>", media_type="text/xml")

    return app


def main() -> None:
    """The process: `python -m bench.bare PORT`."""
    settings = Settings()
    uvloop.run(make_server(make_app(settings), settings.host, int(sys.argv[1])).serve())


if __name__ == "__main__":
    main()
