"""What a run that learned texts or conversations, or its export, can be asked for: to write, and to answer.
`run` has a path, a signature, types, its outputs, and a `writer`. No PyTorch is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mapsto.errors import RunError
from mapsto.generation.sampling import Sampling, answer, opened, texts
from mapsto.types.text.conversation import Messages
from mapsto.types.text.tokenizers import UNKNOWN, token_numbers


def written(run: Any, prompt: str, numbers: Sequence[int], how: Sampling) -> tuple[Iterator[list[str]], int]:
    """(what each step adds to each of the texts of these numbers, tokens of the prompt that are too many to
    be read)."""
    column_type, writer = written_type(run, "sample"), run.writer
    unread = len(opened(column_type, prompt)) - writer.most
    return texts(writer, column_type, prompt, numbers, how), max(0, unread)


def replies(run: Any, messages: Messages, how: Sampling, number: int = 0) -> tuple[Iterator[str], int]:
    """(what each token adds to the assistant's answer, messages that no longer fit). number: of the answer,
    which draws its own tokens."""
    column_type = written_type(run, "chat")
    return answer(run.writer, column_type, messages, how, number)


def pieces_of(run: Any, begun: Any, how: Sampling) -> Iterator[str]:
    """What each token adds: to a text that begins so or, where messages are given, to the assistant's answer.
    RunError: it does not write so; CellError: no conversation."""
    from mapsto.types.text.conversation import in_order, messages_of

    if not isinstance(begun, str):
        return replies(run, in_order(messages_of(begun) or ()), how)[0]
    pieces, _ = written(run, begun, [0], how)
    return (added[0] for added in pieces)


def unheard(run: Any, messages: Messages, how: Sampling) -> list[str]:
    """What of a system's message and of the last message the net will not read: letters that it does not
    know, and what is too long."""
    column_type, most = written_type(run, "chat"), run.writer.most
    limit = most - min(how.tokens, most // 2)
    found, system = [], 0
    for number, (role, content) in enumerate(messages):
        if role != "system" and number < len(messages) - 1:
            continue
        (tokens,) = token_numbers([content], column_type.kind, column_type.codes, column_type.alphabet)
        whose = "the system's message" if role == "system" else "the message"
        if (tokens == UNKNOWN).any():
            strange = [repr(letter) for letter in sorted(set(content) - set(column_type.alphabet))]
            found.append(
                f"{whose} holds {', '.join(strange[:5]) or 'signs'}, which the training text does not: read"
                " as unknown"
            )
        size, space = len(tokens) + 2, limit // 4 if role == "system" else limit - 2 - system
        if size > space:
            found.append(
                f"{whose} is {size - space:,} tokens longer than the net reads at once: its end counts"
            )
        system = min(size, space) if role == "system" else system
    return found


def written_type(run: Any, command: str) -> Any:
    """The type of the one output of a run that `command` is for."""
    name = run.signature.outputs[0].name
    usage = None if run.signature.inputs else run.output(name).usage
    if usage is not None and usage.command == command:
        return run.types["output", name]
    what = "writes no text by itself" if command == "sample" else "answers no messages"
    way = f"Ask it with: mapsto predict {run.path} FILES"
    if usage is not None:
        way = f"{usage.invitation.capitalize()}: mapsto {usage.command} {run.path}"
    raise RunError(f"{run.path}: learned {run.signature}, which {what}.\n{way}")


def refuse(run: Any) -> None:
    """RunError: what was learned makes nothing by itself."""
    written_type(run, "tokens")
