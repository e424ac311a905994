"""Word lists: which words tell what a new ticket is about, and how urgent it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from services.intake.api.edge import Intake, Parts
from services.intake.domain.word_lists import words_of
from services.intake.store import word_lists
from shared import db
from shared.auth import Caller, requires
from shared.clock import clock
from shared.events.base import Draft, Priority
from shared.events.config import ConfigRemoved, WordListConfigured
from shared.http import IfMatch, Problem, check_match, etag

router = APIRouter()
Admin = Annotated[Caller, Depends(requires("admin"))]
ListId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
Label = Annotated[str, Field(min_length=1, max_length=100)]
Language = Annotated[str, Field(pattern=r"^([a-z]{2,3}|\*)$")]
PHRASES_CAP = 500


class WordListBody(BaseModel):
    """Words and phrases by language (`*`: any). A word that ends in `*` stands for all that begin with it.

    A new ticket whose first message has one of them gets `topic` and `product` where its connector said none (from the list of
    which most is found, then the first by `position`), `tags`, and at least this `priority`.
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
    list_id: ListId, body: WordListBody, response: Response, intake: Parts, _caller: Admin, if_match: IfMatch = None
) -> WordListShown:
    """Make or change a word list. To change one, send If-Match with the ETag that GET told. Open tickets stay as they are."""

    async def put() -> WordListConfigured:
        async with db.transaction(intake.parts.engine) as conn:
            before = await word_lists.locked(conn, list_id)
            check_match(if_match, before.version if isinstance(before, WordListConfigured) else None)
            said = body.model_dump(exclude={"effective_from"})
            since = body.effective_from or await clock(conn)
            fact = WordListConfigured(id=list_id, version=_next(before), effective_from=since, **said)
            await _say(conn, intake, list_id, fact)
            return fact

    stored = await db.retrying(put)
    await _told(intake)
    response.headers["ETag"] = etag(stored.version)
    return _shown(stored)


@router.delete("/v1/word-lists/{list_id}", status_code=204)
async def delete_word_list(list_id: ListId, intake: Parts, _caller: Admin, if_match: IfMatch = None) -> Response:
    """Take a word list out of force. Send If-Match with the ETag that GET told."""

    async def remove() -> None:
        async with db.transaction(intake.parts.engine) as conn:
            before = await word_lists.locked(conn, list_id)
            if not isinstance(before, WordListConfigured):
                raise unknown()
            check_match(if_match, before.version)
            await _say(conn, intake, list_id, ConfigRemoved(version=_next(before), effective_from=await clock(conn)))

    await db.retrying(remove)
    await _told(intake)
    return Response(status_code=204)


@router.get("/v1/word-lists/{list_id}", response_model=WordListShown)
async def get_word_list(list_id: ListId, response: Response, intake: Parts, _caller: Admin) -> WordListShown:
    """A word list as it is now, with its ETag."""
    async with db.transaction(intake.parts.engine) as conn:
        found = await word_lists.one(conn, list_id)
    if not isinstance(found, WordListConfigured):
        raise unknown()
    response.headers["ETag"] = etag(found.version)
    return _shown(found)


@router.get("/v1/word-lists", response_model=WordLists)
async def list_word_lists(intake: Parts, _caller: Admin) -> WordLists:
    """All word lists in force."""
    async with db.transaction(intake.parts.engine) as conn:
        stored = await word_lists.all_of_them(conn)
    return WordLists(word_lists=[_shown(one) for one in word_lists.decoded(stored)])


def unknown() -> Problem:
    """Said of a list that is not in force."""
    return Problem(404, "unknown-word-list", "There is no such word list.")


def _next(before: word_lists.Defined | None) -> int:
    return before.version + 1 if before is not None else 1


async def _say(conn: AsyncConnection, intake: Intake, list_id: str, fact: word_lists.Defined) -> None:
    await word_lists.put(conn, list_id, fact)
    key = f"word_list:{list_id}"
    await intake.parts.outbox.publish(conn, [Draft(key=key, data=fact, cause=f"{key}:{fact.version}")], await clock(conn))


async def _told(intake: Intake) -> None:
    intake.parts.outbox.wake.set()
    await intake.acceptor.words.refresh()


def _shown(stored: WordListConfigured) -> WordListShown:
    return WordListShown(
        id=stored.id,
        version=stored.version,
        effective_from=stored.effective_from,
        position=stored.position,
        words=stored.words,
        topic=stored.topic,
        product=stored.product,
        priority=stored.priority,
        tags=stored.tags,
    )
