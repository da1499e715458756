"""The best answer by a net that writes token by token: greedy, drawn, or by beam search, for a whole batch at
once; without PyTorch, so that a run and its export search alike.

Beam search keeps the K likeliest beginnings of each answer; one that ends is done, with the score log p / ((5
+ T) / 6)^penalty (Wu et al. 2016, arXiv:1609.08144). A row is done when K of its answers are and none that
goes on can still be better; it then leaves the batch.

Of what may follow an answer a search asks for the K likeliest tokens only: the K best of a row are among
those. So (N, K) numbers come back from where the net is, not (N, V). Letters: B rows, b of them not done, K
answers kept for each, N = b · K, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol, Self

import numpy as np

from mapsto.types.text.tokenizers import PADDING, START

Pick = Callable[[np.ndarray, int, np.ndarray], tuple[np.ndarray, np.ndarray]]
# the last tokens (b,), place, rows (b,) -> tokens (b,) and their log-probabilities (b,)
LOWEST = -1e9  # the score of what is not there


class Steps(Protocol):
    """A net that writes: of b rows, and of the N answers to them that are kept, K behind each other a row.
    It knows what each answer holds so far."""

    def likeliest(self, tokens: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The last tokens (N,) -> log-probabilities (N, W), highest first, and numbers (N, W) of those that
        may follow; W: count, or V where that is less."""
        ...

    def drawn(self, tokens: np.ndarray, uniform: np.ndarray, how: Any) -> tuple[np.ndarray, np.ndarray]:
        """The last tokens (N,) -> one each that follows, by `uniform` (N,) in [0, 1), and its
        log-probability. how: `mapsto.generation.sampling.Sampling`."""
        ...

    def choose(self, rows: np.ndarray, answers: np.ndarray) -> None:
        """Go on with some of the rows (b,), and some of their answers (b · K,): positions among those there
        are."""
        ...


@dataclass(frozen=True)
class Found:
    """tokens: of the best answer to each row, int64 (n,) without START; score (B,): its log-probability,
    START included."""

    tokens: list[np.ndarray]
    score: np.ndarray


