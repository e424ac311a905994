"""Makes ready what the services need: schemas, topics, demo keys. Run once before they start: `python -m deploy.setup`.

Prints one JSON object on the last line of standard output: the topics and the demo keys, for the supervisor's table.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from pathlib import Path

import asyncpg
from sqlalchemy.exc import DBAPIError

from shared import auth, db, kafka, passwords, people
from shared.events.topics import TOPICS
from shared.people import Person
from shared.personal import KeyRing, WrongMasterKey
from shared.settings import Settings, read

SCHEMAS = ("auth", "keys", "intake", "routing", "sla", "metrics", "desk")
# Agents of the demonstration, in the four languages, and who looks after them; each with a password of its own.
DEMO_PEOPLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "dana": ("דנה", ("agent:dana",)),
    "omar": ("عمر", ("agent:omar",)),
    "ioana": ("Ioana", ("agent:ioana",)),
    "emma": ("Emma", ("agent:emma",)),
    "rina": ("רינה", ("supervisor", "ops:read")),
}
KEYS_FILE, PEOPLE_FILE = "demo-keys.json", "demo-people.json"
DEMO_KEYS: dict[str, tuple[str, ...]] = {
    "channels": ("intake:write",),
    "dana": ("agent:dana",),
    "omar": ("agent:omar",),
    "supervisor": ("supervisor", "ops:read"),
    "operations": ("ops:read",),
    "admin": ("admin",),
}


def migrate(url: str) -> None:
    """Bring every schema of the database to its newest revision (blocking; safe to run twice and side by side)."""
    for schema in SCHEMAS:
        db.migrate(url, schema)


async def check_master_key(settings: Settings) -> None:
    """Raises WrongMasterKey when customers' keys are here and the master key does not open them; SettingsError, DatabaseAway."""
    engine = db.make_engine(settings, "setup")
    try:
        async with db.transaction(engine) as conn:
            await KeyRing.of(settings.master_keys()).check_master_key(conn)
    finally:
        await engine.dispose()


async def demo_keys(settings: Settings, folder: Path) -> dict[str, str]:
    """The demo roles' API keys: made once, kept in a file of the secrets' folder that only its owner can read."""
    known = _kept(folder, KEYS_FILE)
    if known and await _still_valid(settings, known):
        return known
    engine = db.make_engine(settings, "setup")
    try:
        async with db.transaction(engine) as conn:
            # Names of their own, so that no key which an operator made is replaced.
            keys = {
                role: await auth.create_key(conn, f"demo-{role}", f"demo {role}", scopes) for role, scopes in DEMO_KEYS.items()
            }
    finally:
        await engine.dispose()
    _keep(folder, keys, KEYS_FILE)
    return keys


async def demo_people(settings: Settings, folder: Path) -> Path:
    """The demonstration's people, with random passwords in a file that only its owner can read. Who is there stays so."""
    known = _kept(folder, PEOPLE_FILE)
    engine = db.make_engine(settings, "setup")
    try:
        async with db.transaction(engine) as conn:
            for login, (name, scopes) in DEMO_PEOPLE.items():
                if await people.held(conn, login) is None:
                    known[login] = secrets.token_urlsafe(12)
                    person = Person(login, 1, name, None, None, scopes, disabled=False, has_password=True)
                    await people.put(conn, person, None, "setup")
                    await people.set_password(conn, login, passwords.hashed(known[login]), "setup")
            _keep(folder, known, PEOPLE_FILE)
    finally:
        await engine.dispose()
    return folder / PEOPLE_FILE


def _kept(folder: Path, name: str) -> dict[str, str]:
    file = folder / name
    return dict(json.loads(file.read_text())) if file.exists() else {}


def _keep(folder: Path, secret: dict[str, str], name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(secret, stream, indent=1)


async def _still_valid(settings: Settings, keys: dict[str, str]) -> bool:
    engine = db.make_engine(settings, "setup")
    try:
        async with db.transaction(engine) as conn:
            valid = await auth.valid_keys(conn, list(keys.values()))
    finally:
        await engine.dispose()
    return keys.keys() >= DEMO_KEYS.keys() and valid == len(keys)


async def prepare(settings: Settings, secrets_folder: Path | None) -> dict[str, object]:
    """Topics and keys. Returns what a person wants to know about them. Raises WrongMasterKey, KafkaAway, DatabaseAway."""
    await check_master_key(settings)
    made = await kafka.create_topics(settings)
    keys = await demo_keys(settings, secrets_folder) if secrets_folder is not None else {}
    shown: dict[str, object] = {"topics": [topic.name for topic in TOPICS], "topics_made": made, "keys": keys}
    if secrets_folder is not None:
        shown["people"] = {"logins": list(DEMO_PEOPLE), "file": str(await demo_people(settings, secrets_folder))}
    return shown


def main() -> None:
    """Everything, in order."""
    folder = os.environ.get("PATCHBAY_SECRETS_DIR")
    try:
        settings = read(Settings)
        settings.master_key_bytes()
        migrate(settings.database.get_secret_value())
        print(json.dumps(asyncio.run(prepare(settings, Path(folder) if folder else None))))
    except (db.DatabaseAway, OSError) as error:
        sys.exit(f"PostgreSQL cannot be used ({type(error).__name__}). Check PATCHBAY_DATABASE, and that the server runs.")
    except kafka.KafkaAway as error:
        sys.exit(f"{error}. Check PATCHBAY_KAFKA, and that the broker runs.")
    except (DBAPIError, asyncpg.PostgresError) as error:
        sys.exit(refused(error))
    except (WrongMasterKey, ValueError) as error:
        sys.exit(str(error))


def refused(error: BaseException) -> str:
    """The sentence for what PostgreSQL did not want to do."""
    state = db.sqlstate(error) or ""
    if db.is_away(error):
        return "PostgreSQL does not answer. Check PATCHBAY_DATABASE, and that the server runs."
    if state in ("42P01", "42703", "3F000"):
        return "The database lacks the tables for this. Run: patchbay migrate"
    if state == "42501":
        return (
            "The user of PATCHBAY_DATABASE may not do this in PostgreSQL (SQLSTATE 42501). Name a user who may, "
            "or have an administrator say: GRANT CREATE ON DATABASE ... TO ..."
        )
    if state.startswith(("28", "3D")):
        return f"PostgreSQL refuses the user or database of PATCHBAY_DATABASE ({state}). Correct it."
    return f"PostgreSQL refused this (SQLSTATE {state or 'unknown'}). Look into its log."


if __name__ == "__main__":
    main()
