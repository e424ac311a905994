"""Links when the secret that signs them is changed: those that customers have stay good as long as the old secret is listed."""

from __future__ import annotations

import base64

import httpx
import pytest

from tests.services.intake.test_edge import submit
from tests.services.intake.world import process

NEW, NEWER = (base64.b64encode(letter * 32).decode() for letter in (b"n", b"o"))


async def looked_at(database: str, secrets: str, path: str) -> int:
    async with process(database, intake_signing_secrets=secrets) as world:
        return (await world.http.get(path)).status_code


@pytest.mark.parametrize(
    ("before", "listed", "status"),
    [
        ("", f"{NEW},derived", 200),  # the first time
        ("", NEW, 404),
        (f"{NEW},derived", f"{NEWER},{NEW},derived", 200),
        (f"{NEW},derived", f"{NEWER},{NEW}", 200),
        (NEW, NEWER, 404),
        (f"{NEW},{NEWER}", NEWER, 404),  # the first signs
    ],
)
async def test_a_link_is_good_as_long_as_what_signed_it_is_listed(database: str, before: str, listed: str, status: int) -> None:
    async with process(database, intake_signing_secrets=before) as world:
        link = httpx.URL((await submit(world)).json()["status_url"]).path
    assert await looked_at(database, listed, link) == status
    changed = link[:-2] + ("b" if link[-2] != "b" else "c") + link[-1]
    assert await looked_at(database, listed, changed) == 404


async def test_every_way_of_a_process_signs_with_the_first(database: str) -> None:
    async with process(database, intake_signing_secrets=f"{NEW},derived") as world:
        assert {world.signer.loop_mark(), world.intake.signer.loop_mark(), world.sender.signer.loop_mark()} == {
            world.settings.signer().loop_mark()
        }
        token = (await world.http.get("/v1/forms/contact/token")).json()["token"]
    async with process(database, intake_signing_secrets=NEW) as world:
        assert world.signer.read_form_token("contact", token) is not None
    async with process(database) as world:
        assert world.signer.read_form_token("contact", token) is None
