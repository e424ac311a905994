"""Word lists: which words tell what a ticket is about, and how urgent it is."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api import configuring
from services.intake.api.configuring import Admin, ConfigId, Kind
from services.intake.api.edge import Parts
from services.intake.configuring import enact
from services.intake.store.configured import WORD_LISTS, Newest
from shared import db
from shared.configuring import version_after
from shared.events.base import Priority
from shared.events.config import WordListConfigured
from shared.http import IfMatch, etag
from shared.words import words_of

router = APIRouter()
KIND = Kind(WORD_LISTS, "unknown-word-list", "There is no such word list.")
Label = Annotated[str, Field(min_length=1, max_length=100)]
Language = Annotated[str, Field(pattern=r"^([a-z]{2,3}|\*)$")]
PHRASES_CAP = 500


class WordListBody(BaseModel):
    """Words and phrases by language (`*`: any). A word that ends in `*` stands for all that begin with it.

    A new ticket whose first message has one of them gets `topic` and `product` where its connector said none (from the list of
    which most is found, then the first by `position`), `tags`, and at least this `priority`. A later message of a person raises
    the priority, adds tags, and tells topic and product where none is told; what agents set stands.
    """

    model_config = ConfigDict(extra="forbid")

    position: Annotated[int, Field(ge=0, le=1_000_000)]
    words: Annotated[
        dict[Language, Annotated[tuple[Label, ...], Field(max_length=PHRASES_CAP)]], Field(min_length=1, max_length=20)
    ]
    topic: Label | None = None
    product: Label | None = None
    priority: Priority | None = None
    tags: Annotated[tuple[Label, ...], Field(max_length=20)] = ()
    effective_from: AwareDatetime | None = None

    @field_validator("words")
    @classmethod
    def _are_words(cls, words: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        empty = [text for texts in words.values() for text in texts if not words_of(text)]
        if empty:
            raise ValueError(f"'{empty[0]}' has no letter or digit in it")
        return words


class WordListShown(WordListBody):
    """A word list as it is now."""

    id: str
    version: int


class WordLists(BaseModel):
    """All of them, by id."""

    word_lists: list[WordListShown]


@router.put("/v1/word-lists/{list_id}", response_model=WordListShown)
async def put_word_list(
    list_id: ConfigId, body: WordListBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> WordListShown:
    """Make or change a word list. To change one, send If-Match with the ETag that GET told. What came before stays as it is."""

    async def write(conn: AsyncConnection, before: Newest[WordListConfigured], now: datetime) -> WordListConfigured:
        values = body.model_dump(exclude={"effective_from"})
        version, since = version_after(before), body.effective_from or now
        fact = WordListConfigured(id=list_id, version=version, effective_from=since, **values)
        return await enact(conn, intake.parts.outbox, WORD_LISTS, fact, before, now)

    said = await configuring.put(intake, KIND, list_id, if_match, write)
    await intake.acceptor.words.refresh()
    response.headers["ETag"] = etag(said.version)
    return _shown(said)


@router.delete("/v1/word-lists/{list_id}", status_code=204)
async def delete_word_list(list_id: ConfigId, intake: Parts, _caller: Admin, if_match: IfMatch = None) -> Response:
    """Take a word list out of force. Send If-Match with the ETag that GET told."""
    await configuring.remove(intake, KIND, list_id, if_match)
    await intake.acceptor.words.refresh()
    return Response(status_code=204)


@router.get("/v1/word-lists/{list_id}", response_model=WordListShown)
async def get_word_list(list_id: ConfigId, response: Response, intake: Parts, _caller: Admin) -> WordListShown:
    """A word list as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = KIND.in_force(await WORD_LISTS.one(conn, list_id))
    response.headers["ETag"] = etag(found.version)
    return _shown(found.fact)


@router.get("/v1/word-lists", response_model=WordLists)
async def list_word_lists(intake: Parts, _caller: Admin) -> WordLists:
    """All word lists in force."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await WORD_LISTS.in_force(conn)
    return WordLists(word_lists=[_shown(one.fact) for one in stored])


def _shown(said: WordListConfigured) -> WordListShown:
    return WordListShown(
        id=said.id,
        version=said.version,
        effective_from=said.effective_from,
        position=said.position,
        words=said.words,
        topic=said.topic,
        product=said.product,
        priority=said.priority,
        tags=said.tags,
    )
