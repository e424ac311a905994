"""aiokafka's connections under the services' event loop."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

import shared.kafka  # noqa: F401 - it makes aiokafka and uvloop agree
from deploy.local.ports import HOST


async def _ask_over_a_connection_that_was_just_cut() -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(4)
        asked.set()

    server = await asyncio.start_server(silent, HOST, 0)
    connection = AIOKafkaConnection(HOST, server.sockets[0].getsockname()[1])
    connecting = asyncio.create_task(connection.connect())
    await asked.wait()
    connection._writer.transport.abort()
    await asyncio.sleep(0)  # the loop knows of it, aiokafka's reader not yet
    try:
        await connection.send(ApiVersionRequest())
    finally:
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        server.close()


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_request_over_a_connection_that_was_just_cut_says_so_in_kafka_s_words(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(KafkaConnectionError):
        runner.run(_ask_over_a_connection_that_was_just_cut())
