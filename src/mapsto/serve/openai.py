"""Writing as OpenAI's clients ask for it: /v1/models, /v1/completions, /v1/chat/completions."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from mapsto.errors import MapstoError, did_you_mean
from mapsto.serve.limits import Refused
from mapsto.serve.service import Service

OPTIONS = {
    "max_tokens": "tokens",
    "max_completion_tokens": "tokens",
    "temperature": "temperature",
    "top_p": "top_p",
}


def add(app: FastAPI, services: Mapping[str, Service]) -> None:
    """The addresses, where anything served writes."""
    writing = {name: one for name, one in services.items() if one.current.description["writes"]}
    if not writing:
        return

    @app.get("/v1/models", summary="What writes, by name")
    async def models() -> dict[str, Any]:
        each = [{"id": name, "object": "model", "created": 0, "owned_by": "mapsto"} for name in writing]
        return {"object": "list", "data": each}

    @app.post("/v1/completions", summary="A text that goes on, as OpenAI's clients ask")
    async def completions(request: Request) -> Response:
        return await _answered(request, writing, Text)

    @app.post("/v1/chat/completions", summary="An answer to a conversation, as OpenAI's clients ask")
    async def chat(request: Request) -> Response:
        return await _answered(request, writing, Chat)


class Text:
    """How a completion is told."""

    wants, object, part = "prose", "text_completion", "text_completion"

    @staticmethod
    def begins(asked: Mapping[str, Any]) -> dict[str, Any]:
        prompt = asked.get("prompt") or ""
        prompt = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
        if not isinstance(prompt, str):
            raise Refused(422, "prompt: expected one text.")
        return {"prompt": prompt}

    @staticmethod
    def choice(text: str, end: str | None, whole: bool) -> dict[str, Any]:
        return {"index": 0, "text": text, "finish_reason": end, "logprobs": None}


class Chat(Text):
    wants, object, part = "talk", "chat.completion", "chat.completion.chunk"

    @staticmethod
    def begins(asked: Mapping[str, Any]) -> dict[str, Any]:
        messages = asked.get("messages")
        if not isinstance(messages, list) or not messages:
            raise Refused(422, 'messages: expected [{"role": "user", "content": "…"}, …].')
        return {"messages": messages}

    @staticmethod
    def choice(text: str, end: str | None, whole: bool) -> dict[str, Any]:
        said = {"role": "assistant", "content": text} if whole or text else {}
        return {"index": 0, "message" if whole else "delta": said, "finish_reason": end}


async def _answered(request: Request, writing: Mapping[str, Service], kind: type[Text]) -> Response:
    try:
        asked = json.loads(await request.body())
        if not isinstance(asked, dict):
            raise Refused(422, "expected a JSON object.")
        service = _service(writing, str(asked.get("model", "")), kind)
        how = {**kind.begins(asked), **_options(asked)}
        head = {"id": f"mapsto-{uuid.uuid4().hex[:24]}", "created": int(time.time()), "model": service.name}
        if asked.get("stream"):

            def part(text: str | None) -> dict[str, Any]:
                choice = kind.choice(text or "", "stop" if text is None else None, False)
                return {**head, "object": kind.part, "choices": [choice]}

            return StreamingResponse(
                await events(service, how, part, "[DONE]"), media_type="text/event-stream"
            )
        async with service.visit() as visit:
            pieces = [piece async for piece in visit.write(how)]
        end = "length" if len(pieces) > how.get("tokens", 256) else "stop"
        choice = kind.choice("".join(pieces), end, True)
        return JSONResponse({**head, "object": kind.object, "choices": [choice]})
    except (MapstoError, ValueError, RecursionError) as problem:
        status = problem.status if isinstance(problem, Refused) else 400
        error = {"message": str(problem), "type": "invalid_request_error", "param": None, "code": None}
        headers = (
            {"Retry-After": str(problem.seconds)} if isinstance(problem, Refused) and problem.seconds else {}
        )
        return JSONResponse({"error": error}, 400 if status == 422 else status, headers)


def _service(writing: Mapping[str, Service], model: str, kind: type[Text]) -> Service:
    """Refused (404): no such name, or it writes otherwise."""
    fitting = [name for name, one in writing.items() if one.current.description["writes"] == kind.wants]
    if model not in fitting:
        raise Refused(404, f"model '{model[:80]}' does not write so.\n{did_you_mean(model, fitting)}")
    return writing[model]


def _options(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are known; a text to stop before, and a seed. What would change the answer otherwise is
    refused."""
    if asked.get("n") not in (None, 1):
        raise Refused(422, "n: one answer at a time.")
    how = {ours: asked[name] for name, ours in OPTIONS.items() if asked.get(name) is not None}
    how |= {"seed": asked["seed"]} if asked.get("seed") is not None else {}
    stop = asked.get("stop")
    if isinstance(stop, list):
        if len(stop) > 1:
            raise Refused(422, "stop: expected one text.")
        stop = stop[0] if stop else None
    return how | ({"stop": stop} if stop else {})


async def events(
    service: Service, asked: Mapping[str, Any], part: Callable[[str | None], dict[str, Any]], last: str = ""
) -> AsyncIterator[str]:
    """Server-sent events, one for each piece; `part` puts it in words, None being the end. What is wrong with
    what was asked is raised before anything is sent."""
    pieces = _pieces(service, asked)
    first = await anext(pieces, None)

    async def told() -> AsyncIterator[str]:
        try:
            if first is not None:
                yield _event(part(first))
                async for piece in pieces:
                    if piece:
                        yield _event(part(piece))
            yield _event(part(None))
            if last:
                yield f"data: {last}\n\n"
        except MapstoError as problem:  # the worker ended midway: the status is sent already
            yield _event({"error": {"message": str(problem)}})
        finally:
            await pieces.aclose()

    return told()


async def _pieces(service: Service, asked: Mapping[str, Any]) -> AsyncGenerator[str]:
    async with service.visit() as visit:
        async for piece in visit.write(asked):
            yield piece


def _event(record: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(record)}\n\n"