def beam(steps: Steps, rows: int, most: int, width: int, penalty: float) -> Found:
    """most: tokens an answer has at most. width 1 is greedy."""
    if width > 1:
        return _beams(steps, rows, most, width, penalty)

    def likeliest(tokens: np.ndarray, place: int, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logs, best = steps.likeliest(tokens, 1)
        return best[:, 0], logs[:, 0]

    return _line(steps, rows, most, likeliest)


def drawn(steps: Steps, rows: int, most: int, uniform: np.ndarray, how: Any) -> Found:
    """Answers whose tokens are drawn one by one. uniform (most, B) in [0, 1)."""
    return _line(
        steps, rows, most, lambda tokens, place, alive: steps.drawn(tokens, uniform[place, alive], how)
    )


def _line(steps: Steps, rows: int, most: int, pick: Pick) -> Found:
    """One answer to each row."""
    answers, score = np.full((rows, most), START, np.int64), np.zeros(rows)
    alive, token = np.arange(rows), np.full(rows, START, np.int64)
    for place in range(most if rows else 0):
        token, logs = pick(token, place, alive)
        score[alive] += logs
        answers[alive, place] = token
        going = np.flatnonzero(token != START)
        if not len(going) or place + 1 == most:
            break
        if len(going) < len(token):
            steps.choose(going, going)
        alive, token = alive[going], token[going]
    return _found(answers, score)


@dataclass
class _Beams:
    """Rows that are not done, `alive` (b,): of the answers that go on score, last token, which of those that
    the net knows each goes on from, `source`, (b, K) each, and texts (b, K, T); of the best that ended
    likewise."""

    alive: np.ndarray
    score: np.ndarray
    token: np.ndarray
    source: np.ndarray
    texts: np.ndarray
    ended: np.ndarray
    ended_score: np.ndarray
    ended_length: np.ndarray

    @classmethod
    def begun(cls, score: np.ndarray, token: np.ndarray, most: int) -> Self:
        """From the first tokens (B, K)."""
        rows, width = token.shape
        texts = np.full((rows, width, most), PADDING, np.int64)
        texts[:, :, 0] = token
        source = np.repeat(np.arange(rows)[:, None], width, 1)
        lowest, lengths = np.full(token.shape, LOWEST), np.ones(token.shape, np.int64)
        return cls(
            np.arange(rows), score.astype(np.float64), token, source, texts,
            np.full_like(texts, START), lowest, lengths,
        )  # fmt: skip

    def take(self, rows: np.ndarray) -> Self:
        return type(self)(*(getattr(self, spot.name)[rows] for spot in fields(self)))


def _beams(steps: Steps, rows: int, most: int, width: int, penalty: float) -> Found:
    best = np.full((rows, most), START, np.int64)
    score = np.zeros(rows)
    if not rows:
        return _found(best, score)
    now = _Beams.begun(*steps.likeliest(np.full(rows, START, np.int64), width), most)
    for length in range(1, most + 1):
        _end(now, length, most, penalty)
        going = now.score.max(1)
        full = now.ended_score[:, -1] > LOWEST / 2
        done = full & (going / _normal(length, penalty) <= now.ended_score[:, 0]) | (going <= LOWEST / 2)
        over = now.take(done)
        best[over.alive] = over.ended[:, 0]
        score[over.alive] = over.ended_score[:, 0] * _normal(over.ended_length[:, 0], penalty)
        left = np.flatnonzero(~done)
        if not len(left):
            break
        now = now.take(left)
        steps.choose(left, now.source.ravel())
        _grow(now, *steps.likeliest(now.token.ravel(), now.token.shape[1]), length)
    return _found(best, score)


def _end(now: _Beams, length: int, most: int, penalty: float) -> None:
    """Answers of this length that end, among the best that did."""
    width = now.token.shape[1]
    over = (now.token == START) | (length == most)
    here = np.where(over, now.score / _normal(length, penalty), LOWEST)
    order = _highest(np.concatenate([now.ended_score, here], 1), width)
    now.ended_score = np.take_along_axis(np.concatenate([now.ended_score, here], 1), order, 1)
    now.ended = np.take_along_axis(np.concatenate([now.ended, now.texts], 1), order[..., None], 1)
    lengths = np.concatenate([now.ended_length, np.full_like(now.ended_length, length)], 1)
    now.ended_length = np.take_along_axis(lengths, order, 1)
    now.score = np.where(over, LOWEST, now.score)


def _grow(now: _Beams, logs: np.ndarray, tokens: np.ndarray, length: int) -> None:
    """The likeliest answers that are a token longer. logs, tokens (N, W): what may follow each."""
    rows, width = now.token.shape
    wide = logs.shape[1]
    found = (now.score[..., None] + logs.reshape(rows, width, wide)).reshape(rows, -1)  # (b, K · W)
    order = _highest(found, width)
    before = order // wide
    now.score = np.take_along_axis(found, order, 1)
    now.token = np.take_along_axis(tokens.reshape(rows, -1), order, 1)
    now.texts = np.take_along_axis(now.texts, before[..., None], 1)
    now.texts[:, :, length] = now.token
    now.source = np.arange(rows)[:, None] * width + before


def _highest(values: np.ndarray, count: int) -> np.ndarray:
    """(b, M) -> places (b, count) of the highest, the first of equal ones first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def _normal(length: Any, penalty: float) -> Any:
    return ((5 + length) / 6) ** penalty


def _found(answers: np.ndarray, score: np.ndarray) -> Found:
    """Each row up to its first START."""
    ends = answers == START
    lengths = (
        np.where(ends.any(1), ends.argmax(1), answers.shape[1])
        if answers.size
        else np.zeros(len(answers), int)
    )
    rows = [row[:length] for row, length in zip(answers, lengths.tolist(), strict=True)]
    return Found(rows, score.astype(np.float32))
