"""How configuration is told on `config`: in versions that count 1, 2, 3 … per `kind:id`, each said once."""

from __future__ import annotations

from typing import Protocol

from shared.events.base import Draft, Fact
from shared.events.config import ConfigRemoved, Configured, SpamRuleConfigured


class Versioned(Protocol):
    """A version, as a fact or as it is stored."""

    @property
    def version(self) -> int:
        """Its number."""


def version_after(before: Versioned | None) -> int:
    """The number of the version after this one; the first where there was none. A removal is a version too."""
    return before.version + 1 if before is not None else 1


def version_said(kind: str, config_id: str, fact: Configured | SpamRuleConfigured | ConfigRemoved) -> Draft[Fact]:
    """A version as it goes out: however often it is decided, it is one event."""
    key = f"{kind}:{config_id}"
    return Draft(key=key, data=fact, cause=f"{key}:{fact.version}")
