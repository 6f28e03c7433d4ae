"""A program that uses the official SDK with all its defaults. The address and the key are in the environment."""

import sys

import openai

from orders import obey, say

client = openai.OpenAI(http_client=openai.DefaultHttpxClient(http2=True) if sys.argv[1] == "h2" else None)
greeting = [{"role": "user", "content": "Good morning"}]


def stream(tokens, **faults):
    text = ""
    completion = client.chat.completions.create(
        model="lab-small", messages=greeting, max_tokens=int(tokens), stream=True, extra_headers=faults
    )
    for count, chunk in enumerate(completion, 1):
        text += chunk.choices[0].delta.content or ""
        say("event", count)
    return text


def whole(content="Good morning", **faults):
    message = [{"role": "user", "content": content}]
    completion = client.chat.completions.create(
        model="lab-small", messages=message, max_tokens=5, extra_headers=faults
    )
    return completion.choices[0].message.content


def embed():
    return len(client.embeddings.create(model="lab-small", input=["one", "two"]).data)


def models():
    return " ".join(model.id for model in client.models.list())


def version():
    return client.models.with_raw_response.list().http_response.http_version


# What the lab shall do to this one request is said in a field of it.
late = {"x-lab-late-ms": "1000"}
obey(
    {
        "stream": stream,
        "cut_stream": lambda tokens, at: stream(tokens, **{"x-lab-cut-at": at}),
        "late_stream": lambda: stream(8, **late),
        "whole": whole,
        "late_whole": lambda: whole(**late),
        "large": lambda size: whole("x" * int(size)),
        "embed": embed,
        "models": models,
        "version": version,
    }
)
