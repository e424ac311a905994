"""The ways between the parts of one system, each through a proxy of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.local.kafka import LocalKafka
from deploy.local.ports import HOST
from tests.faults.proxy import Proxy
from tests.faults.wire import Commits, KafkaRequests, Recogniser, any_request
from tests.infra import SERVICES

TO_KAFKA = tuple(f"{service}-kafka" for service in SERVICES)
TO_POSTGRES = tuple(f"{service}-postgres" for service in SERVICES)
INWARD = ("senders-intake", "senders-smtp", "agents-routing")
OUTWARD = ("intake-mail", "intake-twilio")
NAMES = (*TO_KAFKA, *TO_POSTGRES, *INWARD, *OUTWARD)


@dataclass(slots=True)
class Links:
    """Proxies by name (`NAMES`), made as a system asks for them. `kafka` is the broker that advertises their ports."""

    kafka: LocalKafka
    seed: int
    proxies: dict[str, Proxy] = field(default_factory=dict)

    async def before(self, name: str, upstream: int, kind: Callable[[], Recogniser] = any_request, port: int = 0) -> int:
        """Put a proxy before a port. Returns its own. Raises OSError when `port` is taken."""
        proxy = self.proxies[name] = Proxy(name, upstream, self.seed, port, kind)
        await proxy.start()
        return proxy.port

    async def before_kafka(self, service: str) -> str:
        """The bootstrap address by which a service comes to the broker through its proxy."""
        listener = self.kafka.listeners[service.upper()]
        port = await self.before(f"{service}-kafka", listener.port, KafkaRequests, listener.advertised_port)
        return f"{HOST}:{port}"

    async def before_postgres(self, service: str, upstream: int) -> int:
        """The port by which a service comes to PostgreSQL."""
        return await self.before(f"{service}-postgres", upstream, Commits)

    async def heal(self) -> None:
        """Everything goes through again."""
        for proxy in self.proxies.values():
            await proxy.heal()

    async def close(self) -> None:
        """End all proxies."""
        await asyncio.gather(*(proxy.close() for proxy in self.proxies.values()))
        self.proxies.clear()
