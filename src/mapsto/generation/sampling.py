"""Writing with a trained decoder: one token after another, each drawn from what the net says may follow.

Draws are functions of (seed, number of the text, place), so a text is the same alone and among others. When
the context is full, its second half becomes the new one: so writing goes on without end, and costs the same
with a cache of keys and values as the net needs. No PyTorch is needed, so that a run and its export write
alike. Letters: N texts, T tokens, V vocabulary.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mapsto.cells import Continued
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.seeds import key
from mapsto.types.text.conversation import Messages, asking
from mapsto.types.text.tokenizers import END, FIRST, START, UNKNOWN, pieces_of


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn."""

    tokens: int = setting(256, "tokens a text has at most", above=0)
    temperature: float = setting(
        0.8,
        "sampling temperature: 0 takes the likeliest token, 1 draws as the net believes",
        above=-1e-9,
    )
    top_p: float = setting(
        0.95,
        "draw only among the likeliest tokens that together have this probability (nucleus)",
        above=0,
        most=1,
    )
    seed: int = setting(0, "seed of the draws", above=-1)
    stop: str | None = setting(None, "end a text before this; \\n is a line's end")

    def __post_init__(self) -> None:
        if self.stop == "":
            raise ConfigError("--stop: expected what to stop before, got nothing.\nLeave it out to write on.")


class Writer(Protocol):
    """A net that says what comes next. most: tokens that it reads at once."""

    most: int

    def begin(self, rows: int) -> None:
        """So many texts, of which it has read nothing yet."""
        ...

    def draw(self, tokens: np.ndarray, uniform: np.ndarray, how: Sampling, end: int) -> np.ndarray:
        """Tokens (N, T) behind those that it has read -> (N,): one each that follows, as `drawn` has it."""
        ...


def texts(
    writer: Writer, column_type: Any, prompt: str, numbers: Sequence[int], how: Sampling
) -> Iterator[list[str]]:
    """Texts of these numbers, written at the same time: what each token adds to each of them, "" once it has
    ended. ConfigError where the prompt holds what the net cannot read."""
    return following(writer, column_type, opened(column_type, prompt), numbers, how)


def following(
    writer: Writer,
    column_type: Any,
    start: np.ndarray,
    numbers: Sequence[int],
    how: Sampling,
    end: int = START,
) -> Iterator[list[str]]:
    """What each step adds to texts that begin with the tokens `start` (T,), up to the mark `end`."""
    pieces = pieces_of(column_type.kind, column_type.codes, column_type.alphabet)
    written = [_Text(pieces, (how.stop or "").replace("\\n", "\n"), end) for _ in numbers]
    for found in tokens(writer, np.repeat(start[None], len(numbers), 0), numbers, how, end):
        yield [text.add(token) for text, token in zip(written, found, strict=True)]
        if all(text.ended for text in written):
            return
    yield [text.rest() for text in written]


def answer(
    writer: Writer, column_type: Any, messages: Messages, how: Sampling, number: int = 0
) -> tuple[Iterator[str], int]:
    """(what each token adds to the assistant's answer, messages left out because they no longer fit beside
    it)."""
    limit = writer.most - min(how.tokens, writer.most // 2)
    start, left_out = asking(messages, column_type.kind, column_type.codes, column_type.alphabet, limit)
    return (added[0] for added in following(writer, column_type, start, [number], how, END)), left_out


def opened(column_type: Any, prompt: str) -> np.ndarray:
    """(T,) int64: the tokens to begin with. A text cut from a longer one begins anywhere, behind a line's
    end; a document with its START."""
    start = column_type.encode(Continued(prompt or "\n") if column_type.running else prompt).astype(np.int64)
    if prompt and (start == UNKNOWN).any():
        strange = sorted({letter for letter in prompt if letter not in column_type.alphabet})
        raise ConfigError(
            f"the prompt holds {', '.join(map(repr, strange[:5])) or 'a sign'}, which the training text does"
            " not.\nWrite it in other letters."
        )
    return (
        start if len(start) and start[0] != UNKNOWN else np.array([START], np.int64)
    )  # a text without lines has no line's end


def tokens(
    writer: Writer, start: np.ndarray, numbers: Sequence[int], how: Sampling, end: int = START
) -> Iterator[list[int]]:
    """Tokens that follow `start` (N, T), one for each text at a time; of a longer start the net reads the
    last `writer.most`."""
    draws = np.stack(
        [np.random.default_rng(key(how.seed, "sample", number)).random(how.tokens) for number in numbers]
    )  # (N, tokens)
    new = context = start[:, -writer.most :]
    writer.begin(len(start))
    for place in range(how.tokens):
        token = writer.draw(new, draws[:, place], how, end)
        yield token.tolist()
        full = context.shape[1] == writer.most
        new = token[:, None]
        context = np.concatenate([context, new], 1)
        if full:
            new = context = context[:, -max(1, writer.most // 2) :]
            writer.begin(len(start))


def drawn(logits: np.ndarray, uniform: np.ndarray, how: Sampling, end: int = START) -> np.ndarray:
    """(N, V) -> (N,): one token each, of the nucleus (Holtzman et al. 2020) at the temperature; of marks only
    `end`. uniform (N,) in [0, 1). Its twin on devices: `mapsto.generation.cached.drawn`."""
    logits = logits.astype(np.float64)
    logits[:, [mark for mark in range(FIRST) if mark != end]] = -np.inf
    if how.temperature <= 0:
        return logits.argmax(1)
    chance = np.exp((logits - logits.max(1, keepdims=True)) / how.temperature)
    chance /= chance.sum(1, keepdims=True)
    order = np.argsort(-chance, axis=1, kind="stable")
    chance = np.take_along_axis(chance, order, 1)
    before = chance.cumsum(1) - chance
    total = np.where(before < how.top_p, chance, 0.0).cumsum(1)
    place = (total <= uniform[:, None] * total[:, -1:]).sum(1)
    return np.take_along_axis(order, np.minimum(place, logits.shape[1] - 1)[:, None], 1)[:, 0]


class _Text:
    """One text from its tokens: bytes to letters as soon as they are whole, up to a mark or what it shall
    stop before."""

    def __init__(self, pieces: Sequence[bytes], stop: str, end: int):
        self.pieces, self.stop, self.end, self.ended = pieces, stop, end, False
        self.decoder, self.held = codecs.getincrementaldecoder("utf-8")("replace"), ""

    def add(self, token: int) -> str:
        """What the token adds; "" where it is part of a letter, or may be part of the stop."""
        if self.ended:
            return ""
        if token == self.end:
            return self.rest()
        self.held += self.decoder.decode(self.pieces[token])
        if self.stop and self.stop in self.held:
            self.ended = True
            return self.held[: self.held.index(self.stop)]
        keep = next(
            (
                n
                for n in range(min(len(self.stop) - 1, len(self.held)), 0, -1)
                if self.held.endswith(self.stop[:n])
            ),
            0,
        )
        said, self.held = self.held[: len(self.held) - keep], self.held[len(self.held) - keep :]
        return said

    def rest(self) -> str:
        """What was held back, at the end."""
        if self.ended:
            return ""
        self.ended = True
        return self.held + self.decoder.decode(b"", True)
