"""How far the log of tickets goes: what has to be read before a timer may believe what it sees."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared import kafka
from shared.deadlines import within
from shared.events.topics import TICKETS
from shared.settings import Settings, SettingsError

ASK_SECONDS = 2.0


@dataclass(slots=True)
class LogEnds:
    """Asks the broker, with a client of its own that reads nothing; after a failure with a new one."""

    settings: Settings
    _client: AIOKafkaConsumer | None = None

    async def ask(self) -> dict[int, int] | None:
        """The end offset of each partition of `tickets`, None when the broker does not say. Raises SettingsError."""
        try:
            client = self._client or await self._started()
            places = [TopicPartition(TICKETS.name, partition) for partition in range(self.settings.partitions)]
            ends = await within(client.end_offsets(places), ASK_SECONDS)
        except (KafkaError, kafka.KafkaAway, TimeoutError, OSError):
            await self.close()
            return None
        return {place.partition: end for place, end in ends.items()}

    async def close(self) -> None:
        """Let go of the client."""
        if self._client is not None:
            client, self._client = self._client, None
            await kafka.stop(client)

    async def _started(self) -> AIOKafkaConsumer:
        self._client = await kafka.start_consumer(self.settings, "sla-ends", (), group=None)
        # Asking for an offset makes the client learn of the topic, and so of how many partitions there are.
        await within(self._client.end_offsets([TopicPartition(TICKETS.name, 0)]), ASK_SECONDS)
        partitions = self._client.partitions_for_topic(TICKETS.name) or frozenset()
        if len(partitions) != self.settings.partitions:
            raise SettingsError(
                f"PATCHBAY_PARTITIONS is {self.settings.partitions}, but the topic '{TICKETS.name}' has {len(partitions)} "
                f"partitions. Set it to {len(partitions)}."
            )
        return self._client
