"""What a customer's machine has and this one has not: the names of the fleet, all at the node. Loaded by Python itself."""

import socket

ask = socket.getaddrinfo


def getaddrinfo(host, *rest, **more):
    if isinstance(host, bytes):
        host = host.decode()
    return ask("127.0.0.1" if (host or "").endswith(".gateway.truefoundry.ai") else host, *rest, **more)


socket.getaddrinfo = getaddrinfo
