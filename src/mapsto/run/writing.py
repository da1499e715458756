"""What a run that learned texts or conversations can be asked for: to write, to answer, to say how probable a
text is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mapsto.data.documents import documents
from mapsto.errors import CellError, RunError
from mapsto.generation.likelihood import scored
from mapsto.generation.sampling import Sampling, answer, opened, texts
from mapsto.outputs._next_token import sizes
from mapsto.run.folder import RunFolder
from mapsto.source import Source
from mapsto.types.text.conversation import Messages
from mapsto.types.text.tokenizers import UNKNOWN, token_numbers


def written(
    run: RunFolder, prompt: str, numbers: Sequence[int], how: Sampling
) -> tuple[Iterator[list[str]], int]:
    """(what each step adds to each of the texts of these numbers, tokens of the prompt that are too many to
    be read)."""
    column_type, model = _room(run, "sample"), run.learner.model.eval()
    unread = len(opened(column_type, prompt)) - int(model.most)  # type: ignore[arg-type]
    return texts(model, column_type, prompt, numbers, how, run.learner.device), max(0, unread)


def replies(run: RunFolder, messages: Messages, how: Sampling, number: int = 0) -> tuple[Iterator[str], int]:
    """(what each token adds to the assistant's answer, messages that no longer fit). number: of the answer,
    which draws its own tokens."""
    return answer(run.learner.model.eval(), _room(run, "chat"), messages, how, number, run.learner.device)


def unheard(run: RunFolder, messages: Messages, how: Sampling) -> list[str]:
    """What of a system's message and of the last message the net will not read: letters that it does not
    know, and what is too long."""
    column_type, most = _room(run, "chat"), run.learner.model.most
    limit = int(most - min(how.tokens, most // 2))  # type: ignore[call-overload, operator]
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


def language(run: RunFolder) -> tuple[Any, Any]:
    """(its net, its text's room) of a run that learned `-> text`, for one that hears texts to ask
    (`mapsto.outputs.ctc.continuations`)."""
    return run.learner.model.eval(), _room(run, "sample")


def scores(
    run: RunFolder, texts: Sequence[str] | Source, column: str = ""
) -> Iterator[tuple[str, dict[str, Any] | CellError]]:
    """(its name, its figures (`Scored.to_json`), or why it could not be read) of each text, given or of a
    column of a source."""
    column_type = _room(run, "sample")
    bytes_of = sizes(column_type.kind, column_type.codes, column_type.alphabet)
    given = (
        documents(texts, column, column_type.read)
        if isinstance(texts, Source)
        else ((f"text {i}", iter([text])) for i, text in enumerate(texts, 1))
    )
    for name, pieces in given:
        yield (
            name,
            (
                pieces
                if isinstance(pieces, CellError)
                else scored(run.learner, column_type, pieces, bytes_of).to_json()
            ),
        )


def _room(run: RunFolder, command: str) -> Any:
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


def refuse(run: RunFolder) -> None:
    """RunError: what was learned makes nothing by itself."""
    _room(run, "tokens")
