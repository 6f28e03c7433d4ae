"""A program that uses MCP tools with the official SDK, and starts a session anew when its own is gone, as the SDK says."""

import asyncio
import os
import sys

from mcp import Client, MCPError

from orders import obey, say


async def work(name):
    """Calls the tool again and again, once for each line; a lost session is told and replaced."""
    url = f"https://{os.environ['FRONT']}/mcp"
    calls = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(calls), sys.stdin)
    while True:
        async with Client(url, mode=sys.argv[1]) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            say("session", client.protocol_version, *tools)
            while line := (await calls.readline()).decode().split():
                try:
                    result = await client.call_tool(name, {"text": line[0]})
                    say("called", result.content[0].text)
                except MCPError as error:
                    say("lost", error)
                    break
            else:
                return "done"


obey({"work": lambda name: asyncio.run(work(name))})
