"""The probability that a trained decoder gives to texts, of any length at flat memory.

Every token is said given at least half of what the net reads at once, where so much stands before it: windows
overlap by half, and each counts the tokens that the one before did not reach. Letters: B windows, T tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mapsto.types.text.tokenizers import PADDING, START, UNKNOWN, token_numbers

AT_ONCE = 8_192  # tokens that go through the net at once


@dataclass(frozen=True)
class Scored:
    """What saying a text costs. nats: minus the logarithm of its probability; unknown: letters that the net
    has no number for, not counted."""

    nats: float
    tokens: int
    bytes: int
    unknown: int

    def to_json(self) -> dict[str, Any]:
        """Figures of `mapsto score`; None where there is no token; of letters that the net does not know
        alone it can say nothing."""
        each = self.nats / self.tokens if self.tokens else None
        return {
            "log_probability": -self.nats if self.tokens or not self.unknown else None,
            "tokens": self.tokens,
            "nats_per_token": each,
            "bits_per_byte": self.nats / math.log(2) / self.bytes if self.bytes else None,
            "perplexity": math.exp(min(each, 700.0)) if each is not None else None,
            "unknown": self.unknown,
        }


def scored(learner: Any, column_type: Any, pieces: Iterable[str], sizes: np.ndarray) -> Scored:
    """One text, handed over in pieces. It begins where a document does, or, of a room of one running text,
    behind a line's end. sizes (V,): bytes that tokens stand for."""
    model, most = learner.model.eval(), learner.model.most
    nats, tokens, size, unknown = 0.0, 0, 0, 0
    for window, new in _batches(_windows(_stream(column_type, pieces), most), max(1, AT_ONCE // most)):
        target = torch.from_numpy(np.where((new & (window != UNKNOWN))[:, 1:], window[:, 1:], PADDING)).to(
            learner.device
        )
        with torch.inference_mode():
            ((slot, output),) = model(
                {}, condition=torch.from_numpy(window[:, :-1]).to(learner.device), size=len(window)
            ).items()
            each, _ = dict(model.heads.items())[slot].loss(output, target)
        said = window[new]
        nats += float(each.double().sum())
        unknown += int((said == UNKNOWN).sum())
        tokens += int((said != UNKNOWN).sum())
        size += int(sizes[said[said != UNKNOWN]].sum())
    return Scored(nats, tokens, size, unknown)


def _stream(column_type: Any, pieces: Iterable[str]) -> Iterator[np.ndarray]:
    """Tokens of the text behind what it begins with."""
    first = (
        token_numbers(["\n"], column_type.kind, column_type.codes, column_type.alphabet)[0][-1:]
        if column_type.running
        else np.array([START], np.int32)
    )
    yield np.where(first == UNKNOWN, START, first)
    for piece in pieces:
        yield token_numbers([piece], column_type.kind, column_type.codes, column_type.alphabet)[0]


def _windows(stream: Iterator[np.ndarray], most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """((T,) tokens, (T,) bool: are they counted here?) of windows of at most `most` + 1 tokens, each token
    but the first counted once."""
    held, done, half = (
        np.empty(0, np.int64),
        0,
        max(1, most // 2),
    )  # done: the last token of `held` that is counted
    for part in stream:
        held = np.concatenate([held, part.astype(np.int64)])
        while len(held) - 1 - done >= (new := half if done else most):
            end = done + new
            begin = max(0, end - most)
            yield held[begin : end + 1], np.arange(begin, end + 1) > done
            held, done = held[begin + 1 :], end - begin - 1
    if len(held) - 1 > done:
        begin = max(0, len(held) - 1 - most)
        yield held[begin:], np.arange(begin, len(held)) > done


def _batches(
    windows: Iterator[tuple[np.ndarray, np.ndarray]], most: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Windows of one length behind each other as (B, T) arrays."""
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for window in windows:
        if held and (len(held) == most or len(held[0][0]) != len(window[0])):
            yield np.stack([one for one, _ in held]), np.stack([new for _, new in held])
            held = []
        held.append(window)
    if held:
        yield np.stack([one for one, _ in held]), np.stack([new for _, new in held])
