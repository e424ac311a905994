"""The HTTP edge of sla: parse, call, answer."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncEngine

from services.sla.api import configuring, reading
from shared.outbox import Outbox


def make_router(engine: AsyncEngine, outbox: Outbox) -> APIRouter:
    """All routes of the service."""
    router = APIRouter()
    router.include_router(configuring.make_router(engine, outbox))
    router.include_router(reading.make_router(engine))
    return router
