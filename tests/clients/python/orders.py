"""One order a line from the test, and what comes of it a line each: `event 3`, `end`, `raised APIError: why`."""

import asyncio
import inspect
import sys


def say(*words):
    print(*words, flush=True)


def name(error):
    """The classes of an exception below the language's own, nearest first."""
    return "/".join(kind.__name__ for kind in type(error).__mro__ if kind.__module__ != "builtins") or type(error).__name__


async def obey_all(orders):
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        order, *words = line.split()
        try:
            came = orders[order](*words)
            say("end", await came if inspect.isawaitable(came) else came)
        except Exception as error:
            say("raised", f"{name(error)}: {error}".replace("\n", " "))


def obey(orders):
    """Does what is asked for until nothing more is; whatever a program's author would see as an exception is told."""
    asyncio.run(obey_all(orders))
