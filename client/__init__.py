"""Patchbay's HTTP APIs as a typed, asynchronous Python client. It needs httpx and msgspec and nothing of Patchbay, so the folder
can be copied into another project as it is. docs/client.md shows how it is used.
"""

from .configuring import read_config_file, send_config_file
from .desk import Desk
from .exchange import Answer, FieldError, Json, NoAnswer, ProblemError, Request
from .intake import Intake
from .metrics import Metrics
from .paging import Page, every
from .people import session_of
from .routing import Routing
from .service import Service, Waiting, new_http
from .sla import Sla
from .streaming import StreamEvent

__all__ = [
    "Answer",
    "Desk",
    "FieldError",
    "Intake",
    "Json",
    "Metrics",
    "NoAnswer",
    "Page",
    "ProblemError",
    "Request",
    "Routing",
    "Service",
    "Sla",
    "StreamEvent",
    "Waiting",
    "every",
    "new_http",
    "read_config_file",
    "send_config_file",
    "session_of",
]
