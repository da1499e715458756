"""What /openapi.json says of a served folder: its fields with kinds, examples and limits; its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapsto.serve.limits import Limits
from mapsto.serve.requests import TABLES

PROBLEM = {"type": "object", "properties": {"problem": {"type": "string"}}, "required": ["problem"]}
REFUSALS = {
    401: "the token lacks or is wrong",
    408: "the body did not come in time",
    413: "more bytes or rows than one request may have",
    415: "a body of another kind",
    422: "what cannot be answered: what was expected, and what came",
    429: "too many requests are at work; Retry-After says when to come back",
    503: "no worker was ready in time, two ended with this request, or it took too long",
}


def refusals() -> dict[int | str, dict[str, Any]]:
    return {
        status: {"description": said, "content": {"application/json": {"schema": PROBLEM}}}
        for status, said in REFUSALS.items()
    }


def row_schema(description: Mapping[str, Any]) -> dict[str, Any]:
    inputs = description["inputs"]
    return {
        "type": "object",
        "properties": {one["name"]: one["schema"] for one in inputs},
        "required": [one["name"] for one in inputs],
    }


def asked_rows(description: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The body of a request for answers."""
    row = row_schema(description)
    files = {
        one["name"]: {"type": "string", "format": "binary"}
        if one["schema"].get("contentEncoding")
        else {"type": "string", "description": one["schema"].get("description", "")}
        for one in description["inputs"]
    }
    several = {"type": "array", "items": row, "maxItems": limits.most_rows}
    content: dict[str, Any] = {
        "application/json": {"schema": {"oneOf": [row, several]}},
        "multipart/form-data": {"schema": {"type": "object", "properties": files}},
    }
    content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TABLES}
    return {"requestBody": {"required": True, "content": content}}


def told_rows(description: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    answer = {"type": "object", "properties": {name: {} for name in description["columns"]}}
    both = {"oneOf": [answer, {"type": "array", "items": answer}]}
    said = "an answer to one row; to several a list, in which a row that cannot be read has a problem"
    found = {"description": said, "content": {"application/json": {"schema": both}, "text/csv": {}}}
    return {200: found, **refusals()}


def asked_row(description: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"schema": row_schema(description)}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}


def asked_feedback(description: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request that tells the right answer."""
    right = {"type": "object", "properties": {one["name"]: {} for one in description["outputs"]}}
    properties = {
        "row": row_schema(description),
        "right": {**right, "description": "the right answers, by output"},
        "thumb": {"enum": ["up", "down"], "description": "instead of right: was the answer right?"},
        "answer": {"type": "object", "description": "with thumb: the answer that was given"},
    }
    schema = {"type": "object", "properties": properties, "required": ["row"]}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def asked_text(description: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a request for a text that is written."""
    message = {
        "type": "object",
        "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
        "required": ["role", "content"],
    }
    talks = description["writes"] == "talk"
    name = "messages" if talks else "prompt"
    properties = {
        name: {"type": "array", "items": message} if talks else {"type": "string"},
        "tokens": {"type": "integer", "minimum": 1},
        "temperature": {"type": "number", "minimum": 0},
        "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "seed": {"type": "integer", "minimum": 0},
        "stream": {"type": "boolean", "default": False},
    }
    schema = {"type": "object", "properties": properties, "required": [name] * talks}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
