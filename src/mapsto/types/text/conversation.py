"""Conversations: messages checked, written as tokens with marks that no text can be read as, and cut to what
a net reads at once.

    <start> <system> be brief <end> <user> hello <end> <assistant> good day <end>

A mark is a token number of its own (`mapsto.types.text.tokenizers`), and tokenizers never write one: whatever
a message holds is content. The assistant's words and the mark that ends them are learned, everything else is
given. An encoded token is 2 · number + (is it learned?).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from mapsto.cells import is_missing, shorten, sound
from mapsto.errors import CellError, did_you_mean
from mapsto.types.text.tokenizers import ASSISTANT, END, START, SYSTEM, TOOL, USER, token_numbers

ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}
ALIASES = {"human": "user", "gpt": "assistant", "developer": "system"}  # as ShareGPT and OpenAI write them
KEYS = (("role", "content"), ("from", "value"))
BEHIND = {
    "system": (None,),
    "user": (None, "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}

Messages = tuple[tuple[str, str], ...]  # (role, content) each


def messages_of(cell: Any, role: str = "user") -> Messages | None:
    """A cell's messages, checked; None when it is missing. role: of a cell that is a plain text. CellError:
    no conversation, an unknown role, an empty message, messages out of order."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):  # a text that begins with a bracket
            cell = json.loads(cell)
    if isinstance(cell, np.ndarray) and cell.ndim == 1:
        cell = cell.tolist()
    if isinstance(cell, str) and not is_missing(cell):
        return ((role, sound(cell)),)
    if not isinstance(cell, (list, tuple, Mapping)) and is_missing(cell):
        return None
    if not isinstance(cell, (list, tuple)):
        raise CellError(
            f'expected messages, [{{"role": "user", "content": "…"}}, …], got {type(cell).__name__}'
            f" {shorten(cell)}.\nWrite them so, or leave the row out."
        )
    if not cell:
        raise CellError("the conversation is empty.\nPut messages into it, or leave the row out.")
    found = tuple(_message(message, number) for number, message in enumerate(cell, 1))
    return found


def in_order(messages: Messages, before: str | None = None) -> Messages:
    """The messages, where each may follow the one before it: a system message first if any, then user and
    assistant in turns, tools behind the assistant. before: the role of what stands before them. CellError
    otherwise."""
    for number, (role, _) in enumerate(messages, 1):
        if before not in BEHIND[role]:
            behind = (
                f"behind {'an' if before == 'assistant' else 'a'} {before} message"
                if before
                else "at the beginning"
            )
            raise CellError(
                f"message {number} ({role}) cannot stand {behind}.\nExpected: perhaps one of the system, then"
                " user and assistant in turns; join what one says in a row."
            )
        before = role
    return messages


def _message(message: Any, number: int) -> tuple[str, str]:
    names = next((keys for keys in KEYS if isinstance(message, Mapping) and set(keys) <= set(message)), None)
    if names is None:
        raise CellError(
            f'message {number}: expected {{"role": …, "content": …}}, got {shorten(message)}.\nWrite it so.'
        )
    said, content = message[names[0]], message[names[1]]
    role = ALIASES.get(said, said) if isinstance(said, str) else said
    if not isinstance(role, str) or role not in ROLES:
        raise CellError(f"message {number}: unknown role {shorten(said)}.\n{did_you_mean(str(said), ROLES)}")
    if isinstance(content, (list, tuple, np.ndarray)) and all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)  # as OpenAI writes contents of several parts
    if not isinstance(content, str) or not content.strip():
        what = (
            "is empty"
            if content is None or isinstance(content, str)
            else f"holds a {type(content).__name__}, no text"
        )
        raise CellError(f"message {number} ({role}) {what}.\nGive it words, or leave the row out.")
    return role, sound(content)


def turns_of(
    conversations: Sequence[Messages], kind: str, codes: str, alphabet: str, learned: str = "assistant"
) -> list[list[np.ndarray]]:
    """Of each conversation the encoded turns, int32 (n,) each: mark, content, end. Of the role `learned` all
    but the mark is learned."""
    contents = iter(
        token_numbers(
            [content for messages in conversations for _, content in messages], kind, codes, alphabet
        )
    )
    found = []
    for messages in conversations:
        turns = []
        for role, _ in messages:
            tokens = np.concatenate([[ROLES[role]], next(contents), [END]]).astype(np.int32) << 1
            tokens[1:] |= role == learned
            turns.append(tokens)
        found.append(turns)
    return found


def begun(turns: Sequence[np.ndarray]) -> np.ndarray:
    """Turns behind a START."""
    return np.concatenate([np.array([START << 1], np.int32), *turns])


def windows(turns: list[np.ndarray], limit: int) -> np.ndarray:
    """A conversation as one window, or, where it has more than `limit` tokens, several behind each other,
    each begun by START and the system's message. They overlap by half, and every assistant's turn is learned
    in one of them. A turn of more than half a window is cut: the assistant's behind its beginning, others
    before their end."""
    if 1 + sum(map(len, turns)) <= limit:
        return begun(turns)
    system = [shortened(turns[0], limit // 4)] if turns[0][0] >> 1 == SYSTEM else []
    half = (limit - 1 - sum(map(len, system))) // 2
    turns = [shortened(turn, half) for turn in turns[len(system) :]]
    found, done = [], 0
    while done < len(turns):
        first, last, size = done, done, 0
        while first and size + len(turns[first - 1]) <= half:  # what was learned before is given again
            first -= 1
            size += len(turns[first])
        while first < done and turns[first][0] >> 1 != USER:
            size -= len(turns[first])
            first += 1
        while last < len(turns) and size + len(turns[last]) <= 2 * half:
            size += len(turns[last])
            last += 1
        given = [turn & ~np.int32(1) for turn in turns[first:done]]
        if any((turn & 1).any() for turn in turns[done:last]):
            found.append(begun([*system, *given, *turns[done:last]]))
        done = last
    return np.concatenate(found) if found else np.empty(0, np.int32)


def shortened(turn: np.ndarray, most: int) -> np.ndarray:
    """A turn of at most `most` tokens: of the assistant's its beginning, which then does not end; of others
    mark, and their last tokens."""
    if len(turn) <= most:
        return turn
    return (
        turn[:most]
        if turn[0] >> 1 == ASSISTANT
        else np.concatenate([turn[:1], turn[len(turn) - max(0, most - 1) :]])
    )


def asking(messages: Messages, kind: str, codes: str, alphabet: str, limit: int) -> tuple[np.ndarray, int]:
    """(tokens (T,) int64 up to the assistant's mark, messages left out): the newest messages that fit into
    `limit` tokens, behind the system's if there is one. What is left begins with a user's; a last message
    that is too long loses its beginning.
    """
    (turns,) = turns_of([messages], kind, codes, alphabet)
    system = [shortened(turns.pop(0), limit // 4)] if messages[0][0] == "system" else []
    column_type = limit - 2 - sum(map(len, system))
    count, first = len(turns), len(turns)
    while first and sum(map(len, turns[first - 1 :])) <= column_type:
        first -= 1
    if first == count and count:
        turns[-1], first = shortened(turns[-1], column_type), count - 1
    while first < count - 1 and turns[first][0] >> 1 != USER:
        first += 1
    return np.append(begun([*system, *turns[first:]]) >> 1, ASSISTANT).astype(np.int64), first


def shown(messages: Messages) -> str:
    return "\n".join(f"{role}: {content}" for role, content in messages)
