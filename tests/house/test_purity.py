"""Domain code is a function of its arguments. The checker is checked too: what it forbids, it finds."""

from pathlib import Path

import pytest

from tests.house.purity import PROJECT, impurities, pure_files


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(PROJECT))) for path in pure_files()])
def test_pure_code_reads_no_clock_no_random_and_no_io(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\nx = time.time()",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime as d\nx = d.datetime.utcnow()",
        "import datetime\nx = datetime.date.today()",
        "from datetime import datetime as clock\nread = clock.now",
        "import random",
        "from random import choice",
        "import secrets as s",
        "import uuid\nx = uuid.uuid4()",
        "from uuid import uuid4",
        "import os.path",
        "import asyncio",
        "async def decide() -> None: ...",
        "x = open('f')",
        "def f(p):\n    return p.read_text()",
        "import urllib.request as r\nx = r.urlopen('u')",
        "from sqlalchemy.ext.asyncio import AsyncConnection",
        "import logging",
        "def f():\n    global n\n    n = 1",
        "x = hash('a')",
    ],
)
def test_the_checker_finds_what_it_forbids(source: str) -> None:
    assert impurities(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime, UTC\ndef f(now: datetime) -> datetime: return now.astimezone(UTC)",
        "def f(command): return command.now",
        "import uuid\nx = uuid.uuid5(uuid.NAMESPACE_URL, 'a')",
        "import hashlib\nx = hashlib.sha256(b'a').hexdigest()",
        "from zoneinfo import ZoneInfo\nx = ZoneInfo('Europe/Bucharest')",
    ],
)
def test_the_checker_lets_pure_code_pass(source: str) -> None:
    assert impurities(source) == []


def test_a_new_domain_file_is_found_without_being_listed(tmp_path: Path) -> None:
    (tmp_path / "services" / "new" / "domain").mkdir(parents=True)
    (tmp_path / "services" / "new" / "domain" / "rules.py").touch()
    (tmp_path / "services" / "other").mkdir()
    (tmp_path / "services" / "other" / "domain.py").touch()
    assert [path.name for path in pure_files(tmp_path)] == ["rules.py", "domain.py"]
