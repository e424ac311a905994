"""What our own mail server found out about who sent a mail. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

Result = Literal["none", "pass", "fail"]
Policy = Literal["none", "quarantine", "reject"]


class Authentication(msgspec.Struct, frozen=True):
    """The results of SPF, DKIM and DMARC as a server of ours wrote them down, `by` its name; empty where none did.

    `proven`: the domain of the sender's address stands behind the mail. `policy` is what that domain wants done with mail that
    fails DMARC. `of_another`: the results are about a list, and the sender's address is one that the list names.
    """

    by: str = ""
    spf: Result = "none"
    dkim: Result = "none"
    dmarc: Result = "none"
    policy: Policy = "none"
    proven: bool = False
    of_another: bool = False

    @property
    def disowned(self) -> bool:
        """The domain says that such a mail is none of its own and is not to be delivered as one."""
        return self.dmarc == "fail" and self.policy != "none"


NOT_TOLD = Authentication()


def of_another(told: Authentication, *, is_ours: bool) -> Authentication:
    """What was found out about a mail of a list, for the writer whom the list names: it proves nothing about them. A list at an
    address of ours (`is_ours`), which the mail is proven to come from, is believed as mail is that nobody looked at.
    """
    return replace(told, proven=False, of_another=not (is_ours and told.proven))


def covers(domain: str, sender_domain: str) -> bool:
    """Whether who controls `domain` speaks for the sender's: the same, or above it. One below it may be anybody's."""
    return bool(domain) and (sender_domain == domain or sender_domain.endswith("." + domain))
