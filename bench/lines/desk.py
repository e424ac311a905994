"""Lists and searches of a desk that holds a million tickets, over HTTP: what people wait for when they look for something."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

import httpx

from bench.archive import LANGUAGES, ORDERS, fill, order_of, text_of
from bench.figures import Column, Goal, Line, Repeat, lines, percentile
from bench.interleave import quick, repeated
from bench.progress import tell
from bench.world import BenchFailed, world
from deploy.local.ports import HOST, free_ports
from services.desk.settings import DeskSettings
from shared.service import resources
from simulator.texts import WORDINGS

NAME = "desk"
TICKETS, QUICK_TICKETS = 1_000_000, 50_000
AT_ONCE = 4  # people who ask at the same time
ASKED, QUICK_ASKED = 200, 40  # of each kind in a repeat
AT_MOST_SECONDS = 240.0
GOAL = Goal("value", "at most", 250.0)
PAGES = 5  # a page of each list that is further down is this one
# What consoles ask for: all of it by what changed last, and by what is filtered.
LISTS = (
    "",
    "sort=opened",
    "sort=priority",
    "sort=due",
    "status=new&status=open&queue_id=q3",
    "status=open&owner=a11",
    "owner=a11",
    "owner=none&status=new",
    "queue_id=q3",
    "channel=chat&language=ar",
    "tag=tag9",
    "vip=true&plan=gold",
    "customer_id=c77",
    "breached=true",
    "topic=topic13&status=closed&priority=4",
    "spam=only",
)


@dataclass(frozen=True, slots=True)
class Desk:
    """A running desk, and how many tickets it holds."""

    http: httpx.AsyncClient
    tickets: int

    async def asked(self, paths: Sequence[str]) -> list[float]:
        """Ask for all of these, a few at a time. Returns how long each took, in milliseconds. Raises BenchFailed."""
        took, left = [], list(reversed(paths))

        async def person() -> None:
            while left:
                path = left.pop()
                began = time.perf_counter()
                answer = await self.http.get(path)
                took.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise BenchFailed(f"{path} was answered with {answer.status_code}: {answer.text[:200]}")

        await asyncio.gather(*(person() for _ in range(AT_ONCE)))
        return took

    async def found(self, paths: Sequence[str]) -> None:
        """Ask for each of these once. Raises BenchFailed for one that finds nothing: what it takes would say nothing."""
        for path in paths:
            answer = await self.http.get(path)
            if answer.status_code != 200 or not answer.json()["items"]:
                raise BenchFailed(f"{path} finds nothing, it was answered with {answer.status_code}: {answer.text[:200]}")

    async def slowest(self, paths: Sequence[str]) -> str:
        """Which of these takes longest, asked once more each."""
        took = [(await self.asked([path]))[0] for path in paths]
        worst = max(range(len(paths)), key=took.__getitem__)
        return f"{paths[worst]}: {took[worst]:.0f} ms"


async def run() -> list[Line]:
    """Measure."""
    async with _desk() as desk:
        firsts = [f"/v1/desk/tickets?{query}" for query in LISTS]
        kinds = {"list": firsts, "page": await _further(desk, firsts)}
        kinds |= {language: _searches(language, desk.tickets) for language in LANGUAGES}
        kinds["rare"] = [f"/v1/desk/search?q={order_of(n)}" for n in range(10, ORDERS, ORDERS // 50 + 1)]  # none is spam
        for paths in kinds.values():
            await desk.found(paths)
        repeats = await repeated("lists and searches", lambda: _measured(desk, kinds), AT_MOST_SECONDS)
        for kind, paths in kinds.items():
            tell(f"slowest of {kind}: {await desk.slowest(paths)}")
    what = {
        "list": f"first pages of {len(LISTS)} lists and filters",
        "page": f"their pages {PAGES} further down",
        **{language: f"searches for words of all frequencies, in {language}" for language in LANGUAGES},
        "rare": "searches for an order's number",
    }
    columns = [
        Column(f"{kind} {name}", f"{desk.tickets:,} tickets: {what[kind]}, {name}", "ms", (GOAL,) if name == "p99" else ())
        for kind in kinds
        for name in ("p50", "p99")
    ]
    return lines(NAME, columns, repeats)


async def _measured(desk: Desk, kinds: dict[str, list[str]]) -> Repeat:
    found: dict[str, float] = {}
    for kind, paths in kinds.items():
        chosen = Random(f"{kind}").choices(paths, k=QUICK_ASKED if quick() else ASKED)
        took = await desk.asked(chosen)
        found |= {f"{kind} p50": percentile(took, 0.5), f"{kind} p99": percentile(took, 0.99)}
    return found


async def _further(desk: Desk, firsts: Sequence[str]) -> list[str]:
    """Some pages further down each list that has them."""
    found = []
    for first in firsts:
        path = first
        for _ in range(PAGES):
            cursor = (await desk.http.get(path)).json()["next_cursor"]
            path = f"{first}&cursor={cursor}" if cursor is not None else path
        found.append(path)
    return found


def _searches(language: str, tickets: int) -> list[str]:
    """For single words as customers write them, some of which stand on every tenth ticket; for two of one text; for one with the
    number of the order that it is about; with a filter, in a queue whose tickets are in this language.
    """
    wording, random, nth = WORDINGS[language], Random(language), LANGUAGES.index(language)
    words = sorted({word for _, text in wording.openings for word in _plain(text)})
    pairs = [" ".join(random.sample([w for w in text.split() if w.isalpha()], 2)) for _, text in wording.openings]
    names = [name for name, _ in wording.names]
    about = [40 * random.randrange(1, tickets // 40) + nth for _ in range(10)]  # tickets in this language, none of them spam
    numbered = [f"{random.choice(_plain(text_of(n).text))} {order_of(n)}" for n in about]
    asked = [*words, *pairs, *names, *numbered]
    return [str(httpx.URL("/v1/desk/search", params={"q": q})) for q in asked] + [
        str(httpx.URL("/v1/desk/search", params={"q": q, "status": "open", "queue_id": f"q{nth + 4}"})) for q in words[:10]
    ]


def _plain(text: str) -> list[str]:
    return [word for word in text.split() if word.isalpha() and len(word) > 2]


@asynccontextmanager
async def _desk() -> AsyncIterator[Desk]:
    """A desk process over so many tickets."""
    tickets = QUICK_TICKETS if quick() else TICKETS
    async with world() as here:
        await here.topics()
        url = await here.database(("auth", "keys", "desk"))
        async with resources("desk", DeskSettings.model_validate(here.settings(url).model_dump())) as parts:
            await fill(parts, url, tickets)
        key = await here.api_key(url, "rina", "supervisor")
        [port] = free_ports(1)
        child = here.spawn("desk", "services.desk", database=url, PATCHBAY_DESK_PORT=str(port))
        await here.ready(child, port)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", headers=headers, timeout=30, trust_env=False) as http:
            yield Desk(http, tickets)
