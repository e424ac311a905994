"""Prints the services' OpenAPI documents into docs/generated/: `python -m deploy.openapi [--check]`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from fastapi import APIRouter, FastAPI

from services.intake.__main__ import PARTS as INTAKE_PARTS
from services.metrics.api import make_router as metrics_router
from services.metrics.live import Live
from services.routing.__main__ import PARTS as ROUTING_PARTS
from services.sla.api import make_router as sla_router
from shared import db
from shared.http import create_app
from shared.outbox import Outbox
from shared.personal import KeyRing
from shared.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "generated"


@cache
def documents() -> dict[str, str]:
    """File name → document of each service. Nothing is connected to."""
    engine = db.make_engine(Settings(), "openapi")
    outbox = Outbox(schema="sla", incarnation=1, keys=KeyRing(bytes(32)), wake=asyncio.Event())
    routers: Mapping[str, tuple[APIRouter, ...]] = {
        "intake": tuple(module.router for module in INTAKE_PARTS),
        "routing": tuple(module.router for module in ROUTING_PARTS),
        "sla": (sla_router(engine, outbox),),
        "metrics": (metrics_router(engine, Live(engine), ZoneInfo("UTC")),),
    }
    return {f"openapi-{name}.json": _document(name, parts) for name, parts in routers.items()}


def _document(name: str, routers: tuple[APIRouter, ...]) -> str:
    app: FastAPI = create_app(name, f"Patchbay {name}", _never)
    for router in routers:
        app.include_router(router)
    return rendered(app.openapi())


def rendered(document: Mapping[str, object]) -> str:
    """A document as it stands in docs/generated/."""
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


async def _never() -> str | None:
    return "only printed"


def stale(folder: Path = FOLDER) -> list[str]:
    """The documents in `folder` that are not what the code would print."""
    return [
        name
        for name, text in documents().items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != text
    ]


def main() -> None:
    """Print, or with --check only compare (exit code 1 when something is stale)."""
    if "--check" in sys.argv[1:]:
        if old := stale():
            sys.exit(f"Not what the code says: {', '.join(old)}. Run: python -m deploy.openapi")
        return
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
