"""What our own mail server found out about who sent a mail. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

Result = Literal["none", "pass", "fail"]
Policy = Literal["none", "quarantine", "reject"]


class Authentication(msgspec.Struct, frozen=True):
    """The results of SPF, DKIM and DMARC as a server of ours wrote them down, `by` its name; empty where none did.

    `proven`: the domain of the sender's address stands behind the mail. `policy` is what that domain wants done with mail that
    fails DMARC.
    """

    by: str = ""
    spf: Result = "none"
    dkim: Result = "none"
    dmarc: Result = "none"
    policy: Policy = "none"
    proven: bool = False

    @property
    def disowned(self) -> bool:
        """The domain says that such a mail is none of its own and is not to be delivered as one."""
        return self.dmarc == "fail" and self.policy != "none"


NOT_TOLD = Authentication()


def covers(domain: str, sender_domain: str) -> bool:
    """Whether who controls `domain` speaks for the sender's: the same, or above it. One below it may be anybody's."""
    return bool(domain) and (sender_domain == domain or sender_domain.endswith("." + domain))
