"""One order a line from the test, and what comes of it a line each: `event 3`, `end`, `raised APIError: why`."""

import sys


def say(*words):
    print(*words, flush=True)


def name(error):
    """The classes of an exception below the language's own, nearest first."""
    return "/".join(kind.__name__ for kind in type(error).__mro__ if kind.__module__ != "builtins") or type(error).__name__


def obey(orders):
    """Does what is asked for until nothing more is; whatever a program's author would see as an exception is told."""
    say("ready")
    for line in sys.stdin:
        order, *words = line.split()
        try:
            say("end", orders[order](*words))
        except Exception as error:
            say("raised", f"{name(error)}: {error}".replace("\n", " "))
