"""A program that makes gRPC calls with the official library; messages are octets, so nothing is generated."""

import os
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orders import obey, say

host, port = os.environ["FRONT"].rsplit(":", 1)
trusted = Path(os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"]).read_bytes()
# The library asks DNS by itself; here the name is at this address.
channel = grpc.secure_channel(
    f"ipv4:127.0.0.1:{port}",
    grpc.ssl_channel_credentials(trusted),
    options=[("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)],
)


def say_it(text, timeout="10", late_ms="0"):
    say_unary = channel.unary_unary("/anyfront.lab.Echo/Say")
    answer, call = say_unary.with_call(text.encode(), timeout=float(timeout), metadata=[("x-lab-late-ms", late_ms)])
    return answer.decode(), dict(call.initial_metadata())["x-anyfront-region"]


def count(to):
    call = channel.unary_stream("/anyfront.lab.Echo/Count")(to.encode(), timeout=60)
    for number in call:
        say("event", number.decode())
    return call.code().name


def health():
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


obey({"say": lambda *words: " ".join(say_it(*words)), "count": count, "health": health})
