"""A program that uses the official SDK with all its defaults. The address and the key are in the environment."""

import sys

import openai

from orders import obey, say

client = openai.OpenAI(http_client=openai.DefaultHttpxClient(http2=True) if sys.argv[1] == "h2" else None)
greeting = [{"role": "user", "content": "Good morning"}]


def stream(tokens, cut_at=None):
    text = ""
    completion = client.chat.completions.create(
        model="lab-small",
        messages=greeting,
        max_tokens=int(tokens),
        stream=True,
        extra_headers={"x-lab-cut-at": cut_at} if cut_at else None,
    )
    for count, chunk in enumerate(completion, 1):
        text += chunk.choices[0].delta.content or ""
        say("event", count)
    return text


def whole():
    return client.chat.completions.create(model="lab-small", messages=greeting).choices[0].message.content


def large(size):
    message = [{"role": "user", "content": "x" * int(size)}]
    completion = client.chat.completions.create(model="lab-small", messages=message, max_tokens=5)
    return completion.choices[0].message.content


def embed():
    return len(client.embeddings.create(model="lab-small", input=["one", "two"]).data)


def models():
    return " ".join(model.id for model in client.models.list())


obey({"stream": stream, "whole": whole, "large": large, "embed": embed, "models": models})
