"""A program that keeps a WebSocket open (the websockets library, asyncio) and says how it closes."""

import os

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from orders import obey, say


async def talk():
    async with connect(f"wss://{os.environ['FRONT']}/ws", compression=None) as socket:
        for text in ["one", "two", "x" * 100_000]:
            await socket.send(text)
            assert await socket.recv() == text
        say("echoed")
        try:
            await socket.recv()
        except ConnectionClosed:
            return f"closed {socket.close_code} {socket.close_reason or ''}"


obey({"talk": talk})
