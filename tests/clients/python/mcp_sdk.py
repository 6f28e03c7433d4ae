"""A program that calls the tools of an MCP server with the official SDK."""

import os
import sys
from contextlib import AsyncExitStack

from mcp import Client

from orders import obey, say

opened = AsyncExitStack()
client = None


async def open():
    """Begins anew, as is to be done when a session is lost."""
    global client
    if client:
        await opened.aclose()
    client = await opened.enter_async_context(Client(f"https://{os.environ['FRONT']}/mcp", mode=sys.argv[1]))
    return client.protocol_version


async def call(tool):
    return (await client.call_tool(tool, {})).content[0].text


async def slow(steps):
    async def told(progress, total, message):
        say("event", int(progress))

    return (await client.call_tool("slow", {"steps": int(steps)}, progress_callback=told)).content[0].text


async def tools():
    return " ".join(tool.name for tool in (await client.list_tools()).tools)


obey({"open": open, "call": call, "slow": slow, "tools": tools})
