"""A program that makes gRPC calls with the official library: messages are octets, nothing is generated."""

import os

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from orders import obey, say

host, port = os.environ["FRONT"].rsplit(":", 1)
channel = grpc.secure_channel(
    f"ipv4:127.0.0.1:{port}",
    grpc.ssl_channel_credentials(open(os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"], "rb").read()),
    options=[("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)],
)
say_ = channel.unary_unary("/anyfront.lab.Echo/Say")
count_ = channel.unary_stream("/anyfront.lab.Echo/Count")


def unary(text, timeout="10"):
    answer, call = say_.with_call(text.encode(), timeout=float(timeout))
    return answer.decode(), dict(call.initial_metadata()).get("x-anyfront-region")


def count(events, timeout="30"):
    call = count_(events.encode(), timeout=float(timeout))
    for number, _ in enumerate(call, 1):
        say("event", number)
    return call.code().name


def health(service=""):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


obey({"unary": lambda *words: " ".join(map(str, unary(*words))), "count": count, "health": health})
